"""The codec as a whole: checkpoint keys, agreement with two other codecs, independence of rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.config import MimiConfig
from engine.model.mimi import Mimi, MimiState
from engine.model.state import RowState
from tests.unit.engine.model.mimi_cases import (
    COMPAT,
    TINY,
    all_live,
    fresh_state,
    random_mimi,
    reference,
    second_witness,
    sound,
)

KEYS = Path(__file__).parents[3] / "data" / "mimi_keys.json"
FULL = TINY.context // 2  # frames after which the ring is full


def roundtrip(mimi: Mimi, frames: Tensor, state: RowState, live: Tensor) -> tuple[Tensor, Tensor]:
    """Encodes and decodes [B, F, S], frame by frame: codes [B, K, F] and sound [B, F, S]."""
    codes, pcm = [], []
    for frame in frames.unbind(1):
        codes.append(mimi.encode_frame(frame, state, live))
        pcm.append(mimi.decode_frame(codes[-1], state, live))
    return torch.stack(codes, dim=2), torch.stack(pcm, dim=1)


@pytest.mark.parametrize("rows", [1, 4])
def test_bits_equal_the_reference_past_the_window(rows: int) -> None:
    """Codes and sound are the reference's, bit for bit, through three fillings of the ring."""
    mimi = random_mimi(COMPAT)
    oracle = reference(mimi)
    frames = sound(rows, 3 * FULL + 2, COMPAT)
    codes, pcm = roundtrip(mimi, frames, fresh_state(mimi, rows), all_live(rows))
    with torch.no_grad(), oracle.streaming(rows):
        for index, frame in enumerate(frames.unbind(1)):
            expected = oracle.encode(frame[:, None])  # [B, K, 1]
            assert torch.equal(codes[:, :, index], expected[..., 0]), f"codes of frame {index}"
            heard = oracle.decode(expected)[:, 0]
            assert torch.equal(pcm[:, index], heard), f"sound of frame {index}"
    assert len(codes.unique()) > 20  # random weights that always choose the same code prove little


def test_correct_window_leaves_the_reference_when_it_is_full() -> None:
    """Without the compatibility rule the two part exactly when the ring is full."""
    correct, compat = random_mimi(TINY), random_mimi(COMPAT)
    codes = torch.randint(TINY.codebook_size, (2, TINY.codebooks, 2 * FULL))
    states, live = [fresh_state(m, 2) for m in (correct, compat)], all_live(2)
    same = [
        torch.equal(
            correct.decode_frame(codes[..., i], states[0], live),
            compat.decode_frame(codes[..., i], states[1], live),
        )
        for i in range(2 * FULL)
    ]
    assert same == [True] * (FULL - 1) + [False] * (FULL + 1)


def test_second_witness_agrees_within_the_window() -> None:
    """An independent codec, over the whole sound at once, gives the same codes and sound."""
    mimi = random_mimi(replace(TINY, context=64))
    witness = second_witness(mimi)
    frames = sound(2, 20, TINY)
    whole = frames.flatten(1)[:, None]
    codes, pcm = roundtrip(mimi, frames, fresh_state(mimi, 2), all_live(2))
    assert torch.equal(codes, witness.encode(whole, num_quantizers=TINY.codebooks).audio_codes)
    heard = witness.decode(codes).audio_values[:, 0]
    torch.testing.assert_close(pcm.flatten(1), heard, rtol=0, atol=1e-4)


def test_parameters_are_the_checkpoint() -> None:
    """At the published sizes: exactly its 318 keys, with its shapes."""
    with torch.device("meta"):
        mimi = Mimi(MimiConfig())
    expected = {key: tuple(shape) for key, shape in json.loads(KEYS.read_text()).items()}
    assert len(expected) == 318
    assert {key: tuple(value.shape) for key, value in mimi.state_dict().items()} == expected


@pytest.mark.timeout(30)
def test_published_sizes_run() -> None:
    """One frame at the real sizes gives 8 codes and 1920 samples."""
    mimi = random_mimi(MimiConfig())
    state, live = fresh_state(mimi, 1), all_live(1)
    codes = mimi.encode_frame(torch.randn(1, 1920), state, live)
    pcm = mimi.decode_frame(codes, state, live)
    assert codes.shape == (1, 8)
    assert pcm.shape == (1, 1920)
    assert pcm.isfinite().all()


