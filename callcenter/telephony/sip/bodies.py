"""What a message carries: one part, or several of them (RFC 2045, RFC 2046, RFC 5621).

    application/sdp                        the part itself
    multipart/mixed, related, alternative  the first part of a kind that we know, however deep

Parts that we don't know are passed over, unless their sender says that they must be understood. A
part without Content-Disposition counts as optional: RFC 5621 3.2 has "required", but a location
(RFC 6442) or ISUP part mostly comes without the header, from senders that expect to be answered.
The standard library's `email` reads the parts; here are bounds on what it is given.
"""

from __future__ import annotations

import email
import email.message
import re
from collections.abc import Collection, Iterator

from callcenter.telephony.sip.message import BadRequest, Message
from callcenter.telephony.sip.uri import parse_params

MAX_BYTES = 32_768  # of a body of several parts: reading one takes about a millisecond
MAX_PARTS = 16
MAX_LINES = 2_048
READ = ("multipart/mixed", "multipart/related", "multipart/alternative")
DISPOSITIONS = {"", "session", "signal", "info-package", "render"}  # RFC 3261 20.11, RFC 6086

_TYPE_HEADER = re.compile(rb"^content-type[ \t]*:", re.IGNORECASE | re.MULTILINE)
_DELIMITER = re.compile(rb"^--", re.MULTILINE)


def find(message: Message, kinds: Collection[str]) -> tuple[str, bytes] | None:
    """The first part of one of these media types; None if the message carries none.

    Args:
        message: with its body.
        kinds: media types in lower case, such as "application/sdp".

    Raises:
        BadRequest: 415, something that must be understood is not; 400 or 413, parts that cannot be
            read.
    """
    if not message.body.strip():
        return None
    accept = (("accept", ", ".join((*kinds, *READ))),)
    encoding = message.text("content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise BadRequest(415, "Unsupported Media Type", (("accept-encoding", "identity"),))
    kind = message.content_type
    if kind in kinds:
        return kind, message.body
    if kind not in READ:
        if _handling(message.text("content-disposition")) != "optional":
            raise BadRequest(415, "Unsupported Media Type", accept)
        return None
    return _first_known(_parts(message), kinds, accept)


def _first_known(
    parts: Iterator[email.message.Message],
    kinds: Collection[str],
    accept: tuple[tuple[str, str], ...],
) -> tuple[str, bytes] | None:
    found: tuple[str, bytes] | None = None
    for part in parts:
        kind, disposition = part.get_content_type(), str(part.get("content-disposition", ""))
        known = kind in kinds and _named(disposition) in DISPOSITIONS
        if not known and _handling(disposition) == "required":
            raise BadRequest(415, "Unsupported Media Type", accept)
        if known and found is None:
            content = part.get_payload(decode=True)
            found = kind, content if isinstance(content, bytes) else b""
    return found


def _parts(message: Message) -> Iterator[email.message.Message]:
    """All parts that have content, in their order."""
    body = message.body
    if len(body) > MAX_BYTES or body.count(b"\n") + body.count(b"\r") > 2 * MAX_LINES:
        raise BadRequest(413, f"a body of parts with more than {MAX_BYTES} bytes")
    too_many = len(_TYPE_HEADER.findall(body)) > MAX_PARTS
    if too_many or len(_DELIMITER.findall(body)) > 2 * MAX_PARTS:
        raise BadRequest(413, f"more than {MAX_PARTS} parts")
    head = f"Content-Type: {message.text('content-type')}\r\n\r\n"
    whole = email.message_from_bytes(head.encode("utf-8", "surrogateescape") + body)
    if not whole.is_multipart():
        raise BadRequest(400, "parts without the boundary that Content-Type names")
    return (part for part in whole.walk() if not part.is_multipart())


def _named(disposition: str) -> str:
    return disposition.partition(";")[0].strip().lower()


def _handling(disposition: str) -> str:
    """What becomes of a message whose receiver does not know the part: "required" or "optional"."""
    params = dict(parse_params(disposition.partition(";")[2]))
    return params.get("handling", "").lower()
