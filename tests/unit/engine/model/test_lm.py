"""The language model against the reference, a second witness and the published list of tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from engine.config import AGENT_CODEBOOKS, LMConfig
from engine.model.lm import LanguageModel
from engine.model.sampling import CounterNoise, SamplingRows
from tests.unit.engine import second_witness
from tests.unit.engine.model.lm_cases import depth_logits, run
from tests.unit.engine.oracle_lm import TINY, models, random_columns

KEYS = Path(__file__).parents[3] / "data" / "lm_keys.json"
BATCH = 3
POSITIONS = 3 * TINY.window_positions


def test_full_size_has_exactly_the_published_tensors() -> None:
    """475 names with their shapes, and 8,371,408,896 parameters."""
    with torch.device("meta"):
        model = LanguageModel(LMConfig())
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes == json.loads(KEYS.read_text())
    assert len(shapes) == 475
    assert sum(parameter.numel() for parameter in model.parameters()) == 8_371_408_896


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("fused", "dtype"), [(False, torch.float32), (True, torch.float32), (True, torch.bfloat16)]
)
def test_logits_equal_the_reference_through_and_past_the_window(
    fused: bool, dtype: torch.dtype
) -> None:
    """Hidden states, text logits and all 16 depth steps, bit for bit over three windows."""
    oracle, ours = (model.to(dtype) for model in models())
    if fused:
        ours.prepare()
    columns = random_columns(POSITIONS, BATCH, TINY, seed=1)
    with torch.no_grad(), oracle.streaming(BATCH):
        for position, hidden in enumerate(run(ours, columns)):
            state, text_logits = oracle.forward_text(columns[position][:, :, None])
            assert torch.equal(hidden.state, state[:, 0]), position
            assert torch.equal(hidden.text_logits, text_logits[:, 0, 0]), position
            given = columns[position][:, :16].clamp(min=0)
            ours_depth = depth_logits(ours, hidden.state, given)
            with oracle.depformer.streaming(BATCH):
                for step in range(16):
                    theirs = oracle.forward_depformer(step, given[:, step, None, None], state)
                    assert torch.equal(ours_depth[step], theirs[:, 0, 0]), (position, step)


def test_reference_hides_one_key_more_than_the_window_says() -> None:
    """Without compatibility the results part where the window is full, and not before."""
    oracle, ours = models()
    columns = random_columns(POSITIONS, 1, TINY, seed=2)
    with torch.no_grad(), oracle.streaming(1):
        equal = [
            torch.equal(hidden.state, oracle.forward_text(columns[position][:, :, None])[0][:, 0])
            for position, hidden in enumerate(run(ours, columns, compat=False))
        ]
    full = TINY.window_positions - 1
    assert all(equal[:full])
    assert not any(equal[full:])


@pytest.mark.timeout(60)
def test_second_witness_agrees_within_the_window() -> None:
    """The transformers library computes the same text logits and depth logits."""
    pytest.importorskip("transformers")
    _, ours = models(seed=4)
    columns = random_columns(TINY.window_positions - 1, BATCH, TINY, seed=5)
    hidden = list(run(ours, columns))
    embedded = torch.stack([ours.embed(column) for column in columns], dim=1)
    theirs = second_witness.temporal(ours)(inputs_embeds=embedded).logits  # [B, T, V]
    mine = torch.stack([each.text_logits for each in hidden], dim=1)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-5)

    state, given = hidden[-1].state, columns[-1][:, :16].clamp(min=0)
    witness = second_witness.depth(ours)(
        input_ids=given,
        last_hidden_state=state[:, None].expand(-1, 16, -1),
        attention_mask=torch.ones(BATCH, 16, dtype=torch.bool),
    ).logits  # [B, 16, card]
    mine = depth_logits(ours, state, given).transpose(0, 1)
    # The last step differs on purpose: the reference's ring hides step 0 from it.
    torch.testing.assert_close(mine[:, :15], witness[:, :15], rtol=0, atol=5e-5)


def test_agent_half_is_the_whole_models_first_half() -> None:
    """Leaving out the user's depth steps changes no agent logits."""
    _, whole = models(seed=6)
    half = LanguageModel(TINY, AGENT_CODEBOOKS)
    state_dict = whole.state_dict()
    half.load_state_dict(
        {name: state_dict[name][: len(tensor)] for name, tensor in half.state_dict().items()}
    )
    state = torch.randn(BATCH, TINY.dim, generator=torch.Generator().manual_seed(0))
    text = torch.tensor([3, 0, 17])
    rows = SamplingRows.allocate(BATCH, torch.device("cpu"))
    rows.audio_temperature.fill_(0.8)
    rows.audio_top_k.fill_(250)
    draws = CounterNoise().draw(rows.seed, torch.arange(BATCH), 25, 250)
    with torch.no_grad():
        expected = whole.draw_agent(state, text, rows, draws)
        drawn = half.draw_agent(state, text, rows, draws)
    assert torch.equal(drawn.token, expected.token)
    assert drawn.token.shape == (BATCH, AGENT_CODEBOOKS)
    assert not drawn.broken.any()


def test_prepare_keeps_names_and_values() -> None:
    """The joint matrix is a view: the state dict before and after is the same."""
    _, model = models(seed=7)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.prepare()
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_zero_token_adds_nothing_to_the_embedding() -> None:
    """Token -1 in one stream leaves the sum of the others."""
    _, model = models(seed=8)
    column = random_columns(1, 1, TINY, seed=9)[0].clamp(min=0)
    without = column.clone()
    without[0, 5] = -1
    lost = model.embed(column) - model.embed(without)
    torch.testing.assert_close(lost[0], model.emb[4].weight[column[0, 5]], rtol=0, atol=1e-5)


def test_broken_logits_are_reported_for_their_row_alone() -> None:
    """NaN in one row's state breaks that row; its neighbours draw as without it."""
    _, model = models(seed=10)
    state = torch.randn(BATCH, TINY.dim, generator=torch.Generator().manual_seed(1))
    text = torch.tensor([1, 2, 3])
    rows = SamplingRows.allocate(BATCH, torch.device("cpu"))
    draws = CounterNoise().draw(rows.seed, torch.arange(BATCH), 25, 250)
    expected = model.draw_agent(state, text, rows, draws)
    state[1] = torch.nan
    drawn = model.draw_agent(state, text, rows, draws)
    assert drawn.broken.tolist() == [False, True, False]
    assert torch.equal(drawn.token[[0, 2]], expected.token[[0, 2]])
