"""Templates: double braces before a call, single braces during it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personas.errors import PersonaError
from personas.render import check_value, fill, fill_all, names_in, slots_in, strings_in


def test_names_are_listed_once_and_in_order() -> None:
    """A name used twice is one name."""
    assert names_in("{{b}} then {{ a }} then {{b}}") == ["b", "a"]


def test_slots_are_not_names() -> None:
    """Single braces are left alone by everything that happens before a call."""
    assert names_in("on {date} at {{place}}") == ["place"]
    assert slots_in("on {date} at {{place}}") == {"date"}
    assert (
        fill("on {date} at {{place}}", {"place": "Harbor Street"}) == "on {date} at Harbor Street"
    )


def test_triple_braces_nest_a_name_in_a_slot_and_are_refused() -> None:
    """`{{{x}}}` could be read two ways, so it is no template."""
    with pytest.raises(PersonaError, match="without a name"):
        names_in("{{{x}}}")


@pytest.mark.parametrize("text", ["{{}}", "{{a b}}", "{{1a}}", "{{Name}}", "{{name}", "{{ name"])
def test_malformed_names_are_refused(text: str) -> None:
    """What looks like a placeholder but is none is a typing error, not text."""
    with pytest.raises(PersonaError, match="without a name"):
        names_in(text)


@pytest.mark.parametrize(
    "text", ["{date", "date}", "{}", "{0}", "{a.b}", "{a[0]}", "{a!r}", "{a:>9}"]
)
def test_malformed_slots_are_refused(text: str) -> None:
    """Only a plain name may stand in single braces: attribute access would be a hole."""
    with pytest.raises(PersonaError):
        slots_in(text)


def test_missing_value_is_named() -> None:
    """The error says which name has no value."""
    with pytest.raises(PersonaError, match=r"no value for \{\{city\}\}"):
        fill("Welcome to {{city}}", {"town": "x"})


def test_values_are_not_templates() -> None:
    """A value that looks like a name is not filled a second time."""
    assert fill("{{a}}", {"a": "$b", "b": "no"}) == "$b"


@given(st.text(st.characters(exclude_characters="{}")))
def test_text_without_braces_is_unchanged(text: str) -> None:
    """Dollar signs, backslashes and the like have no meaning here."""
    assert fill(text, {}) == text


def test_plain_data_is_filled_in_depth_and_copied() -> None:
    """Strings at any depth are filled; numbers, None and the original stay as they were."""
    data = {"a": ["{{x}}", {"b": ("{{x}}!", 3, None)}]}
    assert fill_all(data, {"x": "yes"}) == {"a": ["yes", {"b": ["yes!", 3, None]}]}
    assert data["a"][0] == "{{x}}"


def test_places_of_strings_can_be_found_again() -> None:
    """Places read like paths in the file."""
    data = {"intents": [{"answers": ["x", "y"], "action": None}]}
    assert list(strings_in(data, "dialogue")) == [
        ("dialogue.intents[0].answers[0]", "x"),
        ("dialogue.intents[0].answers[1]", "y"),
    ]


@pytest.mark.parametrize("value", ["a{b}", "<system>", "two\nlines", "tab\t", "nul\0", "\x7f"])
def test_values_that_change_the_prompt_are_refused(value: str) -> None:
    """Neither placeholders nor marks nor line breaks can come in with a value."""
    with pytest.raises(PersonaError, match="'name' contains"):
        check_value("name", value, max_chars=60)


@pytest.mark.parametrize("value", ["", "   "])
def test_empty_values_are_refused(value: str) -> None:
    """An empty value would leave a hole in a spoken sentence."""
    with pytest.raises(PersonaError, match="'name' is empty"):
        check_value("name", value, max_chars=60)


def test_the_error_tells_the_length_but_not_the_value() -> None:
    """Values may be personal data, and errors are logged."""
    with pytest.raises(PersonaError, match="has 61 characters, at most 60") as caught:
        check_value("name", "s" * 61, max_chars=60)
    assert "sss" not in str(caught.value)


def test_values_with_accents_and_signs_are_fine() -> None:
    """Names are not ASCII."""
    check_value("name", "Zoë O'Brien-Łuczak & Sons, $5", max_chars=60)
