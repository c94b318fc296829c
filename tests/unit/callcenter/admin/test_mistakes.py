"""Every mistake that a validator can find is told in sentences of our own."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import core_schema

from callcenter.admin.api import calls, keys, personas, session, voices, webhooks
from callcenter.admin.bundle import Bundle
from callcenter.admin.mistakes import KNOWN, NO_FORM, UNKNOWN, explained
from callcenter.admin.voices.consent import Consent
from callcenter.published import documents
from personas.schema import Persona

JUNK: list[Any] = [
    None, True, 0, -1, 10**30, 1.5, "", " ", "x" * 20_000, "2026-13-45", "a b", "é", [], [1], [[]],
    {}, {"kind": "nothing"}, {"x": 1}, ["udp", "udp"], ["10.0.0.1/8"], "*a*", "{}", "{{x", "+49",
]  # fmt: skip
FOREIGN = ("Input should", "should have", "Value error", "Field required", "object at 0x",
           "<class", "Expected", "pydantic", "does not appear", "NoneType")  # fmt: skip


def _models() -> Iterator[type[BaseModel]]:
    """What people and programs send, with all that is in it."""
    found: set[type[BaseModel]] = set()
    waiting: list[Any] = [Persona, Bundle, Consent, *get_args(documents.AnyDocument)]
    for module in (calls, keys, personas, session, voices, webhooks):
        waiting += [one for one in vars(module).values() if isinstance(one, type)]
    while waiting:
        one = waiting.pop()
        waiting += get_args(one)
        if isinstance(one, type) and issubclass(one, BaseModel) and one not in found:
            found.add(one)
            waiting += [field.annotation for field in one.model_fields.values()]
    return iter(sorted(found - {BaseModel}, key=lambda model: model.__name__))


def _errors_of(model: type[BaseModel]) -> Iterator[dict[str, Any]]:
    wrong = [*JUNK, *[{name: junk} for name in model.model_fields for junk in JUNK]]
    for value in wrong:
        try:
            model.model_validate_json(json.dumps(value))
        except ValidationError as error:
            yield from error.errors()  # type: ignore[misc]


def test_every_type_of_error_has_a_sentence() -> None:
    """All that this release of pydantic knows; one more would fail here."""
    assert set(get_args(core_schema.ErrorType)) - KNOWN == set()


def test_no_sentence_of_a_library_comes_through() -> None:
    """Junk in every field of every model that reads what was sent."""
    kinds = set()
    for model in _models():
        for item in _errors_of(model):
            told = explained(item)
            kinds.add(item["type"])
            assert not any(words in told for words in FOREIGN), (model, item, told)
            assert item["type"] == "value_error" or item["msg"] != told, (model, item)
            assert told not in (UNKNOWN, NO_FORM), (model, item)
    assert len(kinds) > 20, kinds


@pytest.mark.parametrize(
    ("of", "value", "told"),
    [
        (documents.Day, "soon", "Choose a date, such as 2026-11-30."),
        (documents.E164, "030 123", "Write the number with its country code, such as +15550100."),
        (calls.Keys, {"keys": "x"}, "Use the keys 0 to 9, *, # and A to D, at most 32."),
        (calls.Keys, {"key": "1"}, "This is missing. Fill it in."),
        (webhooks.Webhook, {"title": ""}, "Fill this in."),
        (webhooks.Webhook, {"events": []}, "Add at least one."),
    ],
)
def test_mistakes_say_what_to_do(of: Any, value: Any, told: str) -> None:
    """As an admin would say it."""
    with pytest.raises(ValidationError) as found:
        TypeAdapter(of).validate_python(value)
    assert told in [explained(item) for item in found.value.errors()]


def test_a_bound_that_is_not_given_is_no_crash() -> None:
    """The sentence is a general one then."""
    assert explained({"type": "greater_than", "ctx": {}}) == UNKNOWN
    assert explained({"type": "of_another_library", "msg": "x"}) == UNKNOWN
