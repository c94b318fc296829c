"""A pipecat pipeline as a `Leg`.

The service hands in what the caller's transport gives, and gets back what the call wants played.
Knows no pipecat: the service is behind `Outlet`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from callcenter.events import (
    LegAudio,
    LegDigit,
    LegEnd,
    LegEnded,
    LegEvent,
    LegMarkPlayed,
    LegMisbehaved,
    LegStarted,
)
from callcenter.media.codec import check_rate
from callcenter.telephony.leg import CallControlFailed

ENCODING = "audio/x-l16"  # pipecat's audio frames: 16 bit, little-endian
MAX_EVENTS = 500  # 10 s of packets that nobody has asked for


class Outlet(Protocol):
    """What the leg needs of the service."""

    async def play(self, payload: bytes) -> None:
        """Sends audio of the agent down the pipeline."""
        ...

    async def mark(self, name: str) -> None:
        """Sends a mark behind it; `PipelineLeg.mark_played` when it has been played."""
        ...

    async def caption(self, text: str) -> None:
        """Sends a piece of the agent's text."""
        ...

    async def end(self, code: str) -> None:
        """Ends the pipeline, what was sent being played first."""
        ...


class PipelineLeg:
    """One pipeline's caller.

    Args:
        rate_hz: of the pipeline's audio, both ways: 8000, 16000 or 24000.
        attributes: go into `LegStarted`.
        outlet: the service.

    Raises:
        ProtocolError: the rate is not supported.
    """

    transport = "pipecat"

    def __init__(self, rate_hz: int, attributes: Mapping[str, str], outlet: Outlet) -> None:
        self._outlet = outlet
        self._told: asyncio.Queue[LegEvent] = asyncio.Queue()
        self._told.put_nowait(LegStarted(ENCODING, check_rate(rate_hz), attributes))
        self._closed = False

    # --- from the pipeline ------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Audio of the caller; the newest is left out while nobody asks for events."""
        if self._told.qsize() < MAX_EVENTS:
            self._told.put_nowait(LegAudio(audio))

    def press(self, digit: str) -> None:
        """The caller pressed a key."""
        self._told.put_nowait(LegDigit(digit))

    def mark_played(self, name: str) -> None:
        """The transport has sent everything before this mark."""
        self._told.put_nowait(LegMarkPlayed(name))

    def hung_up(self) -> None:
        """The pipeline ends."""
        self._told.put_nowait(LegEnded(LegEnd.HANGUP))

    # --- Leg --------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[LegEvent]:
        """What the pipeline says; ends after `LegEnded`."""
        while True:
            event = await self._told.get()
            yield event
            if isinstance(event, LegEnded | LegMisbehaved):
                return

    async def play(self, payload: bytes) -> None:
        """Sends one packet of PCM down the pipeline."""
        if not self._closed:
            await self._outlet.play(payload)

    async def mark(self, name: str) -> None:
        """Sends a mark behind it."""
        if not self._closed:
            await self._outlet.mark(name)

    async def clear(self) -> None:
        """Leaves what was sent where it is: it is short, and an interruption would cut more."""

    async def caption(self, text: str) -> None:
        """Sends a piece of the agent's text."""
        if not self._closed:
            await self._outlet.caption(text)

    async def hang_up(self) -> None:
        """Nothing yet: `close`, which follows, ends the pipeline; its serializer hangs up."""

    async def transfer(self, number: str) -> None:
        """A pipeline cannot hand its caller over.

        Raises:
            CallControlFailed: always.
        """
        raise CallControlFailed("a pipecat pipeline cannot transfer to a telephone number")

    async def close(self, code: str) -> None:
        """Ends the pipeline. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._outlet.end(code)
