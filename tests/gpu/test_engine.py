"""The engine on a CUDA device: kernels against plain PyTorch, recordings against eager, trouble."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import assembly
from engine.checkpoint import TINY, write_tiny
from engine.config import EngineLimits, Execution, Format
from engine.device import Unsuited
from engine.engine import PersonaPlexEngine
from engine.handoff import SessionState
from engine.interface import FRAME_SAMPLES, Frame, FrameOutput
from engine.memory import NoMemory
from engine.step import FrameRows
from engine.transfer import HostFrames
from engine.weights import Models, load_models, open_checkpoint
from tests.unit.engine.engine_cases import folder, frame, join, voice

if torch.cuda.is_available():
    from tests.kernel_cases import check_prompt

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.timeout(300),
]

SIZES = replace(
    TINY,
    lm=replace(TINY.lm, dim=128, ffn_dim=192, depth_dim=64, depth_ffn_dim=96, window_positions=96),
)
LIMITS = EngineLimits(
    slots=5, page_size=16, min_window_positions=32, prompt_positions=120, cached_prompts=2,
    buckets=(1, 2, 5), pages=64,
)  # fmt: skip
PLAIN = Execution(
    kernels=False, graphs=False, kv="bf16", weights="bf16", tf32=False, reserve_gib=0.5
)
EAGER = replace(PLAIN, kernels=True)
RECORDED = replace(EAGER, graphs=True)


@functools.cache
def checkpoint() -> Path:
    """A small checkpoint whose sizes the matrix instructions can take."""
    path = folder() / "gpu-checkpoint"
    write_tiny(path, seed=4, config=SIZES)
    return path


def models(dtype: torch.dtype) -> Models:
    """The checkpoint on the device."""
    loaded = load_models(open_checkpoint(checkpoint()), torch.device("cuda"), False)
    return replace(loaded, lm=loaded.lm.to(dtype)) if dtype != torch.bfloat16 else loaded


def engine(execution: Execution, dtype: torch.dtype = torch.bfloat16) -> PersonaPlexEngine:
    """An engine that got what it asked for."""
    loaded = models(dtype)
    loaded.lm.prepare()
    made = PersonaPlexEngine(loaded, LIMITS, {"ada": voice()}, execution=execution)
    assert made.fallbacks == []
    return made


def story(subject: PersonaPlexEngine, ticks: int = 40) -> list[dict[int, FrameOutput]]:
    """Calls join, idle, leave and come again; every tick's outputs."""
    heard = []
    live = {join(subject, seed=1)}
    for tick in range(ticks):
        if tick in (4, 9, 15):
            live.add(join(subject, seed=tick))
        if tick == 20:
            subject.release(0)
            live.remove(0)
        if tick == 27:
            live.add(join(subject, seed=tick))
        idle = {1} if tick in (11, 12) else set()
        result = subject.tick({slot: frame(tick, caller=slot) for slot in live - idle})
        assert not result.failed
        heard.append(dict(result.outputs))
    return heard


def same(one: list[dict[int, FrameOutput]], other: list[dict[int, FrameOutput]], step: int) -> bool:
    """Whether all sound is equal up to `step` of 16-bit sound, and all text equal."""
    for first, second in zip(one, other, strict=True):
        if first.keys() != second.keys():
            return False
        for slot in first:
            difference = first[slot].pcm.astype(int) - second[slot].pcm
            if np.abs(difference).max() > step or first[slot].text != second[slot].text:
                return False
    return True


def test_kernels_say_what_plain_pytorch_says() -> None:
    """In float32, where no rounding tips a token: the same tokens, the same sound."""
    plain = story(engine(PLAIN, torch.float32))
    assert same(plain, story(engine(EAGER, torch.float32)), step=1)


def test_recordings_play_exactly_the_step() -> None:
    """Eager and graph, bit for bit, in bf16."""
    recorded = engine(RECORDED)
    assert [span.batch for span in recorded._run.recorded] == [1, 2, 5]
    assert same(story(recorded), story(engine(EAGER)), step=0)


def test_recordings_of_the_plain_step() -> None:
    """Without kernels the step can be recorded too."""
    recorded = engine(replace(PLAIN, graphs=True))
    assert [span.batch for span in recorded._run.recorded] == [1, 2, 5]
    assert same(story(recorded), story(engine(PLAIN)), step=0)


