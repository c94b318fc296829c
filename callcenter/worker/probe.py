"""Whether the engine steps frames in time, asked of the engine itself.

While calls are live their ticks are the answer. An idle engine is asked by a session of the
worker's own: an ordinary session that takes a slot, hears one frame of silence and goes. A call
that comes meanwhile finds it gone: the ticker ends it before it admits anybody.

It keeps times and one session; it knows neither the engine nor the clock.
"""

from __future__ import annotations

from callcenter.worker.sessions import Delivery, Post, Session
from engine.interface import SessionSpec

EVERY_S = 10.0
AGAIN_S = 1.0  # after an answer that was late or none
FRESH_S = 30.0  # three probes; a short stall is no reason to take a worker out


class Probe:
    """The worker's own session, and when the engine last proved itself.

    Args:
        spec: a prompt that the engine is known to take; None if there is none, and then an idle
            engine is trusted.
    """

    def __init__(self, spec: SessionSpec | None) -> None:
        self._spec = spec
        self._session: Session | None = None
        self._heard = False
        self._asked_s = -float("inf")
        self._proved_s = -float("inf")
        self.problem = ""

    @property
    def session(self) -> Session | None:
        """The session, while it has a slot or waits for one."""
        return self._session

    def due(self, now: float, sessions: int) -> bool:
        """Whether the engine should be asked now."""
        pause_s = EVERY_S if self._proved_s >= self._asked_s else AGAIN_S
        return self._spec is not None and not sessions and now - self._asked_s >= pause_s

    def begin(self, now: float) -> Session:
        """A new session for the engine.

        Raises:
            ValueError: there is no prompt to ask with; it was not due.
        """
        if self._spec is None:
            raise ValueError("without a prompt a probe is never due")
        self._asked_s, self._heard, self.problem = now, False, ""
        self._session = Session(self._spec, _ignore)
        return self._session

    def take_out(self, post: Post) -> Post:
        """The other sessions' results; the probe's own are read here."""
        if self._session is None:
            return post
        for session, delivery in post:
            if session is self._session:
                self._heard, self.problem = True, delivery.failure
        return [entry for entry in post if entry[0] is not self._session]

    def over(self) -> Session | None:
        """The session that has heard its frame and may go."""
        return self._session if self._heard else None

    def end(self) -> None:
        """The session has gone, whether it has heard anything or not."""
        self._session, self._heard = None, False

    def refused(self, why: str) -> None:
        """The engine would not take the session."""
        self.problem = why
        self.end()

    def stepped(self, now: float) -> None:
        """A tick with at least one session ended within its deadline."""
        self._proved_s = now

    def unready(self, now: float) -> str:
        """Why the engine can't be relied on, or ""."""
        if self._spec is None or now - self._proved_s < FRESH_S:
            return ""
        return self.problem or f"no frame was stepped within 80 ms for {FRESH_S:.0f} s"


def _ignore(_: Delivery) -> None:
    """What the probe says is for nobody's ears."""
