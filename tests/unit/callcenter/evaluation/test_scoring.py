"""Judging a recorded call whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from callcenter.evaluation.scoring import score, segments
from callcenter.evaluation.wav import read_wav
from callcenter.media.units import Pcm16

SPEECH_WAV = Path(__file__).parents[3] / "fixtures" / "question_8khz.wav"
RATE_HZ = 8_000


@pytest.fixture(scope="module")
def speech() -> Pcm16:
    """One sentence, cut to its first and last sound."""
    samples = read_wav(SPEECH_WAV)
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 400)
    return samples[loud[0] : loud[-1] + 1]


def place(total_s: float, pieces: list[tuple[float, Pcm16]]) -> Pcm16:
    """A channel with the pieces at their times."""
    channel = np.zeros(round(total_s * RATE_HZ), np.int16)
    for start_s, samples in pieces:
        begin = round(start_s * RATE_HZ)
        channel[begin : begin + samples.size] = samples
    return channel


def test_edges_lie_where_the_sound_does(speech: Pcm16) -> None:
    """To 20 ms, although the detector's windows are longer."""
    (found,) = segments(place(5.0, [(1.5, speech)]))
    assert found.start_s == pytest.approx(1.5, abs=0.02)
    assert found.end_s == pytest.approx(1.5 + speech.size / RATE_HZ, abs=0.03)


def test_speech_up_to_the_recordings_end_is_closed(speech: Pcm16) -> None:
    """The recording may stop in the middle of a word."""
    assert len(segments(place(2.0, [(1.0, speech[:8_000])]))) == 1


def test_no_speech_no_segments() -> None:
    """Also of an empty recording."""
    assert segments(np.zeros(8_000, np.int16)) == []
    nothing = score(np.zeros(0, np.int16), np.zeros(0, np.int16))
    assert nothing.first_speech_s is None
    assert nothing.turn_gaps_s == []


def test_a_question_and_its_answer(speech: Pcm16) -> None:
    """The gap is what was put between them."""
    length_s = speech.size / RATE_HZ
    caller = place(8.0, [(1.0, speech)])
    agent = place(8.0, [(1.0 + length_s + 0.5, speech)])
    result = score(caller, agent)
    assert result.turn_gaps_s == [pytest.approx(0.5, abs=0.05)]
    assert result.first_speech_s == pytest.approx(1.5 + length_s, abs=0.03)
    assert result.caller_talk_s == pytest.approx(length_s, abs=0.06)
    assert result.bargeins == 0


def test_an_interruption_and_how_long_the_agent_was_still_heard(speech: Pcm16) -> None:
    """The agent is cut 180 ms after the caller's onset."""
    agent_speech = np.concatenate((speech, speech))
    onset_s = 3.0
    cut = round((onset_s + 0.18 - 1.0) * RATE_HZ)
    agent = place(8.0, [(1.0, agent_speech[:cut])])
    result = score(place(8.0, [(onset_s, speech)]), agent)
    assert result.bargeins == 1
    assert result.bargein_stops_s == [pytest.approx(0.18, abs=0.04)]
    assert result.double_talk_s == pytest.approx(0.18, abs=0.04)


def test_an_agent_that_goes_on_has_missed_it(speech: Pcm16) -> None:
    """No stop time is made up."""
    agent = place(10.0, [(1.0, np.concatenate((speech,) * 4))])
    result = score(place(10.0, [(2.0, speech)]), agent)
    assert result.missed_bargeins == 1
    assert result.bargein_stops_s == []
