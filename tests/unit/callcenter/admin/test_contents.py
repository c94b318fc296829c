"""A persona's content: checked, measured, compared."""

import pytest

from callcenter.admin import contents
from callcenter.admin.problems import Problem
from personas import library

BANK = library.load()["bank"].model_dump(mode="json", exclude_none=True)


def words(role_text: str) -> int:
    """Counts words; enough of a tokenizer for here."""
    return len(role_text.split())


def test_a_good_content() -> None:
    """Its tokens are counted on the rendered prompt."""
    report = contents.report(BANK, words)
    assert report.valid
    assert report.prompt_tokens == words(library.load()["bank"].render().role_text)
    assert report.missing_variables == []


def test_a_variable_without_a_default_is_named() -> None:
    """A call must bring it."""
    variables = {"customer_name": {"description": "Name"}}
    report = contents.report({**BANK, "variables": variables}, words)
    assert (report.valid, report.missing_variables) == (True, ["customer_name"])


def test_over_budget() -> None:
    """Refused, with both numbers, and still measured for the editor."""
    report = contents.report(BANK, lambda _: 301)
    assert (report.valid, report.prompt_tokens, report.max_prompt_tokens) == (False, 301, 300)
    assert "301 text tokens, at most 300" in report.errors[0].detail
    with pytest.raises(Problem, match="301 text tokens"):
        contents.check(BANK, lambda _: 301)


def test_every_mistake_is_reported_at_its_place() -> None:
    """All at once, with pointers into the content."""
    report = contents.report(
        {**BANK, "title": "", "voise": "x", "limits": {"max_call_s": 1}}, words
    )
    assert {error.pointer for error in report.errors} == {"/title", "/voise", "/limits/max_call_s"}
    assert report.prompt_tokens is None


def test_differences_leaf_by_leaf() -> None:
    """What came, what went, what changed; order of keys is none."""
    before = {"a": 1, "b": [1, 2], "c": {"d": "x"}, "e": {}}
    after = {"c": {"d": "y"}, "b": [1], "a": 1, "e": {"f": None}}
    found = [
        (change.pointer, change.before, change.after) for change in contents.compare(before, after)
    ]
    assert found == [("/b/1", 2, None), ("/c/d", "x", "y"), ("/e", {}, None)]
    assert contents.compare(BANK, dict(reversed(BANK.items()))) == []
