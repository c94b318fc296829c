"""The leg between aiortc and the call, with the connection played by the test."""

import json
from collections.abc import AsyncIterator

import numpy as np
import pytest
from pyee.asyncio import AsyncIOEventEmitter

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
from callcenter.media.opus import PACKET_SAMPLES, OpusEncoder
from callcenter.telephony.leg import CallControlFailed, Captioned
from callcenter.telephony.webrtc.leg import MEDIA_TIMEOUT_S, WebRtcLeg
from callcenter.telephony.webrtc.limits import MAX_PER_SECOND


class Connection(AsyncIOEventEmitter):
    """As much of a peer connection as the leg touches."""

    connectionState = "new"  # noqa: N815 - WebRTC's name
    closed = 0

    def become(self, state: str) -> None:
        """Changes the state and says so."""
        self.connectionState = state
        self.emit("connectionstatechange")

    async def close(self) -> None:
        """Counts."""
        self.closed += 1


class Channel(AsyncIOEventEmitter):
    """A data channel that keeps what is sent."""

    readyState = "open"  # noqa: N815
    bufferedAmount = 0  # noqa: N815

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[dict[str, str]] = []

    def send(self, text: str) -> None:
        """Keeps it."""
        self.sent.append(json.loads(text))


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def connection() -> Connection:
    """Not yet connected."""
    return Connection()


@pytest.fixture
def clock() -> Clock:
    """At 100 s."""
    return Clock()


@pytest.fixture
async def leg(connection: Connection, clock: Clock) -> AsyncIterator[WebRtcLeg]:
    """Over the connection."""
    leg = WebRtcLeg(connection, {"persona": "bank"}, clock)
    yield leg
    await leg.close("over")


async def take(leg: WebRtcLeg, count: int, clock: Clock | None = None) -> list[LegEvent]:
    """The next events; time goes on by a packet before each."""
    events, taken = leg.events(), []
    for _ in range(count):
        if clock is not None:
            clock.now += 0.02
        taken.append(await anext(events))
    return taken


def send(leg: WebRtcLeg, *sequences: int) -> None:
    """Packets of silence from the browser."""
    payload = OpusEncoder().encode(np.zeros(PACKET_SAMPLES, np.int16))
    for sequence in sequences:
        leg.hear(sequence, payload)


async def test_start_then_audio(leg: WebRtcLeg, connection: Connection, clock: Clock) -> None:
    """The call learns the form of the audio before the first of it."""
    connection.become("connected")
    send(leg, 1, 2, 3, 4)
    started, first, second = await take(leg, 3, clock)
    assert started == LegStarted("audio/x-l16", 24_000, {"persona": "bank"}, paced=True)
    assert isinstance(first, LegAudio)
    assert isinstance(second, LegAudio)
    assert len(first.payload) == 2 * PACKET_SAMPLES


@pytest.mark.parametrize("state", ["failed", "closed"])
async def test_broken_connection_ends_the_leg(
    leg: WebRtcLeg, connection: Connection, state: str
) -> None:
    """And the events end with it."""
    connection.become(state)
    assert [event async for event in leg.events()] == [LegEnded(LegEnd.LOST)]


async def test_silence_on_the_wire_ends_the_leg(
    leg: WebRtcLeg, connection: Connection, clock: Clock
) -> None:
    """A closed laptop says nothing and sends nothing."""
    connection.become("connected")
    await take(leg, 1)
    clock.now += MEDIA_TIMEOUT_S + 0.01
    assert [event async for event in leg.events()] == [LegEnded(LegEnd.LOST)]


async def test_channel_messages(leg: WebRtcLeg, connection: Connection) -> None:
    """Ours are understood, others are ignored."""
    channel = Channel()
    connection.emit("datachannel", channel)
    for text in (
        "ping: 123",
        '{"label": "rtvi-ai", "type": "client-ready"}',
        '{"type": "digit", "digit": "x"}',
        '{"type": "digit", "digit": 5}',
        "[" * 900,
        "1",
        b"\x00",
        "x" * 100_000,
    ):
        channel.emit("message", text)
    channel.emit("message", '{"type": "digit", "digit": "5"}')
    channel.emit("message", '{"type": "hangup"}')
    assert [event async for event in leg.events()] == [LegDigit("5"), LegEnded(LegEnd.HANGUP)]


async def test_closed_channel_is_a_hangup(leg: WebRtcLeg, connection: Connection) -> None:
    """The page went away."""
    channel = Channel()
    connection.emit("datachannel", channel)
    channel.emit("close")
    assert [event async for event in leg.events()] == [LegEnded(LegEnd.HANGUP)]


async def test_captions_wait_for_the_channel(leg: WebRtcLeg, connection: Connection) -> None:
    """The greeting's first words may come before it is open."""
    assert isinstance(leg, Captioned)
    channel = Channel()
    await leg.caption("Hello")
    connection.emit("datachannel", channel)
    await leg.caption(" there")
    assert [message["text"] for message in channel.sent] == ["Hello", " there"]


async def test_marks_follow_the_audio(leg: WebRtcLeg) -> None:
    """One mark is reached when the packet before it leaves, one at once, one by a clear."""
    await leg.mark("nothing before it")
    await leg.play(bytes(960))
    await leg.mark("behind a packet")
    await leg.track.recv()
    await leg.play(bytes(960))
    await leg.mark("cleared")
    await leg.clear()
    names = [event.name for event in await take(leg, 3) if isinstance(event, LegMarkPlayed)]
    assert names == ["nothing before it", "behind a packet", "cleared"]


async def test_close_says_why_and_is_idempotent(leg: WebRtcLeg, connection: Connection) -> None:
    """The visitor is told once."""
    channel = Channel()
    connection.emit("datachannel", channel)
    await leg.hang_up()
    await leg.close("agent_hangup")
    await leg.close("hangup")
    assert channel.sent == [{"type": "ended", "code": "agent_hangup"}]
    assert connection.closed == 1


async def test_transfer_is_refused(leg: WebRtcLeg) -> None:
    """There is no telephone behind a browser."""
    with pytest.raises(CallControlFailed):
        await leg.transfer("+15550100")


async def test_a_flood_ends_the_leg(leg: WebRtcLeg, connection: Connection, clock: Clock) -> None:
    """Packets and messages count together; a stall's worth at once is no flood."""
    channel = Channel()
    connection.become("connected")
    connection.emit("datachannel", channel)
    for _ in range(3):
        clock.now += 1.0
        for _ in range(MAX_PER_SECOND // 2):
            leg.hear(1, b"")
            channel.emit("message", "ping")
    assert await take(leg, 1) == [LegStarted("audio/x-l16", 24_000, {"persona": "bank"}, True)]
    for _ in range(10_000):
        channel.emit("message", '{"type": "digit", "digit": "5"}')
    events = [event async for event in leg.events() if not isinstance(event, LegAudio)]
    assert events == [LegMisbehaved("too_fast", f"more than {MAX_PER_SECOND} packets a second")]
    assert len(leg._told) == 0
