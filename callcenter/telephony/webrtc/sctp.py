"""Whether an SCTP packet of a browser is one that a call's data channel can need (RFC 9260, 6525).

aiortc reads lengths and counts as they are written: a parameter of no length is read for ever, a
small acknowledgement names millions of packets, and pieces of messages that never end are kept.
What is beyond these bounds is dropped before it; a call sends a few small messages each way. Knows
no aiortc: the association's numbers are handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

HEADER_BYTES = 12
MAX_STREAMS = 64  # numbers of streams; a browser's first channel has 0 or 1
MAX_AHEAD = 256  # packets of data beyond the last in order
MAX_HELD = 256  # pieces of messages whose end has not come
MAX_ACKNOWLEDGED = 1_024  # packets that one acknowledgement names behind gaps
MAX_CONTROLS = 4  # chunks of a packet that are not data; each may be answered with a packet
MAX_CHANNELS = 8
MAX_NAME_BYTES = 256

DATA, INIT, INIT_ACK, SACK, FORWARD_TSN = 0, 1, 2, 3, 192
_DCEP, _STRING = 50, 51  # RFC 8831 8
_OPEN, _ACK = 3, 2  # RFC 8832 5
_OPEN_BYTES = 12


@dataclass(frozen=True, slots=True)
class Association:
    """Where an association stands.

    Attributes:
        received: number of the last data in order; None before the other side's INIT.
        sent: number of our last data.
        held: pieces of messages whose end has not come.
    """

    received: int | None
    sent: int
    held: int


def may_pass(packet: bytes, known: Association) -> bool:
    """Whether a packet is well formed and within the bounds."""
    chunks = _chunks(packet)
    if not chunks:
        return False
    kinds = [kind for kind, _ in chunks]
    if sum(kind != DATA for kind in kinds) > MAX_CONTROLS:
        return False
    if INIT in kinds and len(kinds) > 1:
        return False
    if known.received is None and not set(kinds) <= {INIT, INIT_ACK}:
        return False
    return all(_fits(kind, body, known) for kind, body in chunks)


def is_message(stream: int, kind: int, data: bytes, open_channels: set[int]) -> bool:
    """Whether a message is one that a channel may get, or opens one of a few."""
    if kind == _STRING:
        return _is_text(data)
    if kind != _DCEP:
        return True
    if data[:1] == bytes([_ACK]):
        return stream in open_channels
    if data[:1] != bytes([_OPEN]) or len(data) < _OPEN_BYTES:
        return False
    name = data[_OPEN_BYTES:]
    lengths = int.from_bytes(data[8:10], "big") + int.from_bytes(data[10:12], "big")
    label = int.from_bytes(data[8:10], "big")
    return (
        stream not in open_channels
        and len(open_channels) < MAX_CHANNELS
        and lengths == len(name) <= MAX_NAME_BYTES
        and _is_text(name[:label])
        and _is_text(name[label:])
    )


def _chunks(packet: bytes) -> list[tuple[int, bytes]] | None:
    chunks, at = list[tuple[int, bytes]](), HEADER_BYTES
    while at < len(packet):
        length = int.from_bytes(packet[at + 2 : at + 4], "big")
        if length < 4 or at + length > len(packet):
            return None
        chunks.append((packet[at], packet[at + 4 : at + length]))
        at += length + (-length & 3)
    return chunks


def _fits(kind: int, body: bytes, known: Association) -> bool:
    judge = _JUDGES.get(kind)
    return judge is None or judge(body, known)


def _ahead(number: int, last: int) -> int:
    """How far a 32-bit number lies behind another."""
    return ((number - last + 0x80000000) & 0xFFFFFFFF) - 0x80000000


def _number(body: bytes, at: int, size: int) -> int:
    return int.from_bytes(body[at : at + size], "big")


def _data(body: bytes, known: Association) -> bool:
    if len(body) <= 12 or known.received is None:
        return False
    stream, held = _number(body, 4, 2), known.held
    return (
        stream < MAX_STREAMS
        and held < MAX_HELD
        and _ahead(_number(body, 0, 4), known.received) <= MAX_AHEAD
    )


def _sack(body: bytes, known: Association) -> bool:
    gaps, copies = _number(body, 8, 2), _number(body, 10, 2)
    if len(body) != 12 + 4 * (gaps + copies) or _ahead(_number(body, 0, 4), known.sent) > 0:
        return False
    named = 0
    for at in range(12, 12 + 4 * gaps, 4):
        first, last = _number(body, at, 2), _number(body, at + 2, 2)
        if not 0 < first <= last:
            return False
        named += last - first + 1
    return named <= MAX_ACKNOWLEDGED


def _forward(body: bytes, known: Association) -> bool:
    if len(body) < 4 or len(body) % 4 or known.received is None:
        return False
    streams = [_number(body, at, 2) for at in range(4, len(body), 4)]
    return (
        _ahead(_number(body, 0, 4), known.received) <= MAX_AHEAD
        and len(streams) <= MAX_STREAMS
        and all(stream < MAX_STREAMS for stream in streams)
    )


def _parameters(body: bytes) -> list[tuple[int, int]] | None:
    """Kinds and lengths; None when one does not fit."""
    found, at = list[tuple[int, int]](), 0
    while at < len(body):
        length = _number(body, at + 2, 2)
        if length < 4 or at + length > len(body):
            return None
        found.append((_number(body, at, 2), length - 4))
        at += length + (-length & 3)
    return found


def _init(body: bytes, known: Association) -> bool:
    del known
    return len(body) >= 16 and _parameters(body[16:]) is not None


def _with_parameters(body: bytes, known: Association) -> bool:
    del known
    return _parameters(body) is not None


def _reconfig(body: bytes, known: Association) -> bool:
    del known
    found = _parameters(body)
    if found is None or len(found) > 2:  # RFC 6525 3.1
        return False
    return all(
        (size - 12) % 2 == 0 and 0 <= size - 12 <= 2 * MAX_STREAMS if kind == 13 else size >= 8
        for kind, size in found
    )


def _shutdown(body: bytes, known: Association) -> bool:
    del known
    return len(body) == 4


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:  # the other side's mistake: no text
        return False
    return True


_JUDGES: dict[int, Callable[[bytes, Association], bool]] = {
    DATA: _data,
    INIT: _init,
    INIT_ACK: _init,
    SACK: _sack,
    4: _with_parameters,  # HEARTBEAT
    5: _with_parameters,  # HEARTBEAT ACK
    6: _with_parameters,  # ABORT
    7: _shutdown,
    9: _with_parameters,  # ERROR
    130: _reconfig,
    FORWARD_TSN: _forward,
}
