"""SDP offers and answers for one audio stream (RFC 8866, RFC 3264, RFC 4568, RFC 4733).

Reads what is offered, chooses, and writes the mirror of it: every media line of an offer has one in
the answer, those that are not ours with port 0. It knows codecs by name and number only, and no
socket: addresses and keys are handed in.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.uri import parse_port

MAX_SDP_BYTES = 16_384
MAX_MEDIA = 16
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_REVERSED = {"sendonly": "recvonly", "recvonly": "sendonly"}
DTMF = "telephone-event"
PLAIN, SECURE = "RTP/AVP", "RTP/SAVP"

SUITES = {  # SDES suites by key and salt length, in our order of preference (RFC 4568, 7714)
    "AEAD_AES_256_GCM": 44,
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
}


class NotAcceptable(ProtocolError):
    """No way to talk: no common codec, or a policy about encryption; answered with 488."""


@dataclass(frozen=True, slots=True)
class CodecName:
    """A codec as SDP names it.

    Attributes:
        name: in lower case: "pcmu", "pcma", "g722", "opus".
        clock_hz: RTP clock. G.722's is 8000 though it has 16,000 samples a second (RFC 3551 4.5.2).
        channels: as in rtpmap.
        static_type: its payload type by RFC 3551; None when it has none.
        fmtp: what we want of it.
    """

    name: str
    clock_hz: int
    channels: int = 1
    static_type: int | None = None
    fmtp: str = ""


CODECS = {
    "pcmu": CodecName("pcmu", 8_000, 1, 0),
    "pcma": CodecName("pcma", 8_000, 1, 8),
    "g722": CodecName("g722", 8_000, 1, 9),
    "opus": CodecName("opus", 48_000, 2, None, "stereo=0;sprop-stereo=0"),
}
_STATIC = {codec.static_type: codec for codec in CODECS.values() if codec.static_type is not None}


@dataclass(frozen=True, slots=True)
class CryptoKey:
    """One SDES key: master key and salt together."""

    suite: str
    key: bytes
    tag: int = 1

    def __repr__(self) -> str:
        return f"CryptoKey({self.suite})"


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
        for line in self.media:
            if line.kind == "audio" and line.port and line.protocol.upper().startswith("RTP/"):
                return line
        return None


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What this end offers for one call.

    Attributes:
        host: the address that the far end can reach.
        port: of RTP; RTCP is on the next one.
        codecs: names, in order of preference.
        srtp: "never", "may" or "must".
        session_id: for o=.
        new_key: bytes wanted -> fresh random bytes.
    """

    host: str
    port: int
    codecs: tuple[str, ...]
    srtp: str
    session_id: int
    new_key: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class MediaPlan:
    """What both ends agreed on.

    Attributes:
        remote: RTP address of the far end; None while it has none (0.0.0.0).
        remote_rtcp_port: where its RTCP is heard.
        codec: what we send.
        payload_type: under which number.
        accepts: payload type -> codec, all that may come; a peer may use any of them at any time.
        dtmf_type, dtmf_clock_hz: telephone-event; None when not agreed.
        direction: ours.
        local_key, remote_key: of SRTP; None for plain RTP.
        rtcp_mux: RTCP comes to the RTP port.
    """

    remote: tuple[str, int] | None
    remote_rtcp_port: int
    codec: CodecName
    payload_type: int
    accepts: Mapping[int, CodecName]
    dtmf_type: int | None
    dtmf_clock_hz: int
    direction: str
    local_key: CryptoKey | None
    remote_key: CryptoKey | None
    rtcp_mux: bool = False

    @property
    def on_hold(self) -> bool:
        """Whether the far end doesn't want to hear us."""
        return self.direction not in ("sendrecv", "sendonly")


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


def answer(offer: Description, local: LocalMedia, version: int) -> tuple[bytes, MediaPlan]:
    """Answers an offer.

    Returns:
        The answer's SDP and what was agreed.

    Raises:
        NotAcceptable: no audio that we can talk.
    """
    line = offer.audio
    if line is None:
        raise NotAcceptable("no RTP audio is offered")
    accepts = _common(line, local.codecs)
    keys = _agree_on_keys(line, local)
    direction = _REVERSED.get(line.direction, line.direction)
    plan = _plan(line, accepts, direction, *keys)
    sections = [
        _audio_section(local, plan, line.protocol) if other is line else _refused(other)
        for other in offer.media
    ]
    return _write(local, version, sections), plan


