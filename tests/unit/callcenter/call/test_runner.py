"""The runner, between a leg and a session that only pretend."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import numpy as np
import pytest

from callcenter.call.machine import Limits, Outcome
from callcenter.call.runner import CallResult, CallRunner
from callcenter.errors import LinkLost, ProtocolError
from callcenter.events import (
    LegAudio,
    LegDigit,
    LegEnd,
    LegEnded,
    LegMarkPlayed,
    LegStarted,
    SessionLost,
    SessionReady,
    SlotClaimed,
    SlotRefused,
)
from callcenter.link.protocol import Action, AudioFrame, DrainSoon, Text
from callcenter.link.refusals import SessionFailed
from callcenter.telephony.leg import CallControlFailed

READY = SessionReady()
STARTED = LegStarted("audio/x-mulaw", 8_000)
TONE = (6_000 * np.sin(np.arange(1_920) / 8)).astype(np.int16)
PACKET = LegAudio(b"\x10" * 160)


class Leg:
    """A carrier that says what it is told to, and writes down what it is asked."""

    transport = "twilio"

    def __init__(self, control_works: bool = True) -> None:
        self.told: asyncio.Queue = asyncio.Queue()
        self.asked: list[str] = []
        self.heard = asyncio.Event()
        self.control_works = control_works

    async def events(self) -> AsyncIterator:
        while True:
            event = await self.told.get()
            if isinstance(event, Exception):
                raise event
            yield event

    async def play(self, payload: bytes) -> None:
        self.heard.set()

    async def mark(self, name: str) -> None:
        self.asked.append("mark")

    async def clear(self) -> None:
        self.asked.append("clear")

    async def hang_up(self) -> None:
        await self._control("hang_up")

    async def transfer(self, number: str) -> None:
        await self._control(f"transfer {number}")

    async def close(self, code: str) -> None:
        self.asked.append(f"close {code}")

    async def _control(self, request: str) -> None:
        self.asked.append(request)
        if not self.control_works:
            raise CallControlFailed("HTTP 500")


class Link:
    """A worker's side: says what stands in the queue; an error ends it."""

    def __init__(self) -> None:
        self.says: asyncio.Queue = asyncio.Queue()

    async def messages(self) -> AsyncIterator:
        while True:
            message = await self.says.get()
            if message is None:
                return
            if isinstance(message, Exception):
                raise message
            yield message


class Session:
    """A session whose openings and claims come out as listed."""

    engine = "rehearsal"

    def __init__(self, openings: list, claims: list) -> None:
        self.spec = SimpleNamespace(persona="bank")
        self.links = [Link() for _ in openings]
        self.link: Link | None = None
        self.openings, self.claims = list(openings), list(claims)
        self.done: list[str] = []
        self.sent = 0
        self.claiming = asyncio.Event()
        self.claiming.set()

    async def open(self):
        event = self.openings.pop(0)
        self.link = self.links[len(self.links) - len(self.openings) - 1]
        self.done.append("open")
        return event

    async def claim_again(self):
        await self.claiming.wait()
        self.done.append("claim")
        return self.claims.pop(0)

    async def close(self, reason: str) -> None:
        self.link = None
        self.done.append(f"close {reason}")

    async def keep_lease(self) -> None:
        await asyncio.Event().wait()

    def send(self, frame) -> None:
        self.sent += 1


class Call:
    """A runner at work, with both sides at hand."""

    def __init__(self, openings=(READY,), claims=(), control_works=True, **limits) -> None:
        self.leg = Leg(control_works)
        self.session = Session(list(openings), list(claims))
        defaults = {"start_timeout_s": 5.0, "max_call_s": 60.0, "transfer_number": "+15550199"}
        self.runner = CallRunner(self.leg, self.session, Limits(**{**defaults, **limits}), 1.0)
        self.task = asyncio.create_task(self.runner.run())

    def leg_says(self, *events) -> None:
        for event in events:
            self.leg.told.put_nowait(event)

    def worker_says(self, *messages, session: int = 0) -> None:
        for message in messages:
            self.session.links[session].says.put_nowait(message)

    async def live(self) -> None:
        """Started, and the first sound is heard."""
        self.leg_says(STARTED)
        self.worker_says(AudioFrame(0, TONE))
        await self.leg.heard.wait()
        self.leg.heard.clear()

    async def result(self) -> CallResult:
        async with asyncio.timeout(5):
            return await self.task


