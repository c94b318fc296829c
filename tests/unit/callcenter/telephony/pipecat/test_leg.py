"""A pipeline as a leg."""

import pytest

from callcenter.errors import ProtocolError
from callcenter.events import LegAudio, LegDigit, LegEnd, LegEnded, LegMarkPlayed, LegStarted
from callcenter.telephony.leg import CallControlFailed, Captioned
from callcenter.telephony.pipecat.leg import MAX_EVENTS, PipelineLeg


class Outlet:
    """Keeps what the leg sends."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, object]] = []

    async def play(self, payload: bytes) -> None:
        """Audio."""
        self.sent.append(("play", payload))

    async def mark(self, name: str) -> None:
        """A mark."""
        self.sent.append(("mark", name))

    async def caption(self, text: str) -> None:
        """Text."""
        self.sent.append(("caption", text))

    async def end(self, code: str) -> None:
        """The end."""
        self.sent.append(("end", code))


async def test_what_the_pipeline_hears() -> None:
    """Everything comes in order, after the start and up to the end."""
    leg = PipelineLeg(8_000, {"from": "test"}, Outlet())
    leg.hear(b"\x01\x00")
    leg.press("5")
    leg.mark_played("m")
    leg.hung_up()
    leg.hear(b"late")
    assert [event async for event in leg.events()] == [
        LegStarted("audio/x-l16", 8_000, {"from": "test"}),
        LegAudio(b"\x01\x00"),
        LegDigit("5"),
        LegMarkPlayed("m"),
        LegEnded(LegEnd.HANGUP),
    ]


async def test_what_the_call_says() -> None:
    """Audio, marks and text go down the pipeline; a clear does not."""
    outlet = Outlet()
    leg = PipelineLeg(8_000, {}, outlet)
    assert isinstance(leg, Captioned)
    await leg.play(b"a")
    await leg.mark("m")
    await leg.clear()
    await leg.caption("Hi")
    assert outlet.sent == [("play", b"a"), ("mark", "m"), ("caption", "Hi")]


async def test_end_is_said_once_and_last() -> None:
    """After it, nothing is sent."""
    outlet = Outlet()
    leg = PipelineLeg(8_000, {}, outlet)
    await leg.hang_up()
    await leg.close("agent_hangup")
    await leg.close("over")
    await leg.play(b"a")
    await leg.mark("m")
    await leg.caption("Hi")
    assert outlet.sent == [("end", "agent_hangup")]


async def test_transfer_is_refused() -> None:
    """A pipeline has no such thing."""
    with pytest.raises(CallControlFailed):
        await PipelineLeg(8_000, {}, Outlet()).transfer("+15550100")


def test_rate_must_be_one_of_ours() -> None:
    """The message names those that are."""
    with pytest.raises(ProtocolError, match="8000, 16000, 24000"):
        PipelineLeg(44_100, {}, Outlet())


async def test_audio_that_nobody_takes_is_bounded() -> None:
    """And what is no audio still comes through."""
    leg = PipelineLeg(8_000, {}, Outlet())
    for _ in range(2 * MAX_EVENTS):
        leg.hear(b"x")
    leg.hung_up()
    events = [event async for event in leg.events()]
    assert len(events) == MAX_EVENTS + 1
    assert events[-1] == LegEnded(LegEnd.HANGUP)
