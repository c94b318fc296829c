"""Small persona data that tests change one piece at a time."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def dialogue_data() -> dict[str, Any]:
    """The smallest valid dialogue with a slot, a follow-up and an action."""
    return {
        "intents": [
            {
                "name": "book",
                "topic": "booking",
                "examples": ["i want to book", "a table please"],
                "slots": [
                    {"name": "date", "kind": "date", "question": "Which day?"},
                    {"name": "time", "kind": "time", "question": "And when on {date}?"},
                ],
                "confirm": "{date} at {time}, right?",
                "answers": ["Booked for {date} at {time}."],
                "follow_up": {"question": "Anything else?", "no": "bye"},
            },
            {
                "name": "bye",
                "topic": "leaving",
                "examples": ["goodbye"],
                "answers": ["Goodbye from {{company}}."],
                "action": "hangup",
            },
        ],
        "yes": {"examples": ["yes"], "answer": "Good."},
        "no": {"examples": ["no"], "answer": "All right."},
        "repeat": {"examples": ["say it again"], "answer": "Sure. {previous}"},
        "did_you_mean": "Is it about {topic}?",
        "corrected": "Once more, then.",
        "fallbacks": ["Sorry?"],
        "handoff_offer": {"question": "Shall I put you through?"},
        "silence_prompts": ["Are you there?"],
        "goodbye": "Goodbye.",
    }


@pytest.fixture
def persona_data() -> dict[str, Any]:
    """The smallest valid persona with a fact, a required and an optional variable."""
    return {
        "name": "cafe",
        "title": "Cafe",
        "voice": "clara",
        "greeting": "{{company}}, hello {{caller}}!",
        "role_text": "You work for {{company}} which is a cafe.\n  Cake: {{cake}}.",
        "facts": {"company": "Cafe Blue"},
        "variables": {
            "caller": {"description": "who calls"},
            "cake": {"description": "today's cake", "default": "apple cake"},
        },
    }


@pytest.fixture
def write_wav() -> Callable[..., Path]:
    """Writes a mono 16-bit WAV of a tone."""

    def write(
        path: Path, duration_s: float = 4.0, peak: float = 0.5, rate_hz: int = 24_000
    ) -> Path:
        time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
        pcm = (peak * 32_767 * np.sin(2 * np.pi * 220 * time_s)).astype("<i2")
        with wave.open(str(path), "wb") as audio:
            audio.setnchannels(1)
            audio.setsampwidth(2)
            audio.setframerate(rate_hz)
            audio.writeframes(pcm.tobytes())
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path, persona_data: dict[str, Any], write_wav: Callable[..., Path]) -> Path:
    """A library folder with one persona and one voice (JSON is YAML too)."""
    for name in ("templates", "dialogues", "voices"):
        (tmp_path / name).mkdir()
    voice = {
        "name": "clara",
        "title": "Clara",
        "gender": "female",
        "licence": "CC0",
        "source": "a tone",
        "consent": "synthetic",
        "transcript": "",
        "clip": "clara.wav",
    }
    (tmp_path / "voices" / "clara.yaml").write_text(json.dumps(voice))
    write_wav(tmp_path / "voices" / "clara.wav")
    (tmp_path / "templates" / "cafe.yaml").write_text(json.dumps(persona_data))
    return tmp_path
