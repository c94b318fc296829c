"""Keys by INFO, in all the forms that phones and PBXs send. No RFC; this is what is seen.

    application/dtmf-relay                  Signal=5 CRLF Duration=160; spaces, CR or LF alone, ":"
    application/dtmf                        5
    application/vnd.nortelnetworks.digits   lines of which one is d=5

A body that tells no key is refused, so that nobody takes it for heard. Other packages (RFC 6086)
are refused with 469.
"""

from __future__ import annotations

import re

from callcenter.telephony.sip.bodies import find
from callcenter.telephony.sip.dtmf import KEYS
from callcenter.telephony.sip.message import BadRequest, Request

RELAY_TYPE, PLAIN_TYPE = "application/dtmf-relay", "application/dtmf"
NORTEL_TYPE = "application/vnd.nortelnetworks.digits"
FLASH_TYPE = "application/hook-flash"
TYPES = (RELAY_TYPE, PLAIN_TYPE, NORTEL_TYPE, FLASH_TYPE)
PACKAGES = {"", "dtmf", "nil"}  # RFC 6086 registers none for keys; some name this one

# Possessive, and within one line: no text is looked at twice.
_NAMED = re.compile(
    r'^[^\S\n]*+(?:signal|d)[^\S\n]*+[=:][^\S\n]*+"?+[^\S\n]*+([^\s"]*+)',
    re.IGNORECASE | re.MULTILINE,
)
_FLASH = {"16", "!", "R", "F", "HF", "FLASH", "HOOKFLASH"}


def key_body(digit: str, duration_ms: int) -> bytes:
    """The body of a key press of ours."""
    return f"Signal={digit}\r\nDuration={duration_ms}\r\n".encode()


def key_in(request: Request) -> str | None:
    """The key that an INFO tells; None for a flash of the hook, and for an INFO without a body.

    Raises:
        BadRequest: 415, a body of another kind; 400, one that tells no key; 469, another package.
    """
    package = request.text("info-package").partition(";")[0].strip().lower()
    if package not in PACKAGES:
        raise BadRequest(469, "Bad Info Package", (("recv-info", ""),))
    found = find(request, TYPES)
    if found is None or found[0] == FLASH_TYPE:
        return None
    text = found[1][:256].decode("latin-1").replace("\r", "\n")
    named = _NAMED.search(text)
    pressed = (named[1] if named is not None else text).strip().upper()
    key = _key(pressed)
    if key is None and pressed not in _FLASH:
        raise BadRequest(400, "the body tells no key: one of 0-9 * # A-D")
    return key


def _key(text: str) -> str | None:
    """A key's name; some phones write 10 for * and 11 for #."""
    if text.isascii() and text.isdigit() and len(text) == 2 and int(text) < len(KEYS):
        return KEYS[int(text)]
    return text if len(text) == 1 and text in KEYS else None
