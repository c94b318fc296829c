"""The dialogue section is read, or refused with its place."""

from typing import Any

import pytest

from engine.cascade.script import parse
from engine.interface import PromptRejected
from tests.unit.engine.cascade.scripts import SECTION, changed


def test_reads_everything() -> None:
    """Intents, slots, follow-ups and shared lines arrive as written."""
    script = parse(SECTION)
    table = script.intents["table"]
    assert [slot.kind for slot in table.slots] == ["date", "time", "name"]
    assert script.intents["hours"].follow_up is not None
    assert script.intents["hours"].follow_up.yes == "table"
    assert script.intents["bye"].action == "hangup"
    assert script.handoff_offer.yes == "human"


def test_examples_include_yes_no_and_repeat() -> None:
    """Short replies compete with intents in the matcher."""
    names = {name for _, name in parse(SECTION).examples()}
    assert {"yes", "no", "repeat", "hours", "table"} <= names


def test_fixed_lines_have_no_slots_in_them() -> None:
    """Only lines that are the same in every call may be cached."""
    lines = parse(SECTION).fixed_lines()
    assert "We open at nine." in lines
    assert "Is this about our hours?" in lines
    assert not [line for line in lines if "{" in line]


def test_vocabulary_names_the_topics() -> None:
    """The recogniser is told what callers speak about."""
    assert "our hours" in parse(SECTION).vocabulary()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("intents",), [], r"dialogue\.intents must be a list"),
        (("intents", 0, "answers"), "x", r"dialogue\.intents\[0\]\.answers must be a list"),
        (("intents", 0, "topic"), "", r"dialogue\.intents\[0\]\.topic must be a line"),
        (("intents", 0, "action"), "dance", "use handoff or hangup"),
        (("intents", 1, "slots", 0, "kind"), "colour", "use one of choice, date"),
        (("yes",), None, r"dialogue\.yes must be a mapping"),
        (("handoff_offer", "yes"), "nobody", "leads to 'nobody', which is no intent"),
        (("fallbacks",), ["a", 3], r"dialogue\.fallbacks must hold lines"),
    ],
)
def test_refuses_with_the_place(path: tuple[Any, ...], value: Any, message: str) -> None:
    """Every fault names where it stands."""
    with pytest.raises(PromptRejected, match=message):
        parse(changed(SECTION, path, value))
