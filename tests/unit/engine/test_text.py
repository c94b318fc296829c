"""Role texts to tokens, tokens to pieces."""

from __future__ import annotations

import pytest

from engine.text import TextStream
from tests.unit.engine import engine_cases


@pytest.fixture(scope="module")
def stream() -> TextStream:
    """The tiny checkpoint's text stream."""
    return TextStream(engine_cases.models().tokenizer)


def test_pieces_spell_the_role(stream: TextStream) -> None:
    """The tokens of a role text, read back, are the wrapped text with a space in front."""
    ids = stream.role_ids("Ada at a bank")
    assert "".join(map(stream.piece, ids)) == " <system> Ada at a bank <system>"


def test_empty_role_has_no_tokens(stream: TextStream) -> None:
    """Not even tags."""
    assert list(stream.role_ids(" ")) == []


def test_byte_pieces_are_their_character(stream: TextStream) -> None:
    """ASCII is spelt; a byte that is a part of a character alone says nothing."""
    tokenizer = engine_cases.models().tokenizer
    assert stream.piece(tokenizer.PieceToId("<0x41>")) == "A"
    assert stream.piece(tokenizer.PieceToId("<0xC3>")) == ""


def test_padding_and_control_are_silent(stream: TextStream) -> None:
    """EPAD, BOS, EOS, PAD and tokens beyond the tokenizer say nothing."""
    silent = [0, 1, 2, 3, engine_cases.models().tokenizer.GetPieceSize(), 10**6]
    assert [stream.piece(token) for token in silent] == [""] * len(silent)
