"""What a model must still say when it runs in kernels or its numbers are kept in 8 bits.

The loaded weights themselves are asked, at start: plain PyTorch leads them through the folder's own
prompts with talk behind them and through random columns; the kernels, the 8-bit weights and the
8-bit pages are led through the same. What moves the words or the codes too far is not used.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.agreement import (
    Agreement,
    Lead,
    columns,
    compare_all,
    forced_logits,
    lead_of_columns,
    lead_of_prompt,
)
from engine.calibration import HiddenStates
from engine.config import Format
from engine.model.lm import LanguageModel
from engine.prefill import Prefix
from engine.shelf import VoiceShelf
from engine.text import TextStream

ROLE = "You are a wise and friendly teacher. Answer questions or provide advice in a clear way."
PROMPTS = 2
POSITIONS = 512
COMPARED = 64  # of each lead
CALIBRATION_SEEDS = (0, 1)
CHECK_SEEDS = (2, 3)

# Nats: at most a sixth of the words' probability goes elsewhere, and a third of a code's, of which
# many sound alike.
MOST_TEXT_KL = 0.05
MOST_CODES_KL = 0.2


def sample_prompts(voices: VoiceShelf, text: TextStream, lm: LanguageModel) -> list[Prefix]:
    """Prompts as calls have them: the first voices by name, each with a role text."""
    role_ids = tuple(text.role_ids(ROLE))
    chosen = [voices[name] for name in voices.names[:PROMPTS]]
    return [Prefix(voice.embeddings, voice.prompt(role_ids, lm.config)) for voice in chosen]


def leads(lm: LanguageModel, prompts: Sequence[Prefix], seeds: tuple[int, int]) -> list[Lead]:
    """A lead for each prompt, and one through random columns."""
    talk_seed, random_seed = seeds
    grid = columns(lm.config, POSITIONS + 1, random_seed)
    return [
        *(lead_of_prompt(lm, prompt, POSITIONS, COMPARED, talk_seed) for prompt in prompts),
        lead_of_columns(lm, grid, COMPARED),
    ]


class Gate:
    """The plain model's words, to compare with.

    Args:
        lm: the language model; its layers' plain weights may go once this is made.
        prompts: what calls begin with.
    """

    def __init__(self, lm: LanguageModel, prompts: Sequence[Prefix]) -> None:
        self._lm = lm
        with torch.inference_mode():
            self._leads = leads(lm, prompts, CHECK_SEEDS)
        self._plain = [forced_logits(lm, lm.hidden, lead) for lead in self._leads]

    def judge(
        self, hidden: HiddenStates, scales: Tensor | None = None, kv: Format = "bf16"
    ) -> Agreement:
        """How near `hidden` comes, with keys and values kept as `kv`."""
        found = [forced_logits(self._lm, hidden, lead, scales, kv) for lead in self._leads]
        return compare_all(self._plain, found)
