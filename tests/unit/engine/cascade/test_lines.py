"""Lines are rendered once, and personal ones stay off the disk."""

import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.cascade.lines import LineCache

FIXED = frozenset({"hello"})


class Voice:
    """Counts what it says; a line's samples are its length."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, sentence: str) -> NDArray[np.int16]:
        self.said.append(sentence)
        return np.full(4, len(sentence), np.int16)


def test_renders_once() -> None:
    """The second time comes from memory."""
    voice = Voice()
    cache = LineCache(voice, "v")
    assert cache.ready("hello") is None
    cache.render("hello")
    assert cache.ready("hello") is not None
    cache.render("hello")
    assert voice.said == ["hello"]


def test_fixed_lines_survive_a_restart(tmp_path: Path) -> None:
    """A new cache over the same folder needs no voice."""
    LineCache(Voice(), "v", tmp_path / "lines", FIXED).render("hello")
    voice = Voice()
    again = LineCache(voice, "v", tmp_path / "lines", FIXED).render("hello")
    assert again.tolist() == [5, 5, 5, 5]
    assert voice.said == []


def test_personal_lines_never_touch_the_disk(tmp_path: Path) -> None:
    """What was not named beforehand is spoken and forgotten."""
    LineCache(Voice(), "v", tmp_path, FIXED).render("for Anna Lopez")
    assert list(tmp_path.iterdir()) == []


def test_another_voice_has_its_own_lines(tmp_path: Path) -> None:
    """The name is part of the key."""
    LineCache(Voice(), "v1", tmp_path, FIXED).render("hello")
    voice = Voice()
    LineCache(voice, "v2", tmp_path, FIXED).render("hello")
    assert voice.said == ["hello"]


def test_a_damaged_file_is_rendered_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Half-written files cost one rendering and a log line."""
    LineCache(Voice(), "v", tmp_path, FIXED).render("hello")
    [file] = tmp_path.iterdir()
    file.write_bytes(b"\x93NUMPY broken")
    voice = Voice()
    with caplog.at_level(logging.WARNING):
        LineCache(voice, "v", tmp_path, FIXED).render("hello")
    assert voice.said == ["hello"]
    assert "cascade.line_cache_unreadable" in caplog.messages


def test_a_folder_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The line is spoken all the same."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with caplog.at_level(logging.WARNING):
        samples = LineCache(Voice(), "v", blocked / "lines", FIXED).render("hello")
    assert len(samples) == 4
    assert caplog.records
