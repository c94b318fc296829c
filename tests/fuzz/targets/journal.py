"""An entry of the journal of calls, as any writer of Redis could leave it.

The bytes are the fields call, at, kind and data with a line feed between them.
"""

from callcenter.records.journal import decode, encode

FIELDS = ("call", "at", "kind", "data")


def one_input(data: bytes) -> None:
    """It is an entry, which is written and read again to the same, or a ValueError."""
    parts = data.decode("utf-8", "surrogateescape").split("\n", len(FIELDS) - 1)
    try:
        entry = decode(dict(zip(FIELDS, parts, strict=False)))
    except ValueError:
        return
    assert decode(encode(entry)) == entry
