"""The rehearsal engine's manners, frame by frame."""

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.interface import FRAME_SAMPLES, SAMPLE_RATE_HZ, NoFreeSlot, SessionSpec
from engine.rehearsal import SILENCE, Ear, RehearsalEngine

SPEC = SessionSpec(session_id="s", persona="bank", role_text="Be kind.", voice="nora")
FRAME_MS = 80


def caller(*parts: tuple[str, int], level: int = 4_000, seed: int = 1) -> list[np.ndarray]:
    """Frames of a caller: ("quiet" | "speech", ms) one after the other, speech as noise bursts."""
    rng = np.random.default_rng(seed)
    pieces = []
    for kind, length_ms in parts:
        samples = length_ms * SAMPLE_RATE_HZ // 1_000
        scale = level if kind == "speech" else 5
        pieces.append(np.clip(rng.normal(0, scale, samples), -30_000, 30_000))
    pcm = np.concatenate(pieces).astype(np.int16)
    pcm = np.pad(pcm, (0, -len(pcm) % FRAME_SAMPLES))
    return list(pcm.reshape(-1, FRAME_SAMPLES))


def live(engine: RehearsalEngine, seed: int = 0) -> int:
    """A slot that is ready."""
    slot = engine.admit(SessionSpec("s", "bank", "Be kind.", "nora", seed=seed))
    assert engine.prime() == [slot]
    return slot


def talk(engine: RehearsalEngine, slot: int, frames: list[np.ndarray]) -> tuple[np.ndarray, str]:
    """What the agent says to the caller's frames: int16 [frames, 1920] and the words."""
    outputs = [engine.tick({slot: frame}).outputs[slot] for frame in frames]
    return np.stack([out.pcm for out in outputs]), "".join(out.text for out in outputs)


def loud(pcm: np.ndarray) -> np.ndarray:
    """Which frames can be heard."""
    return np.abs(pcm.astype(np.int32)).max(axis=1) > 300


@pytest.fixture
def engine() -> RehearsalEngine:
    """Four slots with the lines that come with the package."""
    return RehearsalEngine(slots=4)


def test_it_greets_by_itself_and_says_that_it_is_a_recording(engine: RehearsalEngine) -> None:
    """Sound from the first frames on, words with it, then silence."""
    pcm, text = talk(engine, live(engine), caller(("quiet", 12_000)))
    assert loud(pcm)[:3].any()
    assert text.startswith(" Hello, this is the rehearsal line. I am a recording,")
    assert text.endswith(" How can I help you today?")
    assert not loud(pcm)[-20:].any()


def test_a_finished_turn_is_answered(engine: RehearsalEngine) -> None:
    """Within a second after the caller's last word, with another line, in turn."""
    slot = live(engine)
    talk(engine, slot, caller(("quiet", 9_600)))
    during, _ = talk(engine, slot, caller(("speech", 1_600)))
    assert not loud(during).any()
    after, first = talk(engine, slot, caller(("quiet", 9_600)))
    onset_ms = FRAME_MS * int(np.argmax(loud(after)))
    assert 400 <= onset_ms <= 800
    _, second = talk(engine, slot, caller(("speech", 1_600), ("quiet", 9_600)))
    assert first.startswith(" Thank you.")
    assert second.startswith(" I see.")


def test_it_stays_silent_while_nobody_speaks(engine: RehearsalEngine) -> None:
    """One greeting, no monologue; steady noise is nobody."""
    slot = live(engine)
    talk(engine, slot, caller(("quiet", 9_600)))
    pcm, text = talk(engine, slot, caller(("speech", 20_000), level=100))
    assert not loud(pcm).any()
    assert text == ""


