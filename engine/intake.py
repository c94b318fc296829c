"""What a session asks for, checked, and turned into a prompt.

It knows the voices, the tokenizer and the limits; no slot, no page and no device work.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from engine.interface import PromptRejected, Sampling, SessionSpec
from engine.prefill import Prefix
from engine.prompts import count_positions
from engine.shelf import VoiceShelf
from engine.text import TextStream
from engine.weights import Models


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
        voices: VoiceShelf,
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