async def test_the_usual_call() -> None:
    """Audio goes both ways; slot and leg are given up in this order."""
    call = Call()
    await call.live()
    call.leg_says(*[PACKET] * 8, LegDigit("1"), LegMarkPlayed("unknown"), LegEnded(LegEnd.HANGUP))
    result = await call.result()
    assert (result.outcome, result.code) == (Outcome.ANSWERED, "hangup")
    assert call.session.sent == 2
    assert call.session.done[:2] == ["open", "close hangup"]
    assert call.leg.asked[0] == "close hangup"


@pytest.mark.parametrize(
    ("loss", "code"),
    [
        (LinkLost("gone"), "link_lost"),
        (ProtocolError("version 2"), "link_protocol"),
        (SessionFailed("engine"), "engine_failed"),
        (None, "ended_by_worker"),
    ],
)
async def test_a_lost_worker_is_replaced(loss, code: str) -> None:
    """However it was lost: what is queued goes, and the next worker is heard."""
    call = Call([SessionReady(), SessionReady()], [SlotClaimed()])
    await call.live()
    call.worker_says(loss)
    call.worker_says(AudioFrame(0, TONE), session=1)
    await call.leg.heard.wait()
    call.leg_says(LegEnded(LegEnd.HANGUP))
    assert (await call.result()).outcome is Outcome.ANSWERED
    assert call.session.done[:4] == ["open", f"close {code}", "claim", "open"]
    assert "clear" in call.leg.asked


async def test_waits_at_the_worker_reach_the_uplink() -> None:
    """After a second of long waits, silent packets are left out: fewer frames go to the worker."""
    call = Call()
    await call.live()
    call.worker_says(*[AudioFrame(index, TONE, waited_s=0.07) for index in range(12)])
    while not call.session.links[0].says.empty():  # noqa: ASYNC110 - the fake tells nobody
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    call.leg_says(*[LegAudio(b"\xff" * 160)] * 8, LegEnded(LegEnd.HANGUP))
    await call.result()
    assert call.session.sent == 1


async def test_no_worker_left() -> None:
    """The leg is closed, so that the carrier's fallback runs."""
    call = Call(claims=[SlotRefused("no_capacity")])
    await call.live()
    call.worker_says(LinkLost("gone"))
    assert (await call.result()).outcome is Outcome.FAILED
    assert call.leg.asked[-2:] == ["close no_capacity", "close cancelled"]


async def test_a_worker_that_refuses_is_not_the_last_word() -> None:
    """The broker's books may be behind."""
    call = Call([SessionLost("no_capacity"), SessionReady()], [SlotClaimed()])
    call.leg_says(STARTED)
    call.worker_says(AudioFrame(0, TONE), session=1)
    await call.leg.heard.wait()
    call.leg_says(LegEnded(LegEnd.HANGUP))
    assert (await call.result()).outcome is Outcome.ANSWERED


async def test_a_claim_under_way_is_waited_for_before_the_slot_is_given_back() -> None:
    """Or else the slot that it finds would be nobody's."""
    call = Call(claims=[SlotClaimed()])
    call.session.claiming.clear()
    await call.live()
    call.worker_says(LinkLost("gone"))
    await asyncio.sleep(0)
    call.leg_says(LegEnded(LegEnd.HANGUP))
    await asyncio.sleep(0.01)
    call.session.claiming.set()
    await call.result()
    assert call.session.done[:4] == ["open", "close link_lost", "claim", "close hangup"]


async def test_the_agent_hangs_up() -> None:
    """The slot is free before the carrier is asked."""
    call = Call()
    await call.live()
    call.worker_says(Text(piece="Bye.", frame=1), Action(name="hangup"))
    assert (await call.result()).code == "agent_hangup"
    assert call.leg.asked[-3:-1] == ["hang_up", "close agent_hangup"]


async def test_a_hang_up_that_the_carrier_refuses_still_ends_the_call() -> None:
    """Closing the leg is what is left."""
    call = Call(control_works=False)
    await call.live()
    call.worker_says(Action(name="hangup"))
    assert (await call.result()).outcome is Outcome.ANSWERED
    assert "close agent_hangup" in call.leg.asked