@pytest.mark.parametrize("offset_ms", range(0, 80, 10))
def test_an_interruption_silences_it_in_the_frame_that_brings_it(
    engine: RehearsalEngine, offset_ms: int
) -> None:
    """Wherever in a frame the caller begins, at most 100 ms of speech go in before silence."""
    slot = live(engine)
    start_ms = 1_600 + offset_ms
    pcm, _ = talk(engine, slot, caller(("quiet", start_ms), ("speech", 2_000)))
    assert loud(pcm)[: start_ms // FRAME_MS].any()
    last_loud = int(np.flatnonzero(np.abs(pcm.reshape(-1).astype(np.int32)) > 300)[-1])
    heard_ms = last_loud / SAMPLE_RATE_HZ * 1_000 + FRAME_MS  # the frame went in before it came out
    assert heard_ms - start_ms <= 100


def test_a_stop_has_no_click(engine: RehearsalEngine) -> None:
    """The last 5 ms fade, then there are zeros."""
    slot = live(engine)
    pcm, _ = talk(engine, slot, caller(("quiet", 1_600), ("speech", 800)))
    stop = pcm[20]
    assert np.all(stop[120:] == 0)
    assert abs(int(stop[119])) < 50
    assert not pcm[21:].any()


def test_an_interrupted_line_is_given_up_and_the_interruption_answered(
    engine: RehearsalEngine,
) -> None:
    """What comes next is an answer, not the rest of the greeting."""
    slot = live(engine)
    _, before = talk(engine, slot, caller(("quiet", 1_600), ("speech", 800)))
    _, after = talk(engine, slot, caller(("quiet", 9_600)))
    assert "today" not in before + after
    assert after.startswith(" Thank you.")


@pytest.mark.parametrize("offset_ms", range(0, 80, 20))
def test_a_blip_of_100_ms_does_not_take_the_floor(engine: RehearsalEngine, offset_ms: int) -> None:
    """The line pauses and is then said to its end, every word once."""
    slot = live(engine)
    frames = caller(("quiet", 1_600 + offset_ms), ("speech", 100), ("quiet", 9_600))
    pcm, text = talk(engine, slot, frames)
    undisturbed = RehearsalEngine(slots=1)
    _, greeting = talk(undisturbed, live(undisturbed), caller(("quiet", 12_000)))
    assert text == greeting
    assert not loud(pcm)[-5:].any()


def test_its_own_echo_does_not_stop_it(engine: RehearsalEngine) -> None:
    """What it says comes back 160 ms later and 25 dB weaker, as from a poor telephone."""
    slot = live(engine)
    heard = [SILENCE, SILENCE]
    text = ""
    for _ in range(150):
        out = engine.tick({slot: heard.pop(0)}).outputs[slot]
        heard.append((out.pcm * 10 ** (-25 / 20)).astype(np.int16))
        text += out.text
    assert text.endswith("today?")


def test_a_short_noise_is_no_turn(engine: RehearsalEngine) -> None:
    """150 ms of sound get no answer, however often they come."""
    slot = live(engine)
    talk(engine, slot, caller(("quiet", 9_600)))
    cough = [("speech", 150), ("quiet", 1_450)]
    pcm, _ = talk(engine, slot, caller(*cough * 4))
    assert not loud(pcm).any()


def test_the_same_input_gives_the_same_samples() -> None:
    """Also with other sessions around it."""
    frames = caller(("quiet", 800), ("speech", 800), ("quiet", 3_200))
    alone, crowded = RehearsalEngine(slots=1), RehearsalEngine(slots=3)
    slot = live(alone)
    expected, _ = talk(alone, slot, frames)
    others = [live(crowded, seed=seed) for seed in (5, 6)]
    slot = live(crowded)
    for index, frame in enumerate(frames):
        noise = dict.fromkeys(others, frames[-index - 1])
        out = crowded.tick({**noise, slot: frame}).outputs[slot]
        assert np.array_equal(out.pcm, expected[index])


def test_the_seed_picks_the_first_answer() -> None:
    """Sessions of a load test need not speak in unison."""
    frames = caller(("quiet", 9_600), ("speech", 800), ("quiet", 1_600))
    engine = RehearsalEngine(slots=2)
    _, one = talk(engine, live(engine, seed=0), frames)
    _, two = talk(engine, live(engine, seed=1), frames)
    assert one != two


def test_slots_run_out_and_come_back(engine: RehearsalEngine) -> None:
    """One more than there are is refused; a released one is the next to be taken."""
    slots = [engine.admit(SPEC) for _ in range(4)]
    assert slots == [0, 1, 2, 3]
    with pytest.raises(NoFreeSlot, match="all 4 slots"):
        engine.admit(SPEC)
    engine.release(2)
    assert engine.admit(SPEC) == 2
    assert sorted(engine.prime()) == [0, 1, 2, 3]
    assert engine.prime() == []


def test_a_released_slot_starts_anew(engine: RehearsalEngine) -> None:
    """Nothing of the last session is left in it."""
    slot = live(engine)
    talk(engine, slot, caller(("quiet", 800), ("speech", 800)))
    engine.release(slot)
    _, text = talk(engine, live(engine), caller(("quiet", 1_600)))
    assert text.startswith(" Hello,")


def test_free_and_unready_slots_are_a_programmers_error(engine: RehearsalEngine) -> None:
    """As the interface says: KeyError."""
    with pytest.raises(KeyError):
        engine.release(0)
    slot = engine.admit(SPEC)
    with pytest.raises(KeyError):
        engine.tick({slot: SILENCE})


def test_a_wrong_frame_fails_its_own_slot(engine: RehearsalEngine) -> None:
    """The neighbour speaks on."""
    good, bad = live(engine), live(engine)
    result = engine.tick({good: SILENCE, bad: SILENCE[:-1]})
    assert set(result.outputs) == {good}
    assert "int16 [1920]" in result.failed[bad]


@given(level=st.integers(0, 32_767), seed=st.integers(0, 3), speaking=st.booleans())
def test_the_ear_takes_any_frame(level: int, seed: int, speaking: bool) -> None:
    """From digital silence to full scale: eight answers, no warning."""
    pcm = np.random.default_rng(seed).integers(-level - 1, level + 1, FRAME_SAMPLES)
    speech = Ear().hear(pcm.astype(np.int16), speaking=speaking)
    assert speech.shape == (8,)
    assert not speech.any() or level > 100


def test_lines_of_another_form_are_refused(tmp_path: Path) -> None:
    """The error names the file and what it should be."""
    for name, rate in (("greeting", 24_000), ("answer", 16_000)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as clip:
            clip.setparams((1, 2, rate, 0, "NONE", ""))
            clip.writeframes(bytes(100))
        (tmp_path / f"{name}.txt").write_text("Hello.")
    with pytest.raises(ValueError, match=r"answer\.wav: must be 24000 Hz"):
        RehearsalEngine(lines=tmp_path)
    (tmp_path / "answer.wav").unlink()
    with pytest.raises(ValueError, match="at least one more line"):
        RehearsalEngine(lines=tmp_path)
    (tmp_path / "greeting.txt").unlink()
    with pytest.raises(ValueError, match=r"greeting\.txt"):
        RehearsalEngine(lines=tmp_path)


def test_it_loads_without_torch() -> None:
    """The demonstration's environment holds none."""
    code = "import sys, engine.rehearsal; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
