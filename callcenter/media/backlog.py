"""How much audio waits at a consumer that plays at exactly real time.

A leaky bucket: what is sent fills it, the clock empties it, and it never goes below empty (a
consumer that has run dry plays silence; it doesn't owe anything). Knows nothing of audio.
"""

from __future__ import annotations


class Backlog:
    """Estimate, by our own clock, of the audio that a real-time consumer has still to play."""

    def __init__(self) -> None:
        self._played_out_at_s = float("-inf")

    def level_s(self, now: float) -> float:
        """Seconds of audio that wait at `now`; 0.0 when the consumer has run dry."""
        return max(0.0, self._played_out_at_s - now)

    def add(self, duration_s: float, now: float) -> float:
        """Adds audio sent at `now`.

        Returns:
            The time at which its last sample will have been played.
        """
        self._played_out_at_s = max(self._played_out_at_s, now) + duration_s
        return self._played_out_at_s

    def shift(self, by_s: float) -> None:
        """The consumer turns out to be later (or, negative, earlier) than the clock says."""
        self._played_out_at_s += by_s

    def clear(self, now: float) -> None:
        """The consumer threw away all that waited."""
        self._played_out_at_s = min(self._played_out_at_s, now)
