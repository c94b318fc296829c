"""The carrier's playout buffer, for the test caller's ear: Twilio's rules, packet by packet.

Audio plays in order at exactly real time; a mark is echoed once everything before it has been
played; a clear throws the rest away and echoes the marks at once. Knows no socket and no clock:
one `play()` is 20 ms.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from callcenter.media.g711 import decode_ulaw
from callcenter.media.units import NARROWBAND_HZ, PACKET_S, Pcm16

PACKET_BYTES = round(NARROWBAND_HZ * PACKET_S)


@dataclass(frozen=True, slots=True)
class Played:
    """One packet of time: what is heard (int16 [160], 8 kHz) and the marks that were reached."""

    heard: Pcm16
    marks: list[str]


class PlaybackBuffer:
    """Mu-law bytes and marks in, 20 ms of heard audio at a time out."""

    def __init__(self) -> None:
        self._queue: deque[bytes | str] = deque()  # str: a mark
        self._queued_bytes = 0
        self._cleared_marks: list[str] = []
        self._started = False
        self._dry_packets = 0
        self.packets_missing = 0
        self.clears = 0

    @property
    def backlog_s(self) -> float:
        """Audio that waits, seconds."""
        return self._queued_bytes / NARROWBAND_HZ

    def audio(self, payload: bytes) -> None:
        """Appends encoded audio of any length.

        Packets played short before this and after earlier audio were owed: they are missing.
        """
        if not payload:
            return
        self.packets_missing += self._dry_packets
        self._dry_packets = 0
        self._started = True
        self._queue.append(payload)
        self._queued_bytes += len(payload)

    def mark(self, name: str) -> None:
        """Appends a mark."""
        self._queue.append(name)

    def clear(self) -> None:
        """Throws away all audio; its marks are echoed with the next packet."""
        self.clears += 1
        self._cleared_marks += [item for item in self._queue if isinstance(item, str)]
        self._queue.clear()
        self._queued_bytes = 0
        self._started = False  # silence after a clear is meant
        self._dry_packets = 0

    def play(self) -> Played:
        """Plays the next 20 ms; what is lacking is silence."""
        marks, self._cleared_marks = self._cleared_marks, []
        audio = bytearray()
        while self._queue and (len(audio) < PACKET_BYTES or isinstance(self._queue[0], str)):
            item = self._queue.popleft()
            if isinstance(item, str):
                marks.append(item)
            else:
                wanted = PACKET_BYTES - len(audio)
                audio += item[:wanted]
                if item[wanted:]:
                    self._queue.appendleft(item[wanted:])
        self._queued_bytes -= len(audio)
        if self._started and len(audio) < PACKET_BYTES:
            self._dry_packets += 1
        heard = np.zeros(PACKET_BYTES, np.int16)
        heard[: len(audio)] = decode_ulaw(bytes(audio))
        return Played(heard, marks)