def test_same_call_whatever_the_bucket() -> None:
    """A call in slot 0 says the same alone and among others, bit for bit, at one batch size."""
    one = replace(LIMITS, buckets=(5,))
    heard = []
    for others in (0, 3):
        subject = PersonaPlexEngine(
            models(torch.bfloat16), one, {"ada": voice()}, execution=RECORDED
        )
        slots = [join(subject, seed=seed) for seed in range(1 + others)]
        heard.append(
            [
                subject.tick({slot: frame(tick, caller=slot) for slot in slots}).outputs[0]
                for tick in range(30)
            ]
        )
    for first, second in zip(*heard, strict=True):
        assert np.array_equal(first.pcm, second.pcm)


@pytest.mark.parametrize("execution", [EAGER, RECORDED], ids=["eager", "recorded"])
def test_two_phase_groups_say_what_one_says(execution: Execution) -> None:
    """Float32, where no rounding tips a token: each group runs its own rows, and records them."""
    whole = _group_story(1, execution)
    assert same(whole, _group_story(2, execution), step=1)


def _group_story(phases: int, execution: Execution) -> list[dict[int, FrameOutput]]:
    """Four calls by their order of coming, whatever slot they have."""
    loaded = models(torch.float32)
    loaded.lm.prepare()
    limits = replace(LIMITS, slots=4, phases=phases, buckets=(1, 2, 4))
    subject = PersonaPlexEngine(loaded, limits, {"ada": voice()}, execution=execution)
    assert subject.fallbacks == []
    slots = [join(subject, seed=seed) for seed in range(4)]
    heard = []
    for tick in range(30):
        outputs: dict[int, FrameOutput] = {}
        for phase in range(phases):
            outputs |= subject.tick(
                {
                    slot: frame(tick, caller)
                    for caller, slot in enumerate(slots)
                    if subject.phase_of(slot) == phase
                }
            ).outputs
        heard.append({caller: outputs[slot] for caller, slot in enumerate(slots)})
    return heard


def test_moved_session_goes_on_bit_for_bit() -> None:
    """As bytes, past the window, into a recorded engine with another history and a neighbour."""
    here, there = engine(RECORDED), engine(RECORDED)
    neighbour = join(there, seed=9, role_text="another role")
    slot = join(here, seed=3)
    for tick in range(110):
        here.tick({slot: frame(tick)})
    moved = there.import_session(SessionState.from_bytes(here.export_session(slot).to_bytes()))
    for tick in range(110, 130):
        ours = here.tick({slot: frame(tick), **_companion(here, tick)}).outputs[slot]
        both = there.tick({moved: frame(tick), neighbour: frame(tick, caller=1)}).outputs
        assert np.array_equal(both[moved].pcm, ours.pcm)
        assert both[moved].text == ours.text


def _companion(subject: PersonaPlexEngine, tick: int) -> dict[int, Frame]:
    """A second call, so that both engines run at one batch size: kernels differ between sizes."""
    if 1 not in subject.scheduler.seats:
        assert join(subject, seed=5) == 1
    return {1: frame(tick, caller=2)}


