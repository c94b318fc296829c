"""The text stream's tokens and the text that they stand for.

It knows the tokenizer and nothing of positions, voices or calls.
"""

from __future__ import annotations

from collections.abc import Sequence

import sentencepiece

from engine.config import EPAD_TEXT, PAD_TEXT
from engine.prompts import wrap_role

WORD_START = "\u2581"  # sentencepiece's mark for a space


class TextStream:
    """Role texts to tokens, tokens to pieces of text."""

    def __init__(self, tokenizer: sentencepiece.SentencePieceProcessor) -> None:
        self._tokenizer = tokenizer

    def role_ids(self, role_text: str) -> Sequence[int]:
        """The text tokens of a role text, tags included; none for ""."""
        text = wrap_role(role_text)
        return self._tokenizer.EncodeAsIds(text) if text else []

    def piece(self, token: int) -> str:
        """The text of one token; "" for padding, control tokens and parts of a character."""
        tokenizer = self._tokenizer
        if token in (EPAD_TEXT, PAD_TEXT) or token >= tokenizer.GetPieceSize():
            return ""
        if tokenizer.IsControl(token):
            return ""
        if tokenizer.IsByte(token):
            byte = int(tokenizer.IdToPiece(token)[3:5], base=16)  # "<0x41>"
            return chr(byte) if byte < 0x80 else ""
        return str(tokenizer.IdToPiece(token)).replace(WORD_START, " ")
