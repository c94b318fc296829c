"""What a session asks for, checked, and turned into a prompt.

It knows the voices, the tokenizer and the limits; no slot, no page and no device work but the
loading of voices.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.interface import PromptRejected, Sampling, SessionSpec
from engine.prefill import Prefix
from engine.prompts import count_positions
from engine.text import TextStream
from engine.voices import Voice, load_voice
from engine.weights import Models


@dataclass(frozen=True, slots=True)
class Voices:
    """The voices of an engine.

    Attributes:
        usable: by name.
        rejected: why the others cannot be used, by name.
    """

    usable: Mapping[str, Voice]
    rejected: Mapping[str, str]

    @staticmethod
    def load(files: Mapping[str, Path], models: Models) -> Voices:
        """Reads every file; one that cannot be used keeps no other from being used."""
        usable, rejected = {}, {}
        for name, path in files.items():
            try:
                usable[name] = load_voice(path, models.mimi, models.lm.config)
            except PromptRejected as error:
                rejected[name] = str(error)
        return Voices(usable, rejected)

    def __getitem__(self, name: str) -> Voice:
        """A voice; PromptRejected says why there is none."""
        if name in self.rejected:
            raise PromptRejected(self.rejected[name])
        if name not in self.usable:
            known = ", ".join(sorted(self.usable)) or "none"
            raise PromptRejected(f"unknown voice {name!r}; this engine has: {known}")
        return self.usable[name]


class Intake:
    """Judges sessions before anything is taken for them.

    Args:
        models: the loaded checkpoint.
        voices: that sessions may ask for.
        text: role texts to tokens.
        prompt_budget: positions that a prompt may have.
        text_k: largest text top-k.
        audio_k: largest audio top-k.
    """

    def __init__(
        self,
        models: Models,
        voices: Voices,
        text: TextStream,
        prompt_budget: int,
        text_k: int,
        audio_k: int,
    ) -> None:
        self._models = models
        self._voices = voices
        self._text = text
        self._budget = prompt_budget
        self._most = {"text_top_k": text_k, "audio_top_k": audio_k}

    def prompt(self, spec: SessionSpec) -> tuple[Hashable, Prefix]:
        """A session's prompt and the name under which it is shared.

        Raises:
            PromptRejected: the voice is unknown or unusable, or the role text too long.
        """
        voice = self._voices[spec.voice]
        role_ids = tuple(self._text.role_ids(spec.role_text))
        count_positions(len(role_ids), voice.positions, self._budget)
        prompt = voice.prompt(role_ids, self._models.lm.config)
        return (self._models.weights_id, spec.voice, role_ids), Prefix(voice.embeddings, prompt)

    def check_sampling(self, sampling: Sampling) -> None:
        """Refuses what cannot be drawn.

        Raises:
            PromptRejected: names the field, its value and the rule.
        """
        for name, most in self._most.items():
            if not 1 <= getattr(sampling, name) <= most:
                raise PromptRejected(
                    f"{name} is {getattr(sampling, name)}; this engine takes 1 to {most}"
                )
        for name in ("text_temperature", "audio_temperature"):
            value = getattr(sampling, name)
            if not 0 <= value < math.inf:
                raise PromptRejected(f"{name} is {value}; it must be 0 or more, and finite")
