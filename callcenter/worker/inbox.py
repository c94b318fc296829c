"""A session's inbox: the few frames between a caller's clock and the worker's.

The two clocks drift by some ppm and the network jitters, so at times a tick finds two frames and at
times none. Nobody waits: no frame means silence, and a frame too many means the oldest goes.

    frames kept at most   3         240 ms, the worst that a late burst can add to the latency
    one frame too many    2 s       after so long, the spare frame goes as soon as it is quiet,
                          8 s       or loud: every spare frame is 80 ms on each answer

One thread pushes (the link), one pops (the ticks); both operations are single steps on a deque.
It tells how long the frame that a tick takes has waited: the gateway moves its frame boundaries
until that is short. It reads no clock and doesn't know which call it serves.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from callcenter.link.protocol import FRAME_SAMPLES, Frame

CAPACITY_FRAMES = 3
TRIM_QUIET_TICKS = 25
TRIM_ANY_TICKS = 100
QUIET_PEAK = 300  # of 32,767: no speech on a telephone line is below it

SILENCE: Frame = np.zeros(FRAME_SAMPLES, np.int16)
SILENCE.flags.writeable = False


class Inbox:
    """Bounded frames of one session.

    Attributes:
        received: frames pushed.
        overflowed: frames dropped because more came than ticks took.
        trimmed: frames dropped because one too many had been waiting for long.
        concealed: ticks that got silence because no frame was there, since the first one came.
    """

    def __init__(self) -> None:
        self._frames: deque[tuple[Frame, float]] = deque()  # with the time of their arrival
        self._spare_ticks = 0
        self.received = 0
        self.overflowed = 0
        self.trimmed = 0
        self.concealed = 0

    def push(self, frame: Frame, now: float) -> bool:
        """Adds one frame, int16 [1920]; True if the oldest had to go for it."""
        self.received += 1
        self._frames.append((frame, now))
        if len(self._frames) <= CAPACITY_FRAMES:
            return False
        self._frames.popleft()
        self.overflowed += 1
        return True

    def pop(self, now: float) -> tuple[Frame, float] | None:
        """The oldest frame and how long it has waited, in seconds; None if there is none."""
        self._trim()
        try:
            frame, came_at = self._frames.popleft()
        except IndexError:
            self.concealed += self.received > 0
            return None
        return frame, max(0.0, now - came_at)

    @property
    def dropped(self) -> int:
        """Frames that no tick ever got."""
        return self.overflowed + self.trimmed

    def _trim(self) -> None:
        """Drops a frame that has been one too many for long."""
        self._spare_ticks = self._spare_ticks + 1 if len(self._frames) > 1 else 0
        if self._spare_ticks < TRIM_QUIET_TICKS:
            return
        quiet = int(np.abs(self._frames[0][0].astype(np.int32)).max()) < QUIET_PEAK
        if quiet or self._spare_ticks >= TRIM_ANY_TICKS:
            self._frames.popleft()
            self.trimmed += 1
            self._spare_ticks = 0