def test_neighbours_do_not_matter() -> None:
    """A row gives the same bits beside other rows that say something else."""
    mimi = random_mimi(TINY)
    frames, others = sound(4, 2 * FULL, TINY), sound(4, 2 * FULL, TINY, seed=9)
    others[2] = frames[2]
    one = roundtrip(mimi, frames, fresh_state(mimi, 4), all_live(4))
    two = roundtrip(mimi, others, fresh_state(mimi, 4), all_live(4))
    assert torch.equal(one[0][2], two[0][2])
    assert torch.equal(one[1][2], two[1][2])
    assert not torch.equal(one[0][1], two[0][1])


def test_rows_join_pause_leave_and_are_used_again() -> None:
    """Whatever the neighbours do, each row hears what it would hear if it never shared a batch."""
    mimi, frames = random_mimi(TINY), sound(4, 24, TINY)
    expected = roundtrip(mimi, frames, fresh_state(mimi, 4), all_live(4))
    state = fresh_state(mimi, 4)
    spoken = [0, 0, 0, 0]  # frames that each row's present occupant has said
    for tick in range(24):
        live = torch.tensor([True, tick >= 3, tick % 3 != 1, True])
        if tick == 13:
            state.reset_rows(torch.tensor([False, False, False, True]))
            spoken[3] = 0
        frame = torch.stack([frames[row, spoken[row]] for row in range(4)])
        frame[~live] = torch.nan  # an idle slot's buffer may hold anything
        codes = mimi.encode_frame(frame, state, live)
        pcm = mimi.decode_frame(torch.where(live[:, None], codes, 9999), state, live)
        for row in live.nonzero()[:, 0].tolist():
            assert torch.equal(codes[row], expected[0][row, :, spoken[row]]), (row, tick)
            assert torch.equal(pcm[row], expected[1][row, spoken[row]]), (row, tick)
            spoken[row] += 1
    assert spoken == [24, 21, 16, 11]


def test_bad_sound_stays_in_its_row() -> None:
    """NaN in one row reaches no other, and a reset heals the row."""
    mimi, frames = random_mimi(TINY), sound(3, FULL, TINY)
    expected = roundtrip(mimi, frames, fresh_state(mimi, 3), all_live(3))
    state, live = fresh_state(mimi, 3), all_live(3)
    poisoned = frames.clone()
    poisoned[1] = torch.nan
    got = roundtrip(mimi, poisoned, state, live)
    assert torch.equal(got[1][::2], expected[1][::2])
    state.reset_rows(all_live(3))
    assert torch.equal(roundtrip(mimi, frames, state, live)[1], expected[1])


def test_exported_row_goes_on_in_another_process() -> None:
    """A row moved to the same slot of another batch continues bit for bit."""
    mimi, frames, others = random_mimi(TINY), sound(3, 3 * FULL, TINY), sound(3, 8, TINY, seed=9)
    expected = roundtrip(mimi, frames, fresh_state(mimi, 3), all_live(3))
    first, second = fresh_state(mimi, 3), fresh_state(mimi, 3)
    roundtrip(mimi, frames[:, :7], first, all_live(3))
    others[2] = frames[2, 7:]
    second.import_row(2, first.export_row(2))
    codes, pcm = roundtrip(mimi, others, second, all_live(3))
    assert torch.equal(codes[2], expected[0][2, :, 7:])
    assert torch.equal(pcm[2], expected[1][2, 7:])


def test_exported_row_goes_on_in_another_slot() -> None:
    """Slots are alike, but for rounding: vector units treat the ends of a batch differently."""
    mimi, frames = random_mimi(TINY), sound(3, 3 * FULL, TINY)
    expected = roundtrip(mimi, frames, fresh_state(mimi, 3), all_live(3))
    first, second = fresh_state(mimi, 3), fresh_state(mimi, 3)
    roundtrip(mimi, frames[:, :7], first, all_live(3))
    second.import_row(0, first.export_row(2))
    codes, pcm = roundtrip(mimi, frames[[2, 0, 1], 7:], second, all_live(3))
    assert torch.equal(codes[0], expected[0][2, :, 7:])
    torch.testing.assert_close(pcm[0], expected[1][2, 7:], rtol=0, atol=1e-4)


