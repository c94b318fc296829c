"""A prompt in one piece, in several, and position by position."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.model.kv import PrefillAttend, new_pool
from engine.model.lm import Hidden
from engine.prefill import Prefiller, Prefix
from engine.prompts import Prompt
from engine.scheduler import Chunk
from tests.unit.engine.model.lm_cases import PAGE, run
from tests.unit.engine.oracle_lm import TINY, random_columns, tiny_model

POSITIONS = 14


def computed(chunk: int, given: int = 0) -> tuple[Hidden, Tensor]:
    """The last position's result and the pool, with `given` positions as embeddings."""
    model = tiny_model(seed=1)
    columns = random_columns(POSITIONS, 1, TINY, seed=2)[:, 0]
    pool = new_pool(TINY, 9, PAGE, model.text_linear.weight)

    def piece(x: Tensor, pages: Tensor, start: int) -> Tensor:
        return model.hidden(x, PrefillAttend(TINY, pool, pages, start, start + len(x)))

    prefiller = Prefiller(model, piece)
    prompt = Prompt(columns[given:].numpy(), np.zeros(17, dtype=np.int64))
    prefiller.add("key", Prefix(model.embed(columns[:given]), prompt))
    pages = (7, 2, 5, 1)  # in no order
    for start in range(0, POSITIONS, chunk):
        prefiller.run(Chunk("key", start, min(start + chunk, POSITIONS), pages))
    last = prefiller["key"].last
    assert last is not None
    return last, pool


def test_single_positions_equal_live_steps_up_to_rounding() -> None:
    """Pieces of one position do what a live row does; only the order of the keys differs."""
    model = tiny_model(seed=1)
    columns = random_columns(POSITIONS, 1, TINY, seed=2)
    *_, stepwise = run(model, columns)
    last, _ = computed(chunk=1)
    torch.testing.assert_close(last.state, stepwise.state, rtol=0, atol=2e-6)


@pytest.mark.parametrize("chunk", [3, 4, POSITIONS, 128])
def test_pieces_equal_single_positions_up_to_rounding(chunk: int) -> None:
    """However it is cut, the last state and all keys agree to a few units of the last place."""
    single, single_pool = computed(chunk=1)
    last, pool = computed(chunk)
    torch.testing.assert_close(last.state, single.state, rtol=0, atol=5e-6)
    torch.testing.assert_close(last.text_logits, single.text_logits, rtol=0, atol=2e-5)
    torch.testing.assert_close(pool, single_pool, rtol=0, atol=5e-6)


@pytest.mark.parametrize("given", [1, 5, POSITIONS - 1])
@pytest.mark.parametrize("chunk", [4, 128])
def test_given_embeddings_equal_their_columns(given: int, chunk: int) -> None:
    """A published voice's inputs stand in for its columns, across piece boundaries too."""
    whole, _ = computed(chunk)
    mixed, _ = computed(chunk, given)
    assert torch.equal(whole.state, mixed.state)


def test_pages_of_others_are_not_touched() -> None:
    """Only the prompt's own pages are written."""
    _, pool = computed(chunk=5)
    assert not pool[:, [0, 3, 4, 6, 8]].any()
    assert pool[:, [7, 2, 5, 1]].any(dim=-1).any(dim=-1).all()


def test_unfinished_prompt_has_no_last_position() -> None:
    """Nothing can be drawn before the end; a forgotten prompt is gone."""
    model = tiny_model(seed=1)
    columns = random_columns(POSITIONS, 1, TINY, seed=2)[:, 0].numpy()
    prefiller = Prefiller(model, lambda x, pages, start: x)
    prefix = Prefix(torch.zeros(0, TINY.dim), Prompt(columns, columns[0]))
    prefiller.add("key", prefix)
    prefiller.add("key", Prefix(torch.zeros(3, TINY.dim), prefix.prompt))
    assert prefiller["key"] is prefix
    prefiller.run(Chunk("key", 0, 5, (1, 2, 3, 4)))
    assert prefix.last is None
    prefiller.forget(["key"])
    with pytest.raises(KeyError):
        prefiller["key"]
