"""SIP messages: bytes <-> requests and responses (RFC 3261 7, 25).

A tolerant reader with limits: folded lines, compact names, lists in one line, bytes that are no
UTF-8 (carried through as surrogates). What cannot be answered raises ProtocolError; what can be,
but must be refused, raises BadRequest with the answer's status. It knows no transaction, no dialog
and no socket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from callcenter.errors import MessageTooLarge, ProtocolError
from callcenter.telephony.sip.names import COMPACT, REASONS, spelled
from callcenter.telephony.sip.uri import (
    NameAddr,
    SipUri,
    Via,
    first_value,
    parse_name_addr,
    parse_uri,
    parse_via,
    split_unquoted,
    whole_number,
)

MAX_MESSAGE_BYTES = 65_535
MAX_HEAD_BYTES = 32_768  # start line and headers: what is read on the loop that serves all calls
MAX_HEADERS = 200
MAX_CSEQ = 2**31 - 1  # RFC 3261 8.1.1.5

Value = TypeVar("Value")

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_STATUS_LINE = re.compile(r"SIP/2\.0 +([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE)


class BadRequest(ProtocolError):
    """A request that is refused with a status of its own.

    Attributes:
        status: the answer's.
        headers: what the answer must carry besides.
    """

    def __init__(self, status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


@dataclass(slots=True)
class Message:
    """What requests and responses share; header names are in lower case and never compact."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    # header -> the text that was read, and what it says: asked for many times, read once
    _read: dict[str, tuple[str, Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def get(self, name: str) -> str | None:
        """The first value of a header, as it stands."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def text(self, name: str) -> str:
        """The first value of a header, "" when it is not there."""
        return self.get(name) or ""

    def listed(self, name: str) -> list[str]:
        """All values of a header that may hold a list, in order."""
        values = [value for key, value in self.headers if key == name]
        return [piece.strip() for value in values for piece in split_unquoted(value, ",")]

    def tokens(self, name: str) -> set[str]:
        """The values of Supported, Require and such, in lower case."""
        return {value.lower() for value in self.listed(name) if value}

    def add(self, name: str, value: str) -> None:
        """Appends a header."""
        self.headers.append((name.lower(), value))

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.text("call-id")

    @property
    def from_(self) -> NameAddr:
        """The From header."""
        return self._once("from", self.text("from"), parse_name_addr)

    @property
    def to(self) -> NameAddr:
        """The To header."""
        return self._once("to", self.text("to"), parse_name_addr)

    @property
    def via(self) -> Via:
        """The topmost Via."""
        topmost = self.get("via")
        if topmost is None:
            raise ProtocolError("a message without Via")
        return self._once("via", topmost, lambda text: parse_via(first_value(text)))

    @property
    def cseq(self) -> tuple[int, str]:
        """Number and method.

        Raises:
            ProtocolError: not a number below 2^31 and a method.
        """
        text, *method = self.text("cseq").split(None, 1) or [""]
        number = whole_number(text, MAX_CSEQ)
        if number is None:
            raise ProtocolError(f"not a CSeq up to 2^31 - 1: {self.text('cseq')[:40]!r}")
        return number, "".join(method).strip()

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact; None without one, or for a "*"."""
        value = first_value(self.text("contact"))
        return parse_name_addr(value) if value and value != "*" else None

    @property
    def record_routes(self) -> list[NameAddr]:
        """The Record-Route values, in order.

        Raises:
            ProtocolError: one of them is no address.
        """
        return [parse_name_addr(text) for text in self.listed("record-route")]

    @property
    def content_type(self) -> str:
        """Media type of the body, in lower case, without parameters."""
        return self.text("content-type").partition(";")[0].strip().lower()

    def _once(self, name: str, text: str, read: Callable[[str], Value]) -> Value:
        known = self._read.get(name)
        if known is None or known[0] is not text:
            self._read[name] = known = (text, read(text))
        value: Value = known[1]
        return value

    def _encode(self, start_line: str) -> bytes:
        lines = [start_line]
        lines += [f"{spelled(name)}: {value}" for name, value in self.headers]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


@dataclass(slots=True)
class Request(Message):
    """A request.

    Attributes:
        fault: what is wrong with it though it could be read; it is answered with that.
        source: the host that it came from, by its address; "" for one of ours.
    """

    method: str = ""
    uri_text: str = ""
    fault: BadRequest | None = None
    source: str = ""

    @property
    def uri(self) -> SipUri:
        """The Request-URI; raises ProtocolError for a scheme that is none of a telephone's."""
        return parse_uri(self.uri_text)

    def encode(self) -> bytes:
        """The request as it goes over the wire."""
        return self._encode(f"{self.method} {self.uri_text} SIP/2.0")


@dataclass(slots=True)
class Response(Message):
    """A response."""

    status: int = 0
    reason: str = ""

    def encode(self) -> bytes:
        """The response as it goes over the wire."""
        return self._encode(f"SIP/2.0 {self.status} {self.reason}")


AnyMessage = Request | Response


def parse(data: bytes) -> AnyMessage:
    """Reads one message.

    Raises:
        MessageTooLarge: over the limits.
        ProtocolError: not SIP, or too broken to be answered.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise MessageTooLarge(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
    data = data.lstrip(b"\r\n")
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        head, separator, body = data.partition(b"\n\n")
    if not separator:
        raise ProtocolError("no empty line after the headers")
    if len(head) > MAX_HEAD_BYTES:
        raise MessageTooLarge(f"headers of more than {MAX_HEAD_BYTES} bytes")
    start_line, *lines = head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n")
    headers = parse_headers(lines)
    message = _parse_start(start_line, headers)
    message.body = body
    try:
        message.body = _cut_body(message, body)
    except BadRequest as bad:
        if isinstance(message, Response):
            raise
        message.fault = message.fault or bad
    return message


def reply(request: Request, status: int, reason: str = "", to_tag: str = "") -> Response:
    """A response with the headers that every response copies (RFC 3261 8.2.6.2)."""
    headers = [(name, value) for name, value in request.headers if name == "via"]
    for name in ("from", "to", "call-id", "cseq"):
        value = request.get(name)
        if value is None:  # refused for that very reason
            continue
        if name == "to" and to_tag and not _has_tag(value):
            value = f"{value};tag={to_tag}"
        headers.append((name, value))
    return Response(headers, b"", status, reason or REASONS.get(status, "Refused"))


def _has_tag(address: str) -> bool:
    try:
        return parse_name_addr(address).param("tag") is not None
    except ProtocolError:  # the address is refused for that very reason
        return ";tag=" in address.replace(" ", "").lower()


def one_line(text: str) -> str:
    """Text that may stand in a header: nothing that could begin another one."""
    return "".join(char for char in text if char.isprintable() and char not in '"\\')


def parse_headers(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Reads header lines: folded ones joined, names in lower case, compact ones written out.

    Raises:
        ProtocolError: a line that is none.
        MessageTooLarge: too many of them.
    """
    headers: list[tuple[str, list[str]]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and headers:  # folded: goes on from the line before
            headers[-1][1].append(line.strip())
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not _TOKEN.fullmatch(name):
            raise ProtocolError(f"not a header line: {line[:60]!r}")
        headers.append((COMPACT.get(name, name), [value.strip()]))
        if len(headers) > MAX_HEADERS:
            raise MessageTooLarge(f"more than {MAX_HEADERS} headers")
    return [(name, " ".join(pieces).strip()) for name, pieces in headers]


def _parse_start(line: str, headers: list[tuple[str, str]]) -> AnyMessage:
    status = _STATUS_LINE.fullmatch(line)
    if status is not None:
        return Response(headers, b"", int(status[1]), (status[2] or "").strip())
    rest, _, version = line.strip().rpartition(" ")
    method, _, uri = rest.partition(" ")
    if not _TOKEN.fullmatch(method) or not uri.strip() or not version.upper().startswith("SIP/"):
        raise ProtocolError(f"not a request line: {line[:80]!r}")
    request = Request(headers, b"", method, uri.strip())
    if version.upper() != "SIP/2.0":
        request.fault = BadRequest(505, "")
    elif line.split() != line.split(" "):
        request.fault = BadRequest(400, "spaces in the request line")
    elif " " in uri:
        request.fault = BadRequest(400, "a space in the Request-URI")
    return request


def _cut_body(message: Message, body: bytes) -> bytes:
    """The body that Content-Length announces; a datagram without one has the rest as body.

    Raises:
        BadRequest: it announces nothing, too much, or different things.
    """
    announced = {value.strip() for key, value in message.headers if key == "content-length"}
    if not announced:
        return body
    length = whole_number(next(iter(announced)), MAX_MESSAGE_BYTES)
    if len(announced) > 1 or length is None:
        raise BadRequest(400, "needs one Content-Length, a number")
    if length > len(body):
        raise BadRequest(400, f"Content-Length {length}, but {len(body)} bytes came")
    return body[:length]


def content_length(text: str) -> int:
    """Reads Content-Length.

    Raises:
        ProtocolError: not a number from 0 to the size limit.
    """
    length = whole_number(text.strip(), 999_999)
    if length is None:
        raise ProtocolError(f"not a Content-Length: {text[:20]!r}")
    return length
