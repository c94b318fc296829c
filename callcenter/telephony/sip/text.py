"""Text of the far end, made safe for whoever stores, shows or sends it.

Bytes that are no UTF-8 come in as lone surrogates, which no encoder takes; NUL ends a text for
PostgreSQL; control and direction characters deceive whoever reads a log or a console.
"""

from __future__ import annotations

REPLACEMENT = "\ufffd"


def clean(text: str, limit: int) -> str:
    """Text in which every character can be printed, at most `limit` of them.

    What cannot is replaced and not left out: a number with a hidden character in it must not become
    one that somebody else has.
    """
    text = text[:limit]
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() else REPLACEMENT
