"""YAML files: stricter than YAML, with lines in every complaint."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from personas import document
from personas.errors import PersonaError


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    tags: tuple[str, ...] = ()


class Box(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    items: tuple[Item, ...]
    size: float = 1.0


def _read(tmp_path: Path, text: str) -> document.Document:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return document.read(path)


@pytest.mark.parametrize(
    "word", ["yes", "no", "on", "off", "Yes", "y", "9:30", "2026-01-02", "1e5"]
)
def test_what_callers_say_stays_text(tmp_path: Path, word: str) -> None:
    """YAML 1.1 would read truth values, base 60 and dates here."""
    assert _read(tmp_path, f"{word}: {word}\n").data == {word: word}


def test_numbers_truth_and_nothing_are_read(tmp_path: Path) -> None:
    """The scalars of YAML 1.2's core schema that a persona needs."""
    data = _read(tmp_path, "a: 3\nb: -0.5\nc: true\nd: null\ne:\nf: '3'\n").data
    assert data == {"a": 3, "b": -0.5, "c": True, "d": None, "e": None, "f": "3"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", ":3: key 'a' is listed twice"),
        ("x:\n  - b: 2\n    b: 3\n", ":3: key 'b' is listed twice"),
        ("a: &x 1\nb: *x\n", ":2: aliases are not understood"),
        ("a: !!binary aGk=\n", ":1: tag .*binary is not understood"),
        ("a: 1\nb: !thing {}\n", ":2: tag !thing is not understood"),
        ("1: x\n", ":1: a key must be text"),
        ("? [a]\n: x\n", ":1: a key must be text"),
        ("a: [1, 2\nb: 3\n", ":2: "),
        ("- a\n- b\n", "must be a mapping"),
        ("", "must be a mapping"),
        ("a: 1\n---\nb: 2\n", ":2: but found another document"),
        ("a: \x07\n", "special characters are not allowed"),
    ],
)
def test_what_is_no_plain_mapping_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Each refusal names the file and, where there is one, the line."""
    with pytest.raises(PersonaError, match=rf"file\.yaml.*{message}"):
        _read(tmp_path, text)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """The system's words are kept."""
    with pytest.raises(PersonaError, match=r"gone\.yaml: cannot be read: No such file"):
        document.read(tmp_path / "gone.yaml")


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    """Latin-1 would show up as wrong letters in a prompt."""
    path = tmp_path / "file.yaml"
    path.write_bytes("a: café\n".encode("latin-1"))
    with pytest.raises(PersonaError, match="is not UTF-8 text"):
        document.read(path)


BOX = "# a comment\nitems:\n  - name: a\n  - name: b\n    tags:\n      - x\n      - 7\nsize: 2\n"


def test_lines_are_counted_from_one_and_found_in_depth(tmp_path: Path) -> None:
    """A location that does not exist gives the line of what does."""
    file = _read(tmp_path, BOX)
    assert file.line_of(()) == 2
    assert file.line_of(("items", 1, "tags", 1)) == 7
    assert file.line_of(("size",)) == 8
    assert file.line_of(("items", 0, "tags")) == 3
    assert file.line_of(("items", 9)) == 2


def test_every_mistake_is_reported_with_line_and_field(tmp_path: Path) -> None:
    """All at once, so that a file is not mended one error at a time."""
    file = _read(tmp_path, BOX + "colour: red\n")
    with pytest.raises(PersonaError) as caught:
        file.parse(Box, file.data)
    assert str(caught.value).splitlines() == [
        f"{file.path}:7: items.1.tags.1: Input should be a valid string",
        f"{file.path}:9: colour: unknown key; look for a typing error",
    ]


def test_valid_data_becomes_the_model(tmp_path: Path) -> None:
    """Lists are fine where a strict model wants tuples."""
    file = _read(tmp_path, "items:\n  - name: a\n    tags: [x, y]\n")
    assert file.parse(Box, file.data) == Box(items=(Item(name="a", tags=("x", "y")),))