async def test_a_handoff() -> None:
    """The carrier takes the caller over; the leg's end is part of it."""
    call = Call()
    await call.live()
    call.worker_says(Action(name="handoff"))
    result = await call.result()
    assert result.outcome is Outcome.TRANSFERRED
    assert "transfer +15550199" in call.leg.asked


async def test_a_handoff_that_fails_keeps_the_agent() -> None:
    """The caller hears it go on."""
    call = Call(control_works=False)
    await call.live()
    call.worker_says(Action(name="handoff"), DrainSoon(deadline_s=9.0), AudioFrame(1, TONE))
    await call.leg.heard.wait()
    call.leg_says(LegEnded(LegEnd.HANGUP))
    assert (await call.result()).outcome is Outcome.ANSWERED


async def test_an_operator_hangs_up() -> None:
    """By the carrier, not by leaving the caller to its fallback."""
    call = Call()
    await call.live()
    call.runner.hang_up()
    result = await call.result()
    assert (result.outcome, result.code) == (Outcome.ANSWERED, "operator_hangup")
    assert "hang_up" in call.leg.asked


async def test_an_operator_transfers() -> None:
    """Returns when the carrier has taken the caller over."""
    call = Call()
    await call.live()
    await call.runner.transfer("+15550142")
    assert (await call.result()).outcome is Outcome.TRANSFERRED
    assert "transfer +15550142" in call.leg.asked


async def test_an_operators_transfer_that_fails() -> None:
    """The operator hears why, and the call goes on; before it is live there is nothing to do."""
    call = Call(control_works=False)
    with pytest.raises(CallControlFailed, match="not live"):
        await call.runner.transfer("+15550142")
    await call.live()
    with pytest.raises(CallControlFailed, match="HTTP 500"):
        await call.runner.transfer("+15550142")
    first = asyncio.create_task(call.runner.transfer("+15550142"))
    await asyncio.sleep(0)
    with pytest.raises(CallControlFailed, match="under way"):
        await call.runner.transfer("+15550143")
    with pytest.raises(CallControlFailed, match="HTTP 500"):
        await first
    call.leg_says(LegEnded(LegEnd.HANGUP))
    assert (await call.result()).outcome is Outcome.ANSWERED


async def test_an_operator_presses_keys() -> None:
    """While the call is live, and where the carrier takes any."""
    call = Call()
    with pytest.raises(CallControlFailed, match="no keys can be pressed over twilio"):
        await call.runner.press("1")
    pressed: list[str] = []

    async def send_keys(keys: str) -> None:
        pressed.append(keys)

    call.leg.send_keys = send_keys
    with pytest.raises(CallControlFailed, match="not live"):
        await call.runner.press("1")
    await call.live()
    await call.runner.press("12#")
    assert pressed == ["12#"]
    call.leg_says(LegEnded(LegEnd.HANGUP))
    assert (await call.result()).outcome is Outcome.ANSWERED


async def test_audio_faster_than_real_time() -> None:
    """More than a second ahead ends the call with a code."""
    call = Call()
    await call.live()
    call.leg_says(*[PACKET] * 60)
    assert (await call.result()).code == "too_fast"


async def test_an_unknown_encoding() -> None:
    """No slot stays taken for a call that cannot be understood."""
    call = Call()
    call.leg_says(LegStarted("audio/opus", 48_000))
    assert (await call.result()).code == "unsupported_encoding"


async def test_a_leg_that_never_starts() -> None:
    """The machine's deadline is kept by the runner."""
    call = Call(start_timeout_s=0.02)
    assert (await call.result()).code == "start_timeout"


async def test_a_gateway_that_stops() -> None:
    """The call ends in order."""
    call = Call()
    await call.live()
    call.runner.stop()
    assert (await call.result()).code == "shutdown"


async def test_an_error_of_ours_ends_this_call_only() -> None:
    """It is logged once; slot and leg are given up all the same."""
    call = Call()
    await call.live()
    call.leg_says(RuntimeError("a bug"))
    result = await call.result()
    assert (result.outcome, result.code) == (Outcome.FAILED, "internal_error")
    assert any(entry.startswith("close") for entry in call.session.done)
    assert call.leg.asked[-1].startswith("close")


async def test_a_cancelled_call_gives_everything_up() -> None:
    """The process is going down at once."""
    call = Call()
    await call.live()
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.task
    assert call.session.done[-1] == "close cancelled"
    assert call.leg.asked[-1] == "close cancelled"
