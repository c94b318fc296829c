"""The personas and voices that come with the project."""

from __future__ import annotations

import re
import wave

import numpy as np
import pytest

from personas import library
from personas.dialogue import Dialogue, Intent
from personas.render import slots_in, strings_in
from personas.schema import RenderedPersona
from personas.tokens import estimate_tokens

LIBRARY = library.load()
NAMES = ["airline", "bank", "car_rental", "clinic", "help_desk", "hotel", "restaurant", "utility"]
SHARED = {"greeting", "thanks", "goodbye", "human", "complaint", "are_you_real", "wait"}
SHARED |= {"who_are_you", "what_can_you_do"}


def _dialogue_of(name: str) -> Dialogue:
    dialogue = LIBRARY[name].dialogue
    assert dialogue is not None
    return dialogue


def _rendered(name: str) -> RenderedPersona:
    return LIBRARY[name].render()


def _spoken_lines(name: str) -> list[tuple[str, str]]:
    plain = _rendered(name).dialogue
    assert plain is not None
    lines = [("greeting", _rendered(name).greeting), *strings_in(plain, "dialogue")]
    unspoken = re.compile(r"\.facts\.|\.(name|kind|task|examples|action)\b|\.(yes|no)$")
    return [line for line in lines if not unspoken.search(line[0])]


def test_all_eight_are_there_and_differ_in_version() -> None:
    """Names are what routes and the documentation use."""
    assert list(LIBRARY) == NAMES
    assert len({LIBRARY[name].version for name in NAMES}) == 8


@pytest.mark.parametrize("name", NAMES)
def test_prompt_is_in_the_trained_pattern_and_short(name: str) -> None:
    """`You work for X which is a Y and your name is Z. Information: ...`, 300 tokens at most."""
    text = _rendered(name).role_text
    assert re.match(
        r"You work for .+ which is (a|an|the) .+ and your name is \w.*\. Information: ", text
    )
    assert "  " not in text
    assert estimate_tokens(text) <= 300


@pytest.mark.parametrize("name", NAMES)
def test_every_fact_stands_in_the_prompt(name: str) -> None:
    """So that the duplex model and the dialogue tell callers the same."""
    text = _rendered(name).role_text
    assert [fact for fact in LIBRARY[name].facts.values() if fact not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_fact_is_told_in_the_dialogue(name: str) -> None:
    """What the prompt knows, a caller without the duplex model can ask for too."""
    told = " ".join(line for _, line in _spoken_lines(name))
    assert [fact for fact in LIBRARY[name].facts.values() if fact not in told] == []


@pytest.mark.parametrize("name", NAMES)
def test_greeting_names_the_company(name: str) -> None:
    """A caller knows at once whom they reached."""
    assert LIBRARY[name].facts["company"].lower() in _rendered(name).greeting.lower()


@pytest.mark.parametrize("name", NAMES)
def test_fifteen_own_intents_with_six_examples_each(name: str) -> None:
    """Enough for a conversation, and enough for a matcher."""
    own = [intent for intent in _dialogue_of(name).intents if intent.name not in SHARED]
    assert len(own) >= 15
    assert [i.name for i in _dialogue_of(name).intents if len(i.examples) < 6] == []


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_lower_case_and_varied(name: str) -> None:
    """No two examples of an intent consist of the same words."""
    for intent in _dialogue_of(name).intents:
        assert all(example == example.lower() for example in intent.examples), intent.name
        assert len({frozenset(e.split()) for e in intent.examples}) == len(intent.examples)


@pytest.mark.parametrize("name", NAMES)
def test_lines_can_be_read_aloud(name: str) -> None:
    """No digits, no signs that a voice stumbles over, two breaths at most."""
    for place, line in _spoken_lines(name):
        assert not re.search(r"[\d$%&/@#*_;()<>]", line), (place, line)
        assert len(line.split()) <= 40, (place, line)


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_sentences(name: str) -> None:
    """Each answer, question and prompt begins large and ends with a mark."""
    for place, line in _spoken_lines(name):
        if re.search(
            r"answer|confirm|question|fallbacks|prompts|goodbye|corrected|greeting", place
        ):
            assert line[-1] in ".?!" or line.endswith("{previous}"), (place, line)
            assert line[0].isupper() or line[0] == "{", (place, line)


def _sample(intent: Intent) -> dict[str, str]:
    return {slot.name: f"<{slot.name}>" for slot in intent.slots}


@pytest.mark.parametrize("name", NAMES)
def test_read_back_says_everything_that_was_asked(name: str) -> None:
    """A slot that is not read back cannot be corrected."""
    for intent in _dialogue_of(name).intents:
        if intent.confirm:
            assert slots_in(intent.confirm) == {slot.name for slot in intent.slots}, intent.name
            assert intent.confirm.format(**_sample(intent)).endswith("?"), intent.name


@pytest.mark.parametrize("name", NAMES)
def test_a_caller_can_always_reach_a_human_and_leave(name: str) -> None:
    """Hand-over and hang-up exist, and failing ends in the offer of a colleague."""
    actions = {intent.action for intent in _dialogue_of(name).intents}
    assert {"handoff", "hangup"} <= actions
    assert _dialogue_of(name).handoff_offer.yes == "human"
    assert 2 <= len(_dialogue_of(name).fallbacks) <= 3


def test_voices_are_used_and_free_to_pass_on() -> None:
    """A female and a male voice at least; every persona's voice is one of them."""
    voices = LIBRARY.voices()
    assert {voice.gender for voice in voices.values()} >= {"female", "male"}
    assert {LIBRARY[name].voice for name in NAMES} == set(voices)
    assert all("synthetic" in voice.consent for voice in voices.values())


@pytest.mark.parametrize("name", sorted(LIBRARY.voices()))
def test_clips_are_clean_speech_of_the_right_form(name: str) -> None:
    """Mono, 16 bit, 24 kHz, 4 to 8 s, not clipped, with pauses and with sound."""
    with wave.open(str(LIBRARY.voices()[name].clip)) as audio:
        assert audio.getparams()[:3] == (1, 2, 24_000)
        samples = np.frombuffer(audio.readframes(audio.getnframes()), "<i2") / 32_768
    assert 4.0 <= len(samples) / 24_000 <= 8.0
    assert 0.2 < np.abs(samples).max() < 0.99
    assert 0.03 < np.sqrt(np.mean(samples**2)) < 0.2
    frames = samples[: len(samples) // 1_920 * 1_920].reshape(-1, 1_920)
    loud = np.sqrt(np.mean(frames**2, axis=1)) > 0.01
    assert 0.5 < loud.mean() < 0.98
