"""Keys as RTP events (RFC 4733), both ways, and the same keys by INFO beside them."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from callcenter.media.jitter import step
from callcenter.telephony.sip.rtp import RtpPacket

KEYS = "0123456789*#ABCD"  # RFC 4733 table 3: events 0 to 15
VOLUME = 10  # -10 dBm0
_PAYLOAD = struct.Struct("!BBH")
END_COPIES = 3  # RFC 4733 2.5.1.4
END = 0x80
MAX_DURATION = 0xFFFF
MAX_REORDERED = 50  # packets; a larger step back is another stream
SLACK_S = 0.06  # three packets
COPIES_S = 0.3  # of an end packet
TWIN_S = 2.0  # an INFO may be sent when the key is let go, and be repeated on the way
MAX_ALONE = 32


def timestamp_step(later: int, earlier: int) -> int:
    """How far one 32-bit RTP timestamp lies behind another, in its clock's units."""
    return ((later - earlier + 0x80000000) & 0xFFFFFFFF) - 0x80000000


@dataclass(slots=True)
class _Press:
    """One key that is or was down. Times in units of the event's clock."""

    event: int
    began: int  # RTP timestamp of its first packet, of the present segment
    duration: int
    sequence: int  # of its newest packet
    ended: bool
    heard_at: float  # s


class DigitReceiver:
    """Tells each key press once: at its first packet, whatever got lost of the others.

    By RFC 4733 all packets of a press carry the timestamp of its begin, and their duration grows.
    What gateways send instead is a timestamp for each packet, another one for the end, or one for
    all presses; so a packet goes on with the press before it when key, time and duration allow it:

        time      within the press, or just behind it: the next segment of a key held for longer
                  than a duration can tell (RFC 4733 2.5.1.3)
        duration  not shorter than before, but for a new segment; the same when the press has ended
    """

    def __init__(self) -> None:
        self._press: _Press | None = None

    def receive(self, packet: RtpPacket, clock_hz: int, now: float) -> str | None:
        """Takes an event packet; a key when it is the first of its press.

        Args:
            packet: of the type that was agreed for events.
            clock_hz: of that type.
            now: seconds.
        """
        if len(packet.payload) < _PAYLOAD.size:
            return None
        event, flags, duration = _PAYLOAD.unpack_from(packet.payload)
        if event >= len(KEYS):
            return None
        before = self._press
        if before is not None and -MAX_REORDERED <= step(packet.sequence, before.sequence) <= 0:
            return None  # a copy, or late: the packets behind it have told what it tells
        ended = bool(flags & END)
        began = self._began(packet.timestamp, event, duration, clock_hz, now, ended=ended)
        first = began is None
        stamp = packet.timestamp if began is None else began
        self._press = _Press(event, stamp, duration, packet.sequence, ended, now)
        return KEYS[event] if first else None

    @property
    def heard_at(self) -> float:
        """When the newest press was heard of last."""
        return self._press.heard_at if self._press is not None else float("-inf")

    def _began(
        self, timestamp: int, event: int, duration: int, clock_hz: int, now: float, *, ended: bool
    ) -> int | None:
        """When the press (or its segment) began that a packet goes on with; None for a new one."""
        press = self._press
        if press is None or event != press.event:
            return None
        slack = round(SLACK_S * clock_hz)
        behind = timestamp_step(timestamp, press.began)  # of the press' begin
        if press.ended:
            same = ended and duration == press.duration and now - press.heard_at < COPIES_S
            return press.began if same and -slack <= behind <= duration + slack else None
        if press.duration >= MAX_DURATION - clock_hz and duration < press.duration:
            return timestamp if abs(behind - press.duration) <= slack else None
        if duration >= press.duration and -slack <= behind <= duration + slack:
            return press.began
        return None


class KeyPresses:
    """Keys that come by RTP events, by INFO, or by both at once: a press is told once.

    No end knows which way the other takes, so some send both. Each press by one way waits for its
    twin by the other; two by the same way are two.
    """

    def __init__(self) -> None:
        self._alone: dict[str, deque[tuple[str, float]]] = {"rtp": deque(), "info": deque()}

    def still_down(self, heard_at: float) -> None:
        """The newest press by RTP was heard of until then; its INFO may come when it is let go."""
        newest = self._alone["rtp"][-1] if self._alone["rtp"] else None
        if newest is not None and heard_at > newest[1]:
            self._alone["rtp"][-1] = newest[0], heard_at

    def told(self, way: str, key: str, now: float) -> bool:
        """Whether a key is news.

        Args:
            way: "rtp" or "info".
            key: of KEYS.
            now: seconds.
        """
        other = self._alone["info" if way == "rtp" else "rtp"]
        while other and now - other[0][1] > TWIN_S:
            other.popleft()
        twin = next((entry for entry in other if entry[0] == key), None)
        if twin is not None:
            other.remove(twin)
            return False
        mine = self._alone[way]
        mine.append((key, now))
        while len(mine) > MAX_ALONE or now - mine[0][1] > TWIN_S:
            mine.popleft()
        return True


class DigitSender:
    """The packets of one key press, one every 20 ms.

    Args:
        digit: of KEYS.
        clock_hz: of the event's payload type.
        duration_s: how long the key is down.
    """

    def __init__(self, digit: str, clock_hz: int, duration_s: float = 0.16) -> None:
        event = KEYS.index(digit)
        step = clock_hz // 50
        packets = max(1, round(duration_s * 50))
        self._payloads = deque(
            _PAYLOAD.pack(event, VOLUME, step * index) for index in range(1, packets + 1)
        )
        end = _PAYLOAD.pack(event, VOLUME | 0x80, step * packets)
        self._payloads.extend([end] * END_COPIES)
        self._first = True

    def next(self) -> tuple[bytes, bool] | None:
        """Payload and marker of the next packet; None when the press is over."""
        if not self._payloads:
            return None
        first, self._first = self._first, False
        return self._payloads.popleft(), first
