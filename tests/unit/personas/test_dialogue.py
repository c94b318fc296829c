"""The dialogue section: strict, and whole in itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from personas.dialogue import Dialogue

Data = dict[str, Any]


def _parse(data: Data) -> Dialogue:
    return Dialogue.model_validate_json(json.dumps(data))


def _refused(data: Data) -> str:
    with pytest.raises(ValidationError) as caught:
        _parse(data)
    return str(caught.value)


def test_a_valid_dialogue_is_read(dialogue_data: Data) -> None:
    """Defaults: no action, no slots, no backchannels."""
    dialogue = _parse(dialogue_data)
    assert dialogue.intents[0].slots[1].kind == "time"
    assert dialogue.intents[1].action == "hangup"
    assert dialogue.intents[1].slots == ()
    assert dialogue.backchannels == ()


def test_data_survives_the_round_trip(dialogue_data: Data) -> None:
    """What an engine gets as plain data is what was written."""
    dialogue = _parse(dialogue_data)
    assert _parse(dialogue.model_dump(mode="json")) == dialogue


@pytest.mark.parametrize(
    "key", ["intents", "yes", "no", "repeat", "fallbacks", "handoff_offer", "goodbye"]
)
def test_every_part_is_needed(dialogue_data: Data, key: str) -> None:
    """An engine relies on each part being there."""
    del dialogue_data[key]
    assert key in _refused(dialogue_data)


def test_unknown_keys_are_refused(dialogue_data: Data) -> None:
    """A misspelt key never passes in silence."""
    dialogue_data["intents"][1]["anwsers"] = ["x"]
    assert "anwsers" in _refused(dialogue_data)


@pytest.mark.parametrize(
    "example",
    [
        "at 9 o'clock",
        "hello!",
        "",
        " hi",
        "hi  there",
        "what?",
        "e.g. this",
        "-dash",
        "{{company}}",
    ],
)
def test_examples_are_written_as_they_are_spoken(dialogue_data: Data, example: str) -> None:
    """Digits and punctuation marks would never come out of a recogniser's normaliser."""
    dialogue_data["intents"][1]["examples"] = [example]
    assert "examples" in _refused(dialogue_data)


@pytest.mark.parametrize("example", ["i'm done", "check-in please", "où est-ce", "ok"])
def test_apostrophes_hyphens_and_accents_are_spoken(dialogue_data: Data, example: str) -> None:
    """These belong to words."""
    dialogue_data["intents"][1]["examples"] = [example]
    assert _parse(dialogue_data).intents[1].examples == (example,)


@pytest.mark.parametrize("line", ["", " x", "x ", "two\nlines", "x" * 401])
def test_lines_are_one_breath(dialogue_data: Data, line: str) -> None:
    """No empty line, no stray space, no line break, no speech."""
    dialogue_data["goodbye"] = line
    assert "goodbye" in _refused(dialogue_data)


CHANGES: list[tuple[Callable[[Data], Any], str]] = [
    (lambda d: d["intents"][0].pop("confirm"), "'confirm' must read them back"),
    (lambda d: d["intents"][1].update(confirm="Right?"), "but there are none"),
    (lambda d: d["intents"][0].update(answers=["On {day}."]), "{day} is no slot here"),
    (lambda d: d["intents"][0].update(confirm="On {day}?"), "{day} is no slot here"),
    (lambda d: d["intents"][0]["slots"][0].update(question="At {time}?"), "{time} is no slot"),
    (lambda d: d["intents"][0]["follow_up"].update(question="{date}?"), "{date} is no slot here"),
    (lambda d: d["intents"][0]["slots"][1].update(name="date"), "slot 'date' is listed twice"),
    (lambda d: d["intents"][1].update(name="book"), "intent 'book' is listed twice"),
    (lambda d: d["intents"].append(d["intents"][1] | {"name": "no"}), "can be named 'no'"),
    (lambda d: d["intents"][1].update(examples=["yes"]), "example 'yes' is listed twice"),
    (lambda d: d["intents"][0]["follow_up"].update(no="hello"), "'hello', which is no intent"),
    (lambda d: d["handoff_offer"].update(yes="human"), "'human', which is no intent"),
    (lambda d: d.update(did_you_mean="Sorry?"), "must contain {topic}"),
    (lambda d: d.update(did_you_mean="{topic} or {other}?"), "{other} is no slot here"),
    (lambda d: d["repeat"].update(answer="{last}"), "{last} is no slot here"),
    (lambda d: d.update(fallbacks=["{x}"]), "{x} is no slot here"),
    (lambda d: d.update(silence_prompts=["{x}"]), "{x} is no slot here"),
    (lambda d: d.update(backchannels=["{x}"]), "{x} is no slot here"),
    (lambda d: d["handoff_offer"].update(question="{x}?"), "{x} is no slot here"),
    (lambda d: d["intents"][0].update(topic="{date}"), "{date} is no slot here"),
    (lambda d: d.update(fallbacks=[]), "fallbacks"),
    (lambda d: d["intents"][0]["slots"][0].update(kind="colour"), "kind"),
    (lambda d: d["intents"][1].update(action="explode"), "action"),
    (lambda d: d["intents"][1].update(name="Say Goodbye"), "name"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_mistakes_are_named(
    dialogue_data: Data, change: Callable[[Data], Any], message: str
) -> None:
    """Each mistake that a writer can make is refused with its own words."""
    change(dialogue_data)
    assert message in _refused(dialogue_data)