def test_frames_are_pinned_and_take_turns() -> None:
    """Copies run beside the host, and what came back outlives the next step."""
    device = torch.device("cuda")
    rows, frames = FrameRows.allocate(2, device), HostFrames(2, device)
    read = []
    for step in (1, 2, 3):
        buffers = frames.turn()
        buffers.send({1: np.full(FRAME_SAMPLES, step, np.int16)}, rows)
        torch.cuda._sleep(20_000_000)  # the device is busy: nothing may be read too early
        rows.pcm_out.copy_(rows.pcm_in)
        read.append(buffers.receive(rows))
        assert int(read[-1].pcm[1, -1]) == step
        if step == 2:
            assert int(read[0].pcm[1, 0]) == 1
    assert buffers._pcm_in.is_pinned()
    assert buffers._pcm_out.is_pinned()


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights are sharp: 8 bits may move them further than a trained model."""
    monkeypatch.setattr(assembly, "MOST_TEXT_KL", 0.5)
    monkeypatch.setattr(assembly, "MOST_CODES_KL", 1.0)


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize("kv", ["fp8", "int8"])
def test_8_bit_keys_and_values_are_heard(kernels: bool, kv: Format) -> None:
    """An engine with 8-bit pages runs through prompt, window and wrap-around."""
    execution = replace(RECORDED if kernels else PLAIN, kv=kv)
    subject = engine(execution)
    assert subject.memory.kv == kv
    heard = story(subject, ticks=130)
    assert any(output.pcm.any() for output in heard[-1].values())


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("kind", ["fp8", "int8"])
def test_8_bit_weights_are_heard(kind: Format) -> None:
    """Prompt work and ticks without any plain temporal weight."""
    heard = story(engine(replace(RECORDED, kv=kind, weights=kind)))
    assert any(output.pcm.any() for output in heard[-1].values())


@pytest.mark.usefixtures("lenient")
def test_int8_session_moves_with_its_scales() -> None:
    """Pages and scales arrive together: the next ticks are the same, bit for bit."""
    execution = replace(RECORDED, kv="int8")
    here, there = engine(execution), engine(execution)
    slot = join(here, seed=3)
    for tick in range(40):
        here.tick({slot: frame(tick)})
    moved = there.import_session(SessionState.from_bytes(here.export_session(slot).to_bytes()))
    for tick in range(40, 50):
        ours = here.tick({slot: frame(tick)}).outputs[slot]
        assert np.array_equal(there.tick({moved: frame(tick)}).outputs[moved].pcm, ours.pcm)


def test_kernels_that_do_not_run_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU without kernels would serve hardly anybody: only who asks for that gets it."""
    from engine.kernels import model

    def broken(*arguments: object, **named: object) -> None:
        raise RuntimeError("out of registers")

    monkeypatch.setattr(model, "run_temporal", broken)
    with pytest.raises(Unsuited, match=r"out of registers. ENGINE_KERNELS=false"):
        engine(EAGER)


@pytest.mark.parametrize("kind", ["bf16", "fp8", "int8"])
@pytest.mark.parametrize(("positions", "cut"), [(70, 37), (200, 100)])
def test_pieces_of_a_prompt_are_the_plain_ones(kind: Format, positions: int, cut: int) -> None:
    """Prompt work in kernels and plain, in float32: in pieces small and large."""
    torch.backends.cuda.matmul.allow_tf32 = False
    loaded = models(torch.float32)
    with torch.inference_mode():
        check_prompt(loaded.lm, positions, cut, kind)


def test_broken_session_fails_alone() -> None:
    """NaN in one call's pages ends that call; its neighbour's sound is untouched."""
    healthy = engine(RECORDED)
    expected = _two_calls(healthy, spoil=False)
    assert same(expected, _two_calls(engine(RECORDED), spoil=True), step=0)


def _two_calls(subject: PersonaPlexEngine, spoil: bool) -> list[dict[int, FrameOutput]]:
    slot, other = join(subject, seed=1), join(subject, seed=2)
    heard = []
    for tick in range(12):
        if spoil and tick == 6:
            pages = [page for page in subject.scheduler.live(other).table if page]
            subject._step.pool[:, pages] = float("nan")
        result = subject.tick({s: frame(tick, caller=s) for s in (slot, other)})
        assert result.failed.keys() == ({other} if spoil and tick >= 6 else set())
        heard.append({slot: result.outputs[slot]})
    return heard


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_second_device_says_what_the_first_says() -> None:
    """From threads of their own, as workers' tickers are: the same sound, bit for bit."""
    heard, before = {}, torch.cuda.mem_get_info(0)[0]
    for device in ("cuda:1", "cuda:0"):
        made = PersonaPlexEngine.load(
            open_checkpoint(checkpoint()), LIMITS, {"ada": voice()}, device, RECORDED
        )
        assert made.fallbacks == []
        if device == "cuda:1":
            assert before - torch.cuda.mem_get_info(0)[0] < 2**29  # a context, no engine
        torch.cuda.set_device(0)
        with ThreadPoolExecutor(1) as ticker:
            heard[device] = ticker.submit(story, made).result()
    assert same(heard["cuda:0"], heard["cuda:1"], step=0)


def test_too_little_memory_is_said_at_start() -> None:
    """An engine that does not fit is refused with numbers, before any call."""
    huge = replace(LIMITS, pages=1_000_000_000)
    with pytest.raises(NoMemory, match="1000000000 KV pages"):
        PersonaPlexEngine(models(torch.bfloat16), huge, {"ada": voice()}, execution=EAGER)
