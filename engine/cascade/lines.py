"""Rendered lines: memory first, then disk, then the voice itself.

Fixed lines of a persona are spoken the same way in every call, so they are rendered once and kept
on disk. Only lines that are named beforehand are: what a call brings along, such as a greeting by
name, may hold personal data. This module does not know calls or playing; it may be used from
several threads.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Set
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

_MAX_LINES: Final = 600  # about 3 s each: 90 MB
_log = logging.getLogger(__name__)


class Speaker(Protocol):
    """Anything that speaks a sentence: int16 [n] at 24 kHz."""

    def say(self, sentence: str) -> Samples:
        """Speaks one sentence."""
        ...


class LineCache:
    """The lines of one voice.

    Args:
        voice: renders what is missing.
        name: tells voices (and their settings and model versions) apart on disk.
        folder: where fixed lines are kept; None keeps them in memory only.
        fixed: lines without personal data, which may be written to the folder.
    """

    def __init__(
        self,
        voice: Speaker,
        name: str,
        folder: Path | None = None,
        fixed: Set[str] = frozenset(),
    ) -> None:
        self._voice = voice
        self._name = name
        self._folder = folder
        self._fixed = fixed
        self._lines: OrderedDict[str, Samples] = OrderedDict()
        self._lock = threading.Lock()

    def ready(self, text: str) -> Samples | None:
        """Returns the line if it is in memory; quick enough for the tick thread."""
        with self._lock:
            samples = self._lines.get(text)
            if samples is not None:
                self._lines.move_to_end(text)
            return samples

    def render(self, text: str) -> Samples:
        """Returns one sentence, spoken now if need be."""
        samples = self.ready(text)
        if samples is None:
            samples = self._load_or_say(text)
            self._remember(text, samples)
        return samples

    def _load_or_say(self, text: str) -> Samples:
        path = self._path(text)
        samples = _load(path) if path else None
        if samples is None:
            samples = self._voice.say(text)
            if path:
                _store(path, samples)
        return samples

    def _remember(self, text: str, samples: Samples) -> None:
        with self._lock:
            self._lines[text] = samples
            while len(self._lines) > _MAX_LINES:
                self._lines.popitem(last=False)

    def _path(self, text: str) -> Path | None:
        """Where the line is kept; None for one that must not be."""
        if self._folder is None or text not in self._fixed:
            return None
        key = hashlib.sha256(f"{self._name}\0{text}".encode()).hexdigest()
        return self._folder / f"{key[:32]}.npy"


def _load(path: Path) -> Samples | None:
    try:
        samples = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:  # a half-written or foreign file
        _log.warning("cascade.line_cache_unreadable", extra={"file": path.name, "why": str(error)})
        return None
    return samples if samples.dtype == np.int16 and samples.ndim == 1 else None


def _store(path: Path, samples: Samples) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder) / path.name
            np.save(part, samples, allow_pickle=False)
            os.replace(part, path)  # readers see the whole line or none
    except OSError as error:  # a full or read-only disk: the line is spoken anyway
        _log.warning("cascade.line_cache_unwritable", extra={"why": str(error)})
