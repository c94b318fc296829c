"""Names that keys may not have: the audit log would read as if the program itself had acted."""

from __future__ import annotations

import unicodedata

RESERVED = frozenset(
    {"system", "nobody", "first start", "first admin", "admin key", "callcenter", "program"}
)


def folded(name: str) -> str:
    """A name without what people overlook: case, width of letters, spaces, dashes."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(plain.replace("_", " ").replace("-", " ").split())


def problem_with(name: str) -> str:
    """Why a key may not have a name; "" if it may."""
    if name != name.strip() or not name.isprintable():
        return "use visible characters, and no space at the beginning or end"
    if folded(name) in RESERVED:
        return f"'{name}' is a name of the program itself; choose another one"
    return ""
