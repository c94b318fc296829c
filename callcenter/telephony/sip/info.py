"""Keys by INFO: `application/dtmf-relay` and `application/dtmf`. No RFC; this is what is sent."""

from __future__ import annotations

import re

from callcenter.telephony.sip.dtmf import KEYS
from callcenter.telephony.sip.message import BadRequest, Request

RELAY_TYPE, PLAIN_TYPE = "application/dtmf-relay", "application/dtmf"

_RELAYED = re.compile(
    r"^[ \t]*+signal[ \t]*+=[ \t]*+([0-9A-D*#]|1[0-5])[ \t\r]*+$", re.IGNORECASE | re.MULTILINE
)


def key_body(digit: str, duration_ms: int) -> bytes:
    """The body of a key press of ours."""
    return f"Signal={digit}\r\nDuration={duration_ms}\r\n".encode()


def key_in(request: Request) -> str | None:
    """The key that an INFO tells; None when it tells none.

    Raises:
        BadRequest: 415, a body of another kind.
    """
    text = request.body[:256].decode("latin-1")
    if request.content_type == RELAY_TYPE:
        found = _RELAYED.search(text)
        return _key(found[1]) if found else None
    if request.content_type == PLAIN_TYPE:
        return _key(text.strip())
    if request.body:
        accept = ("accept", f"{RELAY_TYPE}, {PLAIN_TYPE}")
        raise BadRequest(415, "Unsupported Media Type", (accept,))
    return None


def _key(text: str) -> str | None:
    """A key's name; some phones write 10 for * and 11 for #."""
    text = text.upper()
    if text.isascii() and text.isdigit() and len(text) == 2 and int(text) < len(KEYS):
        return KEYS[int(text)]
    return text if len(text) == 1 and text in KEYS else None
