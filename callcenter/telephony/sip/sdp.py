"""Reads session descriptions (RFC 8866): media lines and their attributes.

What is chosen from them is `offer_answer`'s; it knows no socket.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.media_plan import CODECS
from callcenter.telephony.sip.uri import whole_number

SDP_TYPE = "application/sdp"
MAX_SDP_BYTES = 16_384
MAX_MEDIA = 16
MAX_FORMATS = 128  # of one media line: there are no more payload types
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
DTMF = "telephone-event"
PLAIN, SECURE = "RTP/AVP", "RTP/SAVP"
_STATIC = {codec.static_type: codec for codec in CODECS.values() if codec.static_type is not None}


@dataclass(slots=True)
class MediaLine:
    """One m= section as it was written."""

    kind: str
    port: int
    protocol: str
    formats: list[str]
    host: str
    attributes: list[tuple[str, str]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [value for key, value in self.attributes if key == name]

    @property
    def direction(self) -> str:
        """From the writer's point of view."""
        named = [key for key, _ in self.attributes if key in DIRECTIONS]
        return named[-1] if named else "sendrecv"

    @property
    def secure(self) -> bool:
        """Whether it is SRTP."""
        return self.protocol.upper() in (SECURE, "RTP/SAVPF")


@dataclass(slots=True)
class Description:
    """A whole session description."""

    media: list[MediaLine]

    @property
    def audio(self) -> MediaLine | None:
        """The first audio line that is alive and is RTP."""
        return next(iter(self.audio_lines), None)

    @property
    def audio_lines(self) -> list[MediaLine]:
        """The audio lines that are alive and are RTP, in their order."""
        return [
            line
            for line in self.media
            if line.kind == "audio" and line.port and line.protocol.upper().startswith("RTP/")
        ]


def parse(data: bytes) -> Description:
    """Reads a description.

    Raises:
        ProtocolError: not SDP, or over the limits.
    """
    if len(data) > MAX_SDP_BYTES:
        raise ProtocolError(f"SDP of more than {MAX_SDP_BYTES} bytes")
    host, media, shared = "", list[MediaLine](), list[tuple[str, str]]()
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    if not lines[0].startswith("v=0"):
        raise ProtocolError("SDP must begin with v=0")
    for line in lines:
        kind, _, value = line.strip().partition("=")
        if kind == "c":
            address = _connection(value)
            if media:
                media[-1].host = address
            else:
                host = address
        elif kind == "m":
            media.append(_media_line(value, host))
        elif kind == "a":
            name, _, rest = value.partition(":")
            (media[-1].attributes if media else shared).append((name.lower(), rest))
    if len(media) > MAX_MEDIA:
        raise ProtocolError(f"more than {MAX_MEDIA} media lines")
    for section in media:
        section.attributes = shared + section.attributes
    return Description(media)


def rtpmaps(line: MediaLine) -> dict[int, tuple[str, int, int]]:
    """Payload type -> name, clock and channels, static types included."""
    maps = {number: (c.name, c.clock_hz, c.channels) for number, c in _STATIC.items()}
    for value in line.values("rtpmap"):
        number, _, encoding = value.partition(" ")
        name, _, rest = encoding.strip().partition("/")
        clock, _, channels = rest.partition("/")
        payload_type, clock_hz = whole_number(number, 127), whole_number(clock, 999_999)
        if payload_type is not None and clock_hz is not None:
            maps[payload_type] = (name.lower(), clock_hz, whole_number(channels, 99) or 1)
    return maps


def payload_types(line: MediaLine) -> list[int]:
    """The payload types of a line, in its order."""
    types = [whole_number(text, 127) for text in line.formats]
    return [number for number in types if number is not None]


def rtcp_port(line: MediaLine) -> int:
    """Where the writer hears RTCP (RFC 3605, RFC 5761)."""
    for value in line.values("rtcp"):
        port = whole_number(value.split()[0], 65_535) if value.split() else None
        if port:
            return port
    return line.port if line.values("rtcp-mux") else min(line.port + 1, 65_535)


def _connection(value: str) -> str:
    parts = value.split()
    if len(parts) != 3 or [part.upper() for part in parts[:2]] not in (
        ["IN", "IP4"],
        ["IN", "IP6"],
    ):
        raise ProtocolError(f"not a connection line: {value[:60]!r}")
    return parts[2].partition("/")[0].lower()


def _media_line(value: str, host: str) -> MediaLine:
    parts = value.split()
    if len(parts) < 4:
        raise ProtocolError(f"not a media line: {value[:60]!r}")
    if len(parts) > 3 + MAX_FORMATS:
        raise ProtocolError(f"a media line of more than {MAX_FORMATS} formats")
    port_text = parts[1].partition("/")[0]
    port = whole_number(port_text, 65_535)
    if port is None:
        raise ProtocolError(f"not a port: {port_text[:20]!r}")
    return MediaLine(parts[0].lower(), port, parts[2], parts[3:], host)
