"""Offers and answers for one audio stream (RFC 3264, RFC 4733).

Chooses from what is offered and writes the mirror of it: every media line of an offer has one in
the answer, those that are not ours with port 0. It knows codecs by name and number only, and no
socket: addresses and keys are handed in.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from callcenter.telephony.sip.media_plan import (
    CODECS,
    CodecName,
    CryptoKey,
    LocalMedia,
    MediaPlan,
    NotAcceptable,
)
from callcenter.telephony.sip.sdes import agree_on_keys, keys_of, offered_keys
from callcenter.telephony.sip.sdp import (
    DTMF,
    PLAIN,
    SECURE,
    Description,
    MediaLine,
    payload_types,
    rtcp_port,
    rtpmaps,
)
from callcenter.telephony.sip.text import clean

MAX_TOLD_CHARS = 100  # of what the far end wrote, in an error of ours
_REVERSED = {"sendonly": "recvonly", "recvonly": "sendonly"}


def answer(offer: Description, local: LocalMedia, version: int) -> tuple[bytes, MediaPlan]:
    """Answers an offer: of several audio lines the first that suits is taken.

    Returns:
        The answer's SDP and what was agreed.

    Raises:
        NotAcceptable: no audio that we can talk; it tells what is wrong with the first line.
    """
    line, plan = _first_that_suits(offer, local)
    sections = [
        _audio_section(local, plan, line.protocol) if other is line else _refused(other)
        for other in offer.media
    ]
    return _write(local, version, sections), plan


def _first_that_suits(offer: Description, local: LocalMedia) -> tuple[MediaLine, MediaPlan]:
    first: NotAcceptable | None = None
    for line in offer.audio_lines:
        direction = _REVERSED.get(line.direction, line.direction)
        try:
            accepts = _common(line, local.codecs)
            plan = _plan(line, accepts, direction, *agree_on_keys(line, local))
            return line, replace(plan, line=offer.media.index(line))
        except NotAcceptable as error:
            first = first or error
    raise first or NotAcceptable("no RTP audio is offered")


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
            theirs = next(iter(keys_of(line)), None)
            ours = next((key for key in self.keys if theirs and key.tag == theirs.tag), None)
            if ours is None or theirs is None or ours.suite != theirs.suite:
                raise NotAcceptable("the answer accepts none of the offered SRTP keys")
        direction = _REVERSED.get(line.direction, line.direction)
        plan = _plan(line, accepts, direction, ours, theirs)
        return replace(plan, line=description.media.index(line))


def offer(
    local: LocalMedia,
    version: int,
    agreed: MediaPlan | None = None,
    lines: Sequence[MediaLine] = (),
) -> tuple[bytes, Offered]:
    """Offers, for an INVITE that came without SDP or for one of ours.

    Args:
        local: what we have.
        version: of the session.
        agreed: what held before: its payload types keep their meaning, SRTP stays (RFC 3264 8.3).
        lines: all media lines so far; those that are not ours stay refused, in their places.
    """
    accepts = _numbered(local.codecs, agreed)
    secure = local.srtp == "must" or (agreed is not None and agreed.local_key is not None)
    keys = offered_keys(local) if secure else []
    dtmf_type = agreed.dtmf_type if agreed is not None else None
    plan = MediaPlan(
        None,
        0,
        next(iter(accepts.values())),
        next(iter(accepts)),
        accepts,
        _free_type(101, accepts) if dtmf_type is None else dtmf_type,
        8_000 if agreed is None else agreed.dtmf_clock_hz,
        "sendrecv" if agreed is None else agreed.direction,
        None,
        None,
    )
    ours = _audio_section(local, plan, SECURE if secure else PLAIN, keys)
    sections = [_refused(line) for line in lines] or [ours]
    sections[agreed.line if agreed is not None and lines else 0] = ours
    return _write(local, version, sections), Offered(plan, keys)


def _numbered(names: Iterable[str], agreed: MediaPlan | None) -> dict[int, CodecName]:
    """Our codecs by payload types, those of an earlier agreement first and unchanged."""
    accepts = dict(agreed.accepts) if agreed is not None else {}
    taken = {agreed.dtmf_type} if agreed is not None else set[int | None]()
    known = {codec.name for codec in accepts.values()}
    for codec in (CODECS[name] for name in names if name not in known):
        number = codec.static_type
        if number is None:
            number = _free_type(96, {*accepts, *taken})
        accepts[number] = codec
    return accepts


def _free_type(first: int, taken: Collection[int | None]) -> int:
    return next(number for number in range(first, 128) if number not in taken)


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
        remote_rtcp_port=rtcp_port(line),
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


def _common(line: MediaLine, wanted: Iterable[str]) -> dict[int, CodecName]:
    """Common codecs in our order; the answer's first is what we send.

    Raises:
        NotAcceptable: there is none.
    """
    maps, common = rtpmaps(line), dict[int, CodecName]()
    for name in wanted:
        codec = CODECS[name]
        for number in payload_types(line):
            found = maps.get(number)
            if found is not None and found[:2] == (codec.name, codec.clock_hz):
                common.setdefault(number, codec)
    if not common:
        offered = ", ".join(str(maps.get(n, (n,))[0]) for n in payload_types(line)) or "nothing"
        offered = clean(offered, MAX_TOLD_CHARS)
        raise NotAcceptable(f"no common codec: offered {offered}, we have {', '.join(wanted)}")
    return common


def _dtmf(line: MediaLine, clock_hz: int) -> tuple[int | None, int]:
    """The telephone-event type, the one at the codec's clock first (RFC 4733 2.1)."""
    maps = rtpmaps(line)
    events = [(n, maps[n][1]) for n in payload_types(line) if n in maps and maps[n][0] == DTMF]
    events.sort(key=lambda event: event[1] != clock_hz)
    return events[0] if events else (None, 8_000)


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
