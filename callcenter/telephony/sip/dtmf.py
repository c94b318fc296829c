"""Keys as RTP events (RFC 4733), both ways. Knows payloads and timestamps, no RTP header."""

from __future__ import annotations

import struct
from collections import deque

KEYS = "0123456789*#ABCD"  # RFC 4733 table 3: events 0 to 15
VOLUME = 10  # -10 dBm0
_PAYLOAD = struct.Struct("!BBH")
END_COPIES = 3  # RFC 4733 2.5.1.4


class DigitReceiver:
    """Tells each key press once: at its first packet, whatever got lost of the others."""

    def __init__(self) -> None:
        self._seen: deque[int] = deque(maxlen=8)  # timestamps of the last presses

    def receive(self, timestamp: int, payload: bytes) -> str | None:
        """Takes an event packet; a key when it is the first of its press."""
        if len(payload) < _PAYLOAD.size:
            return None
        event, _, _ = _PAYLOAD.unpack_from(payload)
        if event >= len(KEYS) or timestamp in self._seen:
            return None
        self._seen.append(timestamp)
        return KEYS[event]


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
