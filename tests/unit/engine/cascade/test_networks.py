"""The packaged networks, each on one known sound."""

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from engine.cascade.bursts import BurstJudge
from engine.cascade.endpoint import Endpoint
from engine.cascade.matching import plain
from engine.cascade.models import ModelFiles, find_models
from engine.cascade.phonemes import english
from engine.cascade.recogniser import Recogniser
from engine.cascade.voice import Voice
from tests.unit.engine.cascade.rooms import recording

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def files() -> ModelFiles:
    """The defaults."""
    return find_models("tiny")


@pytest.fixture(scope="module")
def voice(files: ModelFiles) -> Voice:
    """Piper's joe."""
    return Voice(files.voice, english())


@pytest.fixture(scope="module")
def recogniser(files: ModelFiles) -> Recogniser:
    """Whisper tiny."""
    return Recogniser(files.whisper, workers=1, prompted=False)


def narrow(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """24 kHz -> float32 at 16 kHz."""
    return soxr.resample(samples.astype(np.float32) / 32_768, 24_000, 16_000)


def test_what_is_said_can_be_heard(voice: Voice, recogniser: Recogniser) -> None:
    """The voice's line comes back, but for one word at most."""
    line = "your table is booked for tomorrow evening"
    heard = recogniser.transcribe(narrow(voice.say(f"{line}.")))
    said, missed = set(line.split()), set(line.split()) - set(plain(heard.hypotheses[0]).split())
    assert len(missed) <= 1 < len(said)  # the voice varies from time to time
    assert heard.language == "en"
    assert heard.no_speech < 0.5


def test_a_caller_is_heard(recogniser: Recogniser) -> None:
    """Through telephone band and noise."""
    heard = recogniser.transcribe(narrow(recording("manners/question")))
    assert "pin" in heard.hypotheses[0].lower()
    assert len(set(heard.hypotheses)) == len(heard.hypotheses)


def test_silence_is_no_speech(recogniser: Recogniser) -> None:
    """Whatever words are invented, the doubt is told."""
    heard = recogniser.transcribe(np.zeros(16_000, np.float32))
    assert not heard.hypotheses or heard.no_speech > 0.3 or heard.confidence < -0.8


def test_a_line_has_no_long_margins(voice: Voice) -> None:
    """Silence before the first word would be turn gap."""
    samples = voice.say("Hello there.")
    loud = np.flatnonzero(np.abs(samples) > 400)
    assert loud[0] < 0.06 * 24_000
    assert len(samples) - loud[-1] < 0.2 * 24_000
    assert np.abs(samples).max() < 32_000


def test_nothing_to_say_is_no_sound(voice: Voice) -> None:
    """Punctuation alone."""
    assert len(voice.say("...")) == 0


def test_a_whole_sentence_sounds_finished(files: ModelFiles, voice: Voice) -> None:
    """And its beginning does not."""
    endpoint = Endpoint(files.endpoint)
    speech = narrow(voice.say("I would like to book a table for tomorrow evening."))
    pause = np.zeros(3_200, np.float32)
    assert endpoint.finished(np.concatenate([speech, pause])) > 0.5
    assert endpoint.finished(speech[: len(speech) // 2]) < 0.5


def test_bursts_are_told_apart(files: ModelFiles) -> None:
    """A nod scores above an interruption, and the pair falls on both sides."""
    judge = BurstJudge(files.burst_whisper)
    nod = narrow(recording("manners/backchannel-14"))
    stop = narrow(recording("manners/interruption-00"))
    assert judge.score(nod) > judge.score(stop)
    assert judge.summary(nod).shape == (768,)
