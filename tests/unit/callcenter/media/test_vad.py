"""Voice activity on real sound: synthetic speech, noise, silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from callcenter.evaluation.wav import read_wav
from callcenter.events import SpeechEdge, SpeechStarted, SpeechStopped
from callcenter.media import vad
from callcenter.media.resample import resampler
from callcenter.media.units import FRAME_S, FRAME_SAMPLES, SPEECH_HANGOVER_S, Pcm16
from callcenter.media.vad import SpeechDetector, SpeechProbability

SPEECH_WAV = Path(__file__).parents[3] / "fixtures" / "question_8khz.wav"  # 1.8 s, espeak-ng
TOLERANCE_S = 0.2


@pytest.fixture(scope="module")
def speech() -> Pcm16:
    """One sentence at 24 kHz between 1 s and 1.2 s of silence."""
    narrow = np.concatenate(
        (np.zeros(8_000, np.int16), read_wav(SPEECH_WAV), np.zeros(9_600, np.int16))
    )
    return resampler(8_000, 24_000).process(narrow)


def detect(samples: Pcm16, start_s: float = 0.0, chunk: int = FRAME_SAMPLES) -> list[SpeechEdge]:
    """Streams the samples through a fresh detector."""
    detector = SpeechDetector()
    edges: list[SpeechEdge] = []
    for begin in range(0, samples.size, chunk):
        edges += detector.push(samples[begin : begin + chunk], start_s + begin / 24_000)
    return edges


def sound_span_s(samples: Pcm16) -> tuple[float, float]:
    """First and last loud sample, by level alone."""
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 500)
    return float(loud[0] / 24_000), float(loud[-1] / 24_000)


def test_a_sentence_has_one_start_and_one_end_near_the_truth(speech: Pcm16) -> None:
    """Edges are dated back to the sound, not to the decision."""
    edges = detect(speech)
    assert [type(edge) for edge in edges] == [SpeechStarted, SpeechStopped]
    start_s, end_s = sound_span_s(speech)
    assert edges[0].at_s == pytest.approx(start_s, abs=TOLERANCE_S)
    assert edges[1].at_s == pytest.approx(end_s, abs=TOLERANCE_S)


def test_times_follow_the_callers_clock(speech: Pcm16) -> None:
    """`start_s` moves every edge."""
    moved = [edge.at_s - 100.0 for edge in detect(speech, start_s=100.0)]
    assert moved == pytest.approx([edge.at_s for edge in detect(speech)])


def test_frames_and_packets_give_the_same_edges(speech: Pcm16) -> None:
    """Chunking doesn't matter."""
    by_packet = [edge.at_s for edge in detect(speech, chunk=480)]
    assert by_packet == pytest.approx([edge.at_s for edge in detect(speech)])


def test_an_end_is_decided_a_hangover_late(speech: Pcm16) -> None:
    """Until then the detector still says that somebody speaks."""
    detector = SpeechDetector()
    for index in range(0, speech.size, FRAME_SAMPLES):
        now = index / 24_000
        for edge in detector.push(speech[index : index + FRAME_SAMPLES], now):
            if isinstance(edge, SpeechStopped):
                assert SPEECH_HANGOVER_S - FRAME_S <= now - edge.at_s <= SPEECH_HANGOVER_S + FRAME_S
        if now < 1.0:
            assert not detector.speaking


def test_noise_and_clicks_are_not_speech() -> None:
    """A line's hiss and a switch's click raise nothing."""
    rng = np.random.default_rng(5)
    hiss = (rng.standard_normal(48_000) * 150).astype(np.int16)
    hiss[24_000:24_040] = 20_000
    assert detect(hiss) == []


def test_streams_do_not_share_memory(speech: Pcm16) -> None:
    """Two detectors of one session, interleaved: each hears only its own stream."""
    one, other = SpeechDetector(), SpeechDetector()
    edges: list[SpeechEdge] = []
    noise = (np.random.default_rng(1).standard_normal(FRAME_SAMPLES) * 150).astype(np.int16)
    for index in range(0, speech.size, FRAME_SAMPLES):
        edges += one.push(speech[index : index + FRAME_SAMPLES], index / 24_000)
        assert other.push(noise, index / 24_000) == []
    assert edges == detect(speech)


def test_digital_silence_costs_no_model_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a call is silence; the model must not be paid for it."""
    probability = SpeechProbability()
    monkeypatch.setattr(probability, "_session", None)  # a run would raise
    assert probability(np.zeros(256, np.int16)) == 0.0


def test_one_session_serves_all() -> None:
    """10 MB a process, not a call."""
    assert vad.load_model() is vad.load_model()


def test_narrowband_input_needs_no_resampling(speech: Pcm16) -> None:
    """At 8 kHz the same sentence has the same edges."""
    narrow = np.concatenate(
        (np.zeros(8_000, np.int16), read_wav(SPEECH_WAV), np.zeros(9_600, np.int16))
    )
    edges = SpeechDetector(8_000).push(narrow, 0.0)
    assert [e.at_s for e in edges] == pytest.approx([e.at_s for e in detect(speech)], abs=0.04)
