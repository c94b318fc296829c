"""The one interface that a carrier implements: events in, commands out.

A leg moves encoded audio and call control. It does not know the agent, the broker, personas,
or what the audio means. To add a carrier, write a class with these methods; nothing in `call`
changes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from callcenter.errors import CallcenterError
from callcenter.events import LegEvent


class CallControlFailed(CallcenterError):
    """The carrier did not carry out a hang-up or a transfer; the call is as it was."""


class Leg(Protocol):
    """The caller's side of one call."""

    transport: str  # "twilio", "sip" or "webrtc": a metric label

    def events(self) -> AsyncIterator[LegEvent]:
        """What the carrier says, in order; ends after `LegEnded` or `LegMisbehaved`."""
        ...

    async def play(self, payload: bytes) -> None:
        """Queues encoded audio at the far end; on a leg that has ended it does nothing."""
        ...

    async def mark(self, name: str) -> None:
        """Asks for a `LegMarkPlayed` once everything sent so far was played."""
        ...

    async def clear(self) -> None:
        """Throws away what is queued at the far end; pending marks come back at once."""
        ...

    async def hang_up(self) -> None:
        """Ends the call, so that the caller hears the line go.

        Raises:
            CallControlFailed: the carrier did not do it, or no way to ask is configured.
        """
        ...

    async def transfer(self, number: str) -> None:
        """Hands the caller over to a telephone number and leaves (cold transfer).

        Raises:
            CallControlFailed: the carrier did not do it, or no way to ask is configured.
        """
        ...

    async def close(self, code: str) -> None:
        """Leaves the call to the carrier: it goes on with its fallback. Idempotent."""
        ...


@runtime_checkable
class Keyed(Protocol):
    """A leg that can press keys at the far end (DTMF)."""

    async def send_keys(self, keys: str) -> None:
        """Presses 0-9, *, #, A-D in order; on a leg that has ended it does nothing."""
        ...


@runtime_checkable
class Captioned(Protocol):
    """A leg that can show what the agent says."""

    async def caption(self, text: str) -> None:
        """Shows a piece of the agent's text; on a leg that has ended it does nothing."""
        ...
