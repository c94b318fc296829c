"""What a caller is likely to say next, as the text that a recogniser is shown before it listens.

Whisper continues a text: shown answers of the kind that was asked for, it writes "at seven thirty"
instead of "attend". Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_ANSWERS: Final[Mapping[str, str]] = {
    "date": "On Monday. Tuesday. On Wednesday. On Thursday. Next Friday. This Saturday. On Sunday. "
    "Tomorrow. The day after tomorrow. On the 21st. On the third of May.",
    "time": "At 7:30. At half past six. Quarter past eight. At ten in the morning. At 2 o'clock. "
    "At noon. At quarter to nine. At 11:45.",
    "number": "Two. For four people. Three nights. For five days. Six of us. Just me. Eight.",
    "digits": "4, 0, 7, 2. 5, 5, 0, 1. Double 3, 8, 9, 6.",
    "name": "My name is",
    "letters": "S, M, I, T, H.",
    "confirm": "Yes, that's right. No. Yes, please.",
    "text": "",
}
_ADDRESSES: Final = "12 Harbor Street. It's 8 Maple Road. 400 Oak Avenue."


def expected_words(kind: str, options: Sequence[str], question: str) -> str:
    """Returns the context for one kind of answer.

    Args:
        kind: one of `script.SLOT_KINDS`, "letters", or "confirm" for a read-back.
        options: of a choice.
        question: what the agent has just asked.
    """
    if kind == "choice":
        return f"{question} " + " ".join(f"{option.capitalize()}." for option in options)
    if kind == "text" and "address" in question:
        return f"{question} {_ADDRESSES}"
    return f"{question} {_ANSWERS[kind]}".strip()