def test_prefix_of_a_larger_state() -> None:
    """A batch over the first rows advances these rows only, in the large state itself."""
    mimi, frames = random_mimi(TINY), sound(2, 6, TINY)
    expected = roundtrip(mimi, frames, fresh_state(mimi, 2), all_live(2))
    whole = fresh_state(mimi, 5)
    got = roundtrip(mimi, frames, whole.narrow(2), all_live(2))
    assert torch.equal(got[1], expected[1])
    assert whole["encoder_transformer.position"].tolist() == [12, 12, 0, 0, 0]
    assert not any(tensor[2:].any() for tensor in whole.tensors.values())


def test_directions_are_independent() -> None:
    """A row that is only encoded gives the codes it gives when it is decoded too."""
    mimi, frames = random_mimi(TINY), sound(2, 8, TINY)
    both = roundtrip(mimi, frames, fresh_state(mimi, 2), all_live(2))
    state = fresh_state(mimi, 2)
    codes = [mimi.encode_frame(frame, state, all_live(2)) for frame in frames.unbind(1)]
    assert torch.equal(torch.stack(codes, dim=2), both[0])
    assert state["decoder_transformer.position"].tolist() == [0, 0]


def test_recording_is_encoded_as_if_streamed() -> None:
    """`encode` gives the codes of its frames."""
    mimi, frames = random_mimi(TINY), sound(2, 8, TINY)
    codes, _ = roundtrip(mimi, frames, fresh_state(mimi, 2), all_live(2))
    assert torch.equal(mimi.encode(frames.flatten(1)[:, None]), codes)


@pytest.mark.parametrize("samples", [0, 23, 25])
def test_recording_must_be_whole_frames(samples: int) -> None:
    """The message says how long a frame is."""
    with pytest.raises(ValueError, match=f"{samples} samples are no whole .* frames of 24"):
        random_mimi(TINY).encode(torch.zeros(1, 1, samples))


@pytest.mark.timeout(60)
def test_fused_agrees_with_exact() -> None:
    """The variant for the GPU gives the same codes and, within rounding, the same sound."""
    exact, fused = random_mimi(TINY), random_mimi(TINY)
    fused.prepare(fused=True)
    frames = sound(3, 3 * FULL, TINY)
    one = roundtrip(exact, frames, fresh_state(exact, 3), all_live(3))
    two = roundtrip(fused, frames, fresh_state(fused, 3), all_live(3))
    assert torch.equal(one[0], two[0])
    torch.testing.assert_close(one[1], two[1], rtol=0, atol=1e-4)
    fused.prepare(fused=False)
    again = roundtrip(fused, frames, fresh_state(fused, 3), all_live(3))
    assert torch.equal(again[1], one[1])


@pytest.mark.parametrize("fused", [False, True])
def test_no_step_asks_the_device_for_a_value(fused: bool) -> None:
    """Runs where there are no values at all: nothing branches on data, all shapes are static."""
    with torch.device("meta"):
        mimi = Mimi(TINY)
        mimi.prepare(fused)
        state, live = MimiState.allocate(TINY, 4, "meta"), torch.empty(4, dtype=torch.bool)
        codes = mimi.encode_frame(torch.empty(4, TINY.frame_samples), state, live)
        pcm = mimi.decode_frame(codes, state, live)
        state.reset_rows(live)
    assert codes.shape == (4, TINY.codebooks)
    assert pcm.shape == (4, TINY.frame_samples)


def test_state_stays_at_its_addresses() -> None:
    """A captured graph writes to the memory that it was captured with."""
    mimi = random_mimi(TINY)
    state = fresh_state(mimi, 2)
    before = {name: tensor.data_ptr() for name, tensor in state.tensors.items()}
    roundtrip(mimi, sound(2, 2, TINY), state, all_live(2))
    state.reset_rows(all_live(2))
    assert {name: tensor.data_ptr() for name, tensor in state.tensors.items()} == before


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("heads", 3, "dimension 512 must be a multiple of"),
        ("codebooks", 1, "codebooks is 1"),
        ("codebooks", 33, "codebooks is 33"),
        ("context", 1, "context is 1"),
    ],
)
def test_impossible_sizes_are_refused(field: str, value: int, message: str) -> None:
    """The message names the field and its value."""
    with pytest.raises(ValueError, match=message):
        replace(MimiConfig(), **{field: value})


def test_published_sizes_of_a_frame() -> None:
    """12.5 frames a second of 1920 samples, two latent steps each."""
    config = MimiConfig()
    assert (config.hop_samples, config.frame_samples, config.head_dim) == (960, 1920, 64)
