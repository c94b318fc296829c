"""Reads one YAML file strictly, and remembers the line of every value for error messages.

Stricter than YAML 1.1: `yes`, `no`, `on`, `9:30` and dates are text (callers say such things),
a key that stands twice, an anchor or a tag is an error. This module knows no persona.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from personas.errors import PersonaError

Model = TypeVar("Model", bound=BaseModel)

_PREFIX = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_PREFIX + kind for kind in ("map", "seq", "str", "int", "float", "bool", "null")}
_SCALARS = (  # kind, what is recognised without quotes, its first characters (YAML 1.2 core)
    ("bool", r"^(?:true|false)$", ["t", "f"]),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?[0-9]+\.[0-9]+$", list("-+0123456789")),
    ("null", r"^(?:null|~|)$", ["n", "~", ""]),
)


class _Loader(yaml.SafeLoader):
    """The safe loader with YAML 1.2's scalars; without aliases, merge keys and tags."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  the base class's protocol

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.get_event()  # type: ignore[no-untyped-call]
            raise _at(alias.start_mark, "aliases are not understood here; write it out")
        node = super().compose_node(parent, index)
        if node is not None and node.tag not in _PLAIN_TAGS:
            raise _at(node.start_mark, f"tag {node.tag} is not understood here; remove it")
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
        return node


for _kind, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_PREFIX + _kind, re.compile(_pattern), _first)


@dataclass(frozen=True)
class Document:
    """One file: its plain data (dicts, lists, scalars) and where each value stands."""

    path: Path
    data: dict[str, Any]
    root: yaml.Node

    def line_of(self, location: Sequence[str | int]) -> int:
        """Line (from 1) of the value at `location`, or of the deepest part of it that exists."""
        node = self.root
        line = node.start_mark.line
        for step in location:
            found = _child(node, step)
            if found is None:
                break
            line, node = found
        return int(line) + 1

    def parse(self, model: type[Model], data: dict[str, Any]) -> Model:
        """Checks `data`, which came from this document, against a model.

        Raises:
            PersonaError: one line for each mistake: file, line, field, what is wrong.
        """
        try:
            # By way of JSON, so that strict models accept lists where they declare tuples.
            return model.model_validate_json(json.dumps(data))
        except ValidationError as error:
            lines = [self._described(mistake) for mistake in error.errors(include_url=False)]
            raise PersonaError("\n".join(lines)) from error

    def _described(self, mistake: Any) -> str:
        location = mistake["loc"]
        field = ".".join(str(step) for step in location)
        message = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            message = "unknown key; look for a typing error"
        where = f"{self.path}:{self.line_of(location)}"
        return f"{where}: {field}: {message}" if field else f"{where}: {message}"


def read(path: Path) -> Document:
    """Reads a YAML file whose top level is a mapping.

    Raises:
        PersonaError: the file is missing, no UTF-8, no YAML, or breaks this module's rules.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
    except OSError as error:
        raise PersonaError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PersonaError(f"{path}: is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise PersonaError(f"{path}:{mark.line + 1 if mark else 1}: {error.problem}") from error
    except yaml.YAMLError as error:  # a control character, which carries no line
        raise PersonaError(f"{path}: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise PersonaError(f"{path}:1: must be a mapping of keys to values")
    return Document(path, loader.construct_document(root), root)


def _child(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line, node.value[step]
    return None


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag != _PREFIX + "str":
            raise _at(key.start_mark, "a key must be text")
        if key.value in seen:
            raise _at(key.start_mark, f"key '{key.value}' is listed twice")
        seen.add(key.value)


def _at(mark: yaml.Mark, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