@dataclass(frozen=True, slots=True)
class Offered:
    """What an offer of ours said, until its answer comes."""

    plan: MediaPlan
    keys: list[CryptoKey]

    def answered(self, description: Description) -> MediaPlan:
        """What the answer agrees to.

        Raises:
            NotAcceptable: it agrees to nothing that was offered.
        """
        line = description.audio
        if line is None:
            raise NotAcceptable("the answer refuses the audio")
        names = tuple(codec.name for codec in self.plan.accepts.values())
        accepts = _common(line, names)
        ours = theirs = None
        if self.keys:
            theirs = next(iter(_keys_of(line)), None)
            ours = next((key for key in self.keys if theirs and key.tag == theirs.tag), None)
            if ours is None or theirs is None or ours.suite != theirs.suite:
                raise NotAcceptable("the answer accepts none of the offered SRTP keys")
        direction = _REVERSED.get(line.direction, line.direction)
        return _plan(line, accepts, direction, ours, theirs)


def offer(local: LocalMedia, version: int, direction: str = "sendrecv") -> tuple[bytes, Offered]:
    """Offers, for an INVITE that came without SDP or for one of ours."""
    accepts, free = dict[int, CodecName](), 96
    for name in local.codecs:
        codec = CODECS[name]
        number = codec.static_type if codec.static_type is not None else free
        free += codec.static_type is None
        accepts[number] = codec
    secure = local.srtp == "must"
    key = _new_key(local, next(iter(SUITES)), 1) if secure else None
    plan = MediaPlan(
        None,
        0,
        next(iter(accepts.values())),
        next(iter(accepts)),
        accepts,
        101,
        8_000,
        direction,
        key,
        None,
    )
    keys = _offered_keys(local, key) if key is not None else []
    section = _audio_section(local, plan, SECURE if secure else PLAIN, keys)
    return _write(local, version, [section]), Offered(plan, keys)


def _plan(
    line: MediaLine,
    accepts: dict[int, CodecName],
    direction: str,
    local_key: CryptoKey | None,
    remote_key: CryptoKey | None,
) -> MediaPlan:
    payload_type, codec = next(iter(accepts.items()))
    dtmf_type, dtmf_clock_hz = _dtmf(line, codec.clock_hz)
    silent = line.host in ("", "0.0.0.0", "::")  # noqa: S104  (the old way to hold, RFC 3264 8.4)
    if silent and direction == "sendrecv":
        direction = "recvonly"
    return MediaPlan(
        remote=None if silent else (line.host, line.port),
        remote_rtcp_port=_rtcp_port(line),
        codec=codec,
        payload_type=payload_type,
        accepts=accepts,
        dtmf_type=dtmf_type,
        dtmf_clock_hz=dtmf_clock_hz,
        direction=direction,
        local_key=local_key,
        remote_key=remote_key,
        rtcp_mux=bool(line.values("rtcp-mux")),
    )


def _maps(line: MediaLine) -> dict[int, tuple[str, int, int]]:
    """Payload type -> name, clock and channels, static types included."""
    maps = {number: (c.name, c.clock_hz, c.channels) for number, c in _STATIC.items()}
    for value in line.values("rtpmap"):
        number, _, encoding = value.partition(" ")
        name, _, rest = encoding.strip().partition("/")
        clock, _, channels = rest.partition("/")
        if number.isdigit() and int(number) < 128 and clock.isdigit() and len(clock) < 7:
            many = int(channels) if channels.isdigit() and len(channels) < 3 else 1
            maps[int(number)] = (name.lower(), int(clock), many)
    return maps


def _offered_types(line: MediaLine) -> list[int]:
    return [int(text) for text in line.formats if text.isdigit() and int(text) < 128]


def _common(line: MediaLine, wanted: Iterable[str]) -> dict[int, CodecName]:
    """Common codecs in our order; the answer's first is what we send.

    Raises:
        NotAcceptable: there is none.
    """
    maps, common = _maps(line), dict[int, CodecName]()
    for name in wanted:
        codec = CODECS[name]
        for number in _offered_types(line):
            found = maps.get(number)
            if found is not None and found[:2] == (codec.name, codec.clock_hz):
                common.setdefault(number, codec)
    if not common:
        offered = ", ".join(str(maps.get(n, (n,))[0]) for n in _offered_types(line)) or "nothing"
        raise NotAcceptable(f"no common codec: offered {offered}, we have {', '.join(wanted)}")
    return common


def _dtmf(line: MediaLine, clock_hz: int) -> tuple[int | None, int]:
    """The telephone-event type, the one at the codec's clock first (RFC 4733 2.1)."""
    maps = _maps(line)
    events = [(n, maps[n][1]) for n in _offered_types(line) if n in maps and maps[n][0] == DTMF]
    events.sort(key=lambda event: event[1] != clock_hz)
    return events[0] if events else (None, 8_000)


