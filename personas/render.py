"""Fills templates: `{{name}}` before a call, `{name}` during it.

Double braces stand for a fact or a variable and are filled here, once, when a call is set up.
Single braces stand for what the caller says (a slot) and are left for the engine, which fills
them with `str.format`. This module knows no persona: it sees strings, names and values.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from personas.errors import PersonaError

_FORBIDDEN_IN_VALUES = re.compile(r"[{}<>\x00-\x1f\x7f]")


class _Template(string.Template):
    """`string.Template` with `{{name}}` for `$name`; there is no escape."""

    flags = re.VERBOSE  # the default ignores case, and names are lower case
    pattern: ClassVar[Any] = r"""
        \{\{(?:
            \s*(?P<named>[a-z][a-z0-9_]*)\s*\}\} |
            (?P<braced>(?!)) |
            (?P<escaped>(?!)) |
            (?P<invalid>)
        )"""


def names_in(text: str) -> list[str]:
    """Lists the `{{names}}` of a template in order of appearance.

    Raises:
        PersonaError: a `{{` does not begin a well-formed `{{name}}`.
    """
    template = _Template(text)
    if not template.is_valid():
        raise PersonaError(f"'{{{{' without a name and '}}}}' in {_shortened(text)}")
    return template.get_identifiers()


def slots_in(text: str) -> set[str]:
    """Names the `{slots}` that are left for the engine to fill.

    Raises:
        PersonaError: a brace stands alone, or holds more than a name.
    """
    filled = _Template(text).safe_substitute(dict.fromkeys(names_in(text), ""))
    try:
        fields = [field for field in string.Formatter().parse(filled) if field[1] is not None]
    except ValueError as error:  # an unmatched brace
        raise PersonaError(
            f"a brace has no partner in {_shortened(text)}; take it out, or close it"
        ) from error
    for _, name, spec, conversion in fields:
        if not (name and name.isidentifier()) or spec or conversion:
            raise PersonaError(f"'{{{name}}}' is no slot name in {_shortened(text)}")
    return {str(name) for _, name, _, _ in fields}


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replaces every `{{name}}` by its value.

    Raises:
        PersonaError: a name has no value, or the template is malformed.
    """
    missing = [name for name in names_in(text) if name not in values]
    if missing:
        raise PersonaError(f"no value for {{{{{missing[0]}}}}} in {_shortened(text)}")
    return _Template(text).substitute(values)


def fill_all(data: Any, values: Mapping[str, str]) -> Any:
    """Copies plain data (dicts, lists, scalars) with every string in it filled."""
    if isinstance(data, str):
        return fill(data, values)
    if isinstance(data, Mapping):
        return {key: fill_all(value, values) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [fill_all(item, values) for item in data]
    return data


def strings_in(data: Any, place: str) -> Iterator[tuple[str, str]]:
    """Walks plain data and yields (place, string), with places like `intents[3].answers[0]`."""
    if isinstance(data, str):
        yield place, data
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from strings_in(value, f"{place}.{key}")
    elif isinstance(data, list | tuple):
        for index, item in enumerate(data):
            yield from strings_in(item, f"{place}[{index}]")


def check_value(name: str, value: str, max_chars: int) -> None:
    """Refuses a value from outside that could change the prompt's structure.

    Values often come from a customer database: braces would open another placeholder, angle
    brackets could spell the model's `<system>` mark, line breaks have no spoken form.

    Raises:
        PersonaError: empty, too long, or with a forbidden character. The value is not quoted,
            because it may be personal data.
    """
    if not value.strip():
        raise PersonaError(f"variable '{name}' is empty; leave it out to use its default")
    if len(value) > max_chars:
        raise PersonaError(f"variable '{name}' has {len(value)} characters, at most {max_chars}")
    if found := _FORBIDDEN_IN_VALUES.search(value):
        raise PersonaError(f"variable '{name}' contains {found.group()!r}; remove it")


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
