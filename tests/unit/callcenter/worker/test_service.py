"""What a session's results become on the event loop's side."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import REGISTRY

from callcenter.link.protocol import Action, DrainSoon, OpenSession, Ready, Text, prompt_hash
from callcenter.link.refusals import SessionFailed
from callcenter.worker.inbox import SILENCE, TRIM_QUIET_TICKS
from callcenter.worker.service import LiveSession
from callcenter.worker.sessions import Delivery
from engine.interface import FrameOutput

KIND = "service-test"
SPEC = OpenSession(
    call_id="CA1",
    persona="bank",
    persona_version="1",
    role_text="Be kind.",
    voice="nora",
    prompt_hash=prompt_hash("nora", "Be kind."),
)
OUTPUT = FrameOutput(np.ones(1_920, np.int16))


class Channel:
    """Writes down what is sent."""

    def __init__(self) -> None:
        self.waits: list[float | None] = []
        self.controls: list[object] = []

    def send_frame(self, pcm: np.ndarray, *, waited_s: float | None) -> None:
        assert pcm is OUTPUT.pcm
        self.waits.append(waited_s)

    def send_control(self, message: object) -> None:
        self.controls.append(message)


@pytest.fixture
async def live() -> LiveSession:
    """A session on a channel that goes nowhere."""
    return LiveSession(SimpleNamespace(channel=Channel(), spec=SPEC), KIND)


def value(name: str, **labels: str) -> float:
    """A sample's value now; 0 before the first observation."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_audio_goes_out_with_its_wait_and_silence_is_counted(live: LiveSession) -> None:
    """A wait of None says that the engine had no frame of the caller."""
    before = value("media_gap_fill_frames_total", engine=KIND)
    live.deliver(Delivery(OUTPUT, waited_s=0.02))
    live.deliver(Delivery(OUTPUT, concealed=True))
    assert live._channel.waits == [0.02, None]
    assert value("media_gap_fill_frames_total", engine=KIND) == before + 1


async def test_words_and_actions_go_out_as_control(live: LiveSession) -> None:
    """After their frame."""
    live.deliver(Delivery(FrameOutput(OUTPUT.pcm, " Hello", "hangup"), frame=3))
    assert live._channel.controls == [Ready(), Text(piece=" Hello", frame=3), Action(name="hangup")]


async def test_nothing_is_said_before_the_session_has_begun(live: LiveSession) -> None:
    """A drain meanwhile is told right after; the first tick may come before anybody says begin."""
    live.warn_of_drain(7.0)
    assert live._channel.controls == []
    live.deliver(Delivery(OUTPUT, waited_s=0.0))
    live.begin()
    assert live._channel.controls == [Ready(), DrainSoon(deadline_s=7.0)]


async def test_trimmed_frames_are_counted_once(live: LiveSession) -> None:
    """When the tick that found one too many delivers, and never again."""
    before = value("media_frames_dropped_total", dir="in", reason="trimmed")
    inbox = live.session.inbox
    inbox.push(SILENCE, 0.0)
    for _ in range(TRIM_QUIET_TICKS):
        inbox.push(SILENCE, 0.0)
        inbox.pop(0.0)
    for _ in range(2):
        live.deliver(Delivery(OUTPUT, waited_s=0.0))
    assert value("media_frames_dropped_total", dir="in", reason="trimmed") == before + 1


async def test_a_failure_ends_the_session_and_nothing_goes_out_after_it(live: LiveSession) -> None:
    """Whatever tick is still on its way."""
    live.deliver(Delivery(None, failure="no numbers"))
    live.deliver(Delivery(OUTPUT, waited_s=0.0))
    assert live._channel.waits == []
    with pytest.raises(SessionFailed, match="no numbers"):
        await asyncio.wait_for(live.ended, 1)