def _agree_on_keys(line: MediaLine, local: LocalMedia) -> tuple[CryptoKey | None, CryptoKey | None]:
    if not line.secure:
        if local.srtp == "must":
            raise NotAcceptable("this trunk needs SRTP (RTP/SAVP with a=crypto)")
        return None, None
    if local.srtp == "never":
        raise NotAcceptable("this trunk has no SRTP")
    offered = {key.suite: key for key in reversed(_keys_of(line))}
    for suite in SUITES:
        if suite in offered:
            return _new_key(local, suite, offered[suite].tag), offered[suite]
    raise NotAcceptable("no common SRTP suite: we have " + ", ".join(SUITES))


def _keys_of(line: MediaLine) -> list[CryptoKey]:
    """The a=crypto values that we understand (RFC 4568 9.1)."""
    keys = []
    for value in line.values("crypto"):
        parts = value.split()
        if len(parts) < 3 or not parts[0].isdigit() or parts[1] not in SUITES or len(parts) > 3:
            continue  # session parameters change the keying: none of them is supported
        method, _, material = parts[2].partition(":")
        key = _decode_key(material.partition("|")[0])
        if method.lower() == "inline" and len(key) == SUITES[parts[1]] and len(parts[0]) < 10:
            keys.append(CryptoKey(parts[1], key, int(parts[0])))
    return keys


def _decode_key(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):  # the far end's mistake: this key is no key
        return b""


def _new_key(local: LocalMedia, suite: str, tag: int) -> CryptoKey:
    return CryptoKey(suite, local.new_key(SUITES[suite]), tag)


def _offered_keys(local: LocalMedia, first: CryptoKey) -> list[CryptoKey]:
    others = [suite for suite in SUITES if suite != first.suite]
    return [first, *(_new_key(local, suite, tag) for tag, suite in enumerate(others, start=2))]


def _audio_section(
    local: LocalMedia, plan: MediaPlan, protocol: str, keys: list[CryptoKey] | None = None
) -> list[str]:
    types = [str(number) for number in plan.accepts]
    if plan.dtmf_type is not None:
        types.append(str(plan.dtmf_type))
    lines = [f"m=audio {local.port} {protocol} {' '.join(types)}"]
    for number, codec in plan.accepts.items():
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        name = codec.name if codec.name == "opus" else codec.name.upper()
        lines.append(f"a=rtpmap:{number} {name}/{codec.clock_hz}{channels}")
        if codec.fmtp:
            lines.append(f"a=fmtp:{number} {codec.fmtp}")
    if plan.dtmf_type is not None:
        lines.append(f"a=rtpmap:{plan.dtmf_type} {DTMF}/{plan.dtmf_clock_hz}")
        lines.append(f"a=fmtp:{plan.dtmf_type} 0-16")
    lines.append("a=ptime:20")
    lines += ["a=rtcp-mux"] if plan.rtcp_mux else [f"a=rtcp:{local.port + 1}"]
    for key in keys or ([plan.local_key] if plan.local_key else []):
        material = base64.b64encode(key.key).decode()
        lines.append(f"a=crypto:{key.tag} {key.suite} inline:{material}")
    return [*lines, f"a={plan.direction}"]


def _refused(line: MediaLine) -> list[str]:
    return [f"m={line.kind} 0 {line.protocol} {' '.join(line.formats)}"]


def _write(local: LocalMedia, version: int, sections: list[list[str]]) -> bytes:
    family = "IP6" if ":" in local.host else "IP4"
    lines = [
        "v=0",
        f"o=- {local.session_id} {version} IN {family} {local.host}",
        "s=-",
        f"c=IN {family} {local.host}",
        "t=0 0",
    ]
    lines += [line for section in sections for line in section]
    return ("\r\n".join(lines) + "\r\n").encode()


def _connection(value: str) -> str:
    parts = value.split()
    if len(parts) != 3 or parts[0] != "IN" or parts[1] not in ("IP4", "IP6"):
        raise ProtocolError(f"not a connection line: {value[:60]!r}")
    return parts[2].partition("/")[0].lower()


def _media_line(value: str, host: str) -> MediaLine:
    parts = value.split()
    if len(parts) < 4:
        raise ProtocolError(f"not a media line: {value[:60]!r}")
    port_text = parts[1].partition("/")[0]
    if not (port_text.isascii() and port_text.isdigit()):
        raise ProtocolError(f"not a port: {port_text[:20]!r}")
    port = 0 if not port_text.strip("0") else parse_port(port_text)
    return MediaLine(parts[0].lower(), port or 0, parts[2], parts[3:], host)


def _rtcp_port(line: MediaLine) -> int:
    for value in line.values("rtcp"):
        text = value.split()[0] if value.split() else ""
        if text.isascii() and text.isdigit() and 0 < len(text) <= 5 and 0 < int(text) < 65_536:
            return int(text)
    return line.port if line.values("rtcp-mux") else min(line.port + 1, 65_535)
