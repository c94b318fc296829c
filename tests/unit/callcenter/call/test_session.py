"""A call's session, as far as it goes without a network."""

import asyncio

import pytest

from callcenter.broker.claims import Claim
from callcenter.call.session import CallSession, LinkAccess
from callcenter.errors import BrokerUnavailable, NoCapacity
from callcenter.events import SessionLost, SlotClaimed, SlotRefused
from callcenter.link.protocol import OpenSession
from callcenter.link.token import verify

SECRET = "a-secret-of-at-least-thirty-two-bytes"
NOBODY = "ws://127.0.0.1:1"


def claim(fencing_token: int = 1, worker_id: str = "w1", lease_s: float = 15.0) -> Claim:
    """A claim at a worker where nobody listens."""
    return Claim("CA1", worker_id, NOBODY, 7, fencing_token, lease_s, "rehearsal", "main")


class Slots:
    """A broker that writes down what it is asked."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.asked: list[tuple] = []
        self.renewed = asyncio.Event()

    async def claim(self, call_id, prompt_hash, gateway_id, *, exclude=()):
        self._note("claim", tuple(sorted(exclude)))
        return claim(2, "w2")

    async def renew(self, call_id, fencing_token, *, pool=None):
        self.renewed.set()
        self._note("renew", fencing_token, pool)
        return True

    async def release(self, call_id, fencing_token, *, pool=None):
        self._note("release", fencing_token, pool)
        return True

    def _note(self, *entry) -> None:
        self.asked.append(entry)
        if self.trouble is not None:
            raise self.trouble


def session(slots: Slots, first: Claim | None = None) -> CallSession:
    """A session with a claimed slot."""
    spec = OpenSession(
        call_id="CA1",
        persona="bank",
        persona_version="1",
        role_text="You work for a bank.",
        voice="joe",
        prompt_hash="0123",
    )
    access = LinkAccess("g1", SECRET, 30.0, 2.0, unix_time=lambda: 1_000.0)
    return CallSession(spec, first or claim(), slots, access)


async def test_nobody_listens_at_the_claimed_slot() -> None:
    """An event for the machine, no exception."""
    assert await session(Slots()).open() == SessionLost("link_lost")


async def test_a_closed_session_has_no_slot_to_open() -> None:
    """Closing twice releases once."""
    slots = Slots()
    closed = session(slots)
    await closed.close("hangup")
    await closed.close("hangup")
    assert slots.asked == [("release", 1, "main")]
    assert await closed.open() == SessionLost("no_claim")


async def test_the_next_claim_avoids_the_worker_that_failed() -> None:
    """It may still stand in the books."""
    slots = Slots()
    moved = session(slots)
    await moved.close("link_lost")
    assert await moved.claim_again() == SlotClaimed()
    assert slots.asked[-1] == ("claim", ("w1",))
    await moved.close("hangup")
    assert slots.asked[-1] == ("release", 2, "main")


@pytest.mark.parametrize(
    ("trouble", "code"),
    [(NoCapacity("full"), "no_capacity"), (BrokerUnavailable("down"), "broker_unavailable")],
)
async def test_no_other_slot(trouble: Exception, code: str) -> None:
    """The reason is a code."""
    assert await session(Slots(trouble)).claim_again() == SlotRefused(code)


async def test_a_release_that_redis_does_not_answer_is_no_error() -> None:
    """The lease runs out by itself."""
    await session(Slots(BrokerUnavailable("down"))).close("hangup")


@pytest.mark.parametrize("trouble", [None, BrokerUnavailable("down")])
async def test_the_lease_is_renewed_again_and_again(trouble) -> None:
    """Also after a renewal that was not answered."""
    slots = Slots(trouble)
    keeping = asyncio.create_task(session(slots, claim(lease_s=0.03)).keep_lease())
    for _ in range(2):
        await slots.renewed.wait()
        slots.renewed.clear()
    keeping.cancel()
    assert set(slots.asked) == {("renew", 1, "main")}


async def test_a_slot_without_a_lease_is_not_renewed() -> None:
    """Nothing was reserved: Redis was down."""
    slots = Slots()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await session(slots, claim(lease_s=0.0)).keep_lease()
    assert slots.asked == []


async def test_the_keeper_of_a_closed_session_lets_others_go_on() -> None:
    """Also when the renewal is due in the moment in which the call ends."""
    slots = Slots()
    ended = session(slots, claim(lease_s=0.03))
    keeping = asyncio.create_task(ended.keep_lease())
    await slots.renewed.wait()
    await ended.close("hangup")
    asked = len(slots.asked)
    await asyncio.sleep(0.05)  # past the next renewal
    assert len(slots.asked) == asked
    assert keeping.cancel()


def test_the_session_token_names_call_worker_process_and_prompt() -> None:
    """What the worker checks."""
    token = verify(session(Slots())._token(claim(fencing_token=9)), SECRET, 1_029.0)
    assert (token.call_id, token.worker_id, token.epoch) == ("CA1", "w1", 7)
    assert (token.fencing_token, token.prompt_hash, token.expires_at_s) == (9, "0123", 1_030.0)


def test_a_frame_without_a_link_goes_nowhere() -> None:
    """Between two sessions the caller speaks to nobody."""
    session(Slots()).send(None)
