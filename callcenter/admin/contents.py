"""A persona's content: checked as its file would be, measured, rendered, and compared.

The same strict form as `personas/templates/*.yaml`. It knows no database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from callcenter.admin.problems import FieldError, Problem, from_validation, invalid
from personas.errors import PersonaError
from personas.schema import Limits, Persona, RenderedPersona
from personas.tokens import TokenCounter

Content = dict[str, Any]


class Report(BaseModel):
    """What is to be said about a persona's content.

    Attributes:
        errors: why it cannot be used; empty if it can.
        prompt_tokens: text tokens of the role prompt with default values; null if it cannot be
            rendered.
        max_prompt_tokens: the budget.
        missing_variables: variables without a default: a call must bring them.
    """

    valid: bool
    errors: list[FieldError]
    prompt_tokens: int | None
    max_prompt_tokens: int
    missing_variables: list[str]


class Change(BaseModel):
    """One difference between two contents.

    Attributes:
        pointer: JSON pointer.
        before, after: null where there was or is nothing.
    """

    pointer: str
    before: Any
    after: Any


def parse(content: Content, place: str = "") -> Persona:
    """Reads a content strictly; a Problem (422) that names every mistake."""
    try:
        # By way of JSON, so that strict models accept lists where they declare tuples.
        return Persona.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise from_validation(error, place) from None


def written(persona: Persona) -> Content:
    """The content that a persona was read from, without what stands for nothing."""
    return persona.model_dump(mode="json", exclude_none=True)


def check(content: Content, count_tokens: TokenCounter, place: str = "") -> Persona:
    """Reads a content and renders it once, so that a prompt over budget is found now."""
    persona = parse(content, place)
    render(persona, blanks(persona), count_tokens, place)
    return persona


def render(
    persona: Persona, variables: Mapping[str, str], count_tokens: TokenCounter, place: str = ""
) -> RenderedPersona:
    """Fills a persona's templates; a Problem (422) if a variable or the budget does not fit."""
    try:
        return persona.render(variables, count_tokens)
    except PersonaError as error:
        raise invalid(str(error), f"{place}/role_text", "unusable_prompt") from None


def report(content: Content, count_tokens: TokenCounter) -> Report:
    """Says all that is wrong with a content, for an editor that asks while one types."""
    try:
        persona = parse(content)
    except Problem as problem:
        return _report(list(problem.errors), None, Limits(), [])
    tokens, errors = _tokens(persona, count_tokens), []
    try:
        render(persona, blanks(persona), count_tokens)
    except Problem as problem:
        errors = list(problem.errors)
    return _report(errors, tokens, persona.limits, list(blanks(persona)))


def _report(
    errors: list[FieldError], tokens: int | None, limits: Limits, missing: list[str]
) -> Report:
    return Report(
        valid=not errors,
        errors=errors,
        prompt_tokens=tokens,
        max_prompt_tokens=limits.max_prompt_tokens,
        missing_variables=missing,
    )


def blanks(persona: Persona) -> dict[str, str]:
    """Made-up values for the variables that have no default."""
    return {
        name: "x" * min(8, variable.max_chars)
        for name, variable in persona.variables.items()
        if variable.default is None
    }


def compare(before: Any, after: Any) -> list[Change]:
    """All differences, leaf by leaf, in the order of their places."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return [
        Change(pointer=place, before=old.get(place), after=new.get(place))
        for place in sorted(old.keys() | new.keys())
        if old.get(place) != new.get(place)
    ]


def _leaves(data: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(data, Mapping) and data:
        for key, value in data.items():
            yield from _leaves(value, f"{place}/{key}")
    elif isinstance(data, list | tuple) and data:
        for index, value in enumerate(data):
            yield from _leaves(value, f"{place}/{index}")
    else:
        yield place, data


def _tokens(persona: Persona, count_tokens: TokenCounter) -> int:
    counted = 0

    def remember(role_text: str) -> int:
        nonlocal counted
        counted = count_tokens(role_text)
        return 0

    persona.render(blanks(persona), remember)
    return counted
