"""A SIP gateway without a file: trunks, routes and limits come from the admin app."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from callcenter.broker.connection import connect
from callcenter.published.board import Board, Command
from callcenter.published.snapshot import Snapshot
from callcenter.records.journal import STREAM, decode
from callcenter.telephony.sip.registration import Standing
from personas import library
from tests.integration.sip.conftest import Caller, MakeStand, Stand
from tests.integration.sip.test_registration import call_the_account, registrar, standing
from tests.signing import admins_board

pytestmark = pytest.mark.timeout(30)
BANK = {"kind": "personas", "personas": [{"persona": "bank"}], "transfer_to": "+15550199"}
HERE = {"name": "carrier", "title": "Carrier", "kind": "sip", "addresses": ["127.0.0.1/32"]}
CONTENT = library.load()["bank"].model_dump(mode="json", exclude_none=True)


def snapshot(revision: int, **more: object) -> Snapshot:
    """One persona, one trunk, and what the test wants."""
    persona = {"name": "bank", "version": 3, "content": CONTENT}
    voice = {"name": CONTENT["voice"], "sha256": "ab" * 32}
    plain = {"revision": revision, "current": {"bank": 3}, "personas": [persona]}
    return Snapshot.model_validate({**plain, "voices": [voice], "trunks": [HERE], **more})


def route(
    name: str, called: str, target: dict[str, object], *overflow: object
) -> dict[str, object]:
    """A route of one number."""
    match = {"called": called, "trunk": "carrier"}
    return {
        "name": name, "title": name, "match": match, "target": target, "overflow": list(overflow)
    }  # fmt: skip


def orders(stand: Stand) -> Board:
    """The admin app's end of the board."""
    return admins_board(stand.gateway._redis)


async def published(stand: Stand, wanted: Snapshot) -> None:
    """Publishes, and waits until the gateway has it."""
    await orders(stand).publish(wanted)
    while stand.gateway._published.revision != wanted.revision:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.02)


@pytest.fixture
async def stand(redis_url: str, make_stand: MakeStand, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """A gateway that has no trunks file."""
    monkeypatch.setenv("TRUNK_LOGIN", "of-the-carrier")
    async with connect(redis_url) as redis:
        await redis.flushdb()
    return await make_stand(trunks_file=None, slots=2, transfer_prefixes="+1555")


async def entries(stand: Stand) -> list[tuple[str, dict[str, object]]]:
    """What stands in the journal."""
    await stand.gateway._journal.flush()
    found = await stand.gateway._redis.xrange(STREAM)
    return [(entry.kind, dict(entry.data)) for entry in (decode(fields) for _, fields in found)]


async def test_a_call_by_the_published_configuration(stand: Stand, make_caller) -> None:
    """A stranger until the trunk is published; then answered, and hung up by an operator."""
    early = make_caller(stand.udp)
    early.send(early.request("INVITE", early.sdp()))
    with pytest.raises(TimeoutError):
        await early.response(timeout_s=0.4)
    await published(stand, snapshot(1, routes=[route("desk", "+15550100", BANK)]))
    caller = make_caller(stand.udp, number="15550100")
    await caller.call()
    await caller.hear(5)
    (session,) = stand.worker.sessions.values()
    assert (session.spec.persona_version, session.spec.voice_sha256) == ("3", "ab" * 32)
    refused = await orders(stand).ask(Command(session.spec.call_id, "sing"))
    assert "does not know" in str(refused)
    assert await orders(stand).ask(Command(session.spec.call_id, "hangup")) == ""
    bye = await caller.incoming("BYE")
    caller.answer(bye)
    await stand.until_free()
    told = dict(await entries(stand))
    assert {"call_announced", "call_began", "session_ready", "call_ended"} <= told.keys()
    announced = told["call_announced"]
    assert (announced["transport"], announced["trunk"]) == ("sip", "carrier")
    assert (announced["route"], announced["called"]) == ("desk", "15550100")
    assert told["call_ended"]["code"] == "operator_hangup"


async def test_login_and_codecs_of_the_next_call(stand: Stand, make_caller) -> None:
    """Asked for a login as published; without one from the next configuration on, in its codec."""
    routes, login = [route("desk", "+15550100", BANK)], {**HERE, "secret_ref": "TRUNK_LOGIN"}
    await published(stand, snapshot(1, trunks=[login], routes=routes))
    caller = make_caller(stand.udp, number="+15550100")
    caller.send(caller.request("INVITE", caller.sdp()))
    assert (await caller.response()).split()[1] == "401"
    await published(
        stand, snapshot(2, trunks=[{**HERE, "sip": {"codecs": ["pcma"]}}], routes=routes)
    )
    caller = make_caller(stand.udp, number="+15550100")
    assert "RTP/AVP 8 101" in await caller.call()
    assert "200" in await caller.ask("BYE")
    await stand.until_free()


async def live_call(
    stand: Stand, make_caller: Callable[..., Caller], formats: str = "0 101"
) -> tuple[Caller, str]:
    """The caller of a call that is up, and the call's id."""
    caller = make_caller(stand.udp, number="+15550100")
    await caller.call(caller.sdp(formats))
    await caller.hear(5)
    (call_id,) = stand.worker.sessions
    return caller, call_id


async def test_an_operator_transfers_by_refer(stand: Stand, make_caller) -> None:
    """A far end that refuses it: the console hears the status, and the call goes on.

    A number with another beginning is not tried; the route's own needs no beginning.
    """
    elsewhere = {**BANK, "transfer_to": "+4930123456"}
    await published(stand, snapshot(1, routes=[route("desk", "+15550100", elsewhere)]))
    caller, call_id = await live_call(stand, make_caller)
    premium = await orders(stand).ask(Command(call_id, "transfer", "+19005550142"))
    assert "TRANSFER_PREFIXES" in str(premium)
    asked = asyncio.create_task(orders(stand).ask(Command(call_id, "transfer", "+4930123456")))
    caller.answer(await caller.incoming("REFER"), "603 Decline")
    assert "603" in str(await asked)
    asked = asyncio.create_task(orders(stand).ask(Command(call_id, "transfer", "+15550142")))
    refer = await caller.incoming("REFER")
    assert "sip:+15550142@" in refer
    caller.answer(refer, "603 Decline")
    assert "603" in str(await asked)
    await caller.hear(5)
    assert "200" in await caller.ask("BYE")
    await stand.until_free()


async def test_an_operator_presses_keys(stand: Stand, make_caller) -> None:
    """As RTP events; by INFO, one after the other, to a far end that takes none."""
    await published(stand, snapshot(1, routes=[route("desk", "+15550100", BANK)]))
    caller, call_id = await live_call(stand, make_caller)
    assert await orders(stand).ask(Command(call_id, "press", "1#")) == ""
    events = [packet[12:] for packet in await caller.hear(40) if packet[1] & 0x7F == 101]
    assert [event[0] for event in events] == [1] * 11 + [11] * 11
    assert [bool(event[1] & 0x80) for event in events] == ([False] * 8 + [True] * 3) * 2
    assert "200" in await caller.ask("BYE")
    await stand.until_free()
    plain, call_id = await live_call(stand, make_caller, "0")
    asked = asyncio.create_task(orders(stand).ask(Command(call_id, "press", "7*")))
    for key in "7*":
        info = await plain.incoming("INFO")
        assert f"Signal={key}\r\n" in info
        plain.answer(info)
    assert await asked == ""
    assert "200" in await plain.ask("BYE")
    await stand.until_free()
    keys = [data for kind, data in await entries(stand) if kind == "keys"]
    assert keys == [{"pressed": 2}] * 2


async def test_what_is_not_a_persona(stand: Stand, make_caller) -> None:
    """Another number, busy, declined, a message that nobody can speak, and no route at all."""
    targets = [
        ("+15550101", {"kind": "transfer", "to": "+15550142"}, "302"),
        ("+15550102", {"kind": "reject", "reason": "busy"}, "486"),
        ("+15550103", {"kind": "reject", "reason": "rejected"}, "603"),
        ("+15550104", {"kind": "message", "text": "Closed."}, "480"),
    ]
    routes = [route(f"r{number[-1]}", number, target) for number, target, _ in targets]
    await published(stand, snapshot(1, routes=routes))
    for number, _, status in [*targets, ("+15550109", {}, "404")]:
        caller = make_caller(stand.udp, number=number)
        caller.send(caller.request("INVITE", caller.sdp()))
        answer = await caller.response()
        assert answer.split()[1] == status, answer
        assert status != "302" or "Contact: <sip:+15550142@" in answer
    await stand.until_free()


async def test_limits_and_overflow(stand: Stand, make_caller) -> None:
    """The trunk's channels count; what is over goes along the chain."""
    limit = {"name": "one", "title": "One", "scope": "persona", "subject": "bank"}
    busy = {"kind": "reject", "reason": "busy"}
    await published(
        stand,
        snapshot(
            1,
            routes=[route("a", "+15550100", BANK), route("b", "+15550101", BANK, busy)],
            limits=[{**limit, "max_concurrent": 1}],
        ),
    )
    first = make_caller(stand.udp, number="+15550100")
    await first.call()
    for number, status in (("+15550100", "503"), ("+15550101", "486")):
        caller = make_caller(stand.udp, number=number)
        caller.send(caller.request("INVITE", caller.sdp()))
        assert (await caller.response()).split()[1] == status
    unknown = make_caller(stand.udp, number="+15550109")
    unknown.send(unknown.request("INVITE", unknown.sdp()))
    assert (await unknown.response()).split()[1] == "404"
    told = [data for kind, data in await entries(stand) if kind == "call_refused"]
    assert [(one["called"], one["outcome"], one["code"]) for one in told] == [
        ("+15550100", "rejected_capacity", "limit_reached"),
        ("+15550101", "rejected", "route_reject"),
        ("+15550109", "rejected", "no_route"),
    ]
    assert {one["trunk"] for one in told} == {"carrier"}
    assert "200" in await first.ask("BYE")
    await stand.until_free()
    again = make_caller(stand.udp, number="+15550101")
    await again.call()
    assert "200" in await again.ask("BYE")


async def test_a_trunk_of_the_file_without_numbers(
    redis_url: str, make_stand: MakeStand, make_caller, tmp_path: Path
) -> None:
    """The file says how it is reached, the published routes who answers."""
    trunks = tmp_path / "own.yaml"
    trunks.write_text("trunks:\n  - {name: pbx, networks: ['127.0.0.1/32']}\n")
    stand = await make_stand(trunks_file=trunks)
    number = {"name": "+15550100", "title": "x", "persona": "bank"}
    await published(stand, snapshot(2**60, trunks=[], numbers=[number]))
    caller = make_caller(stand.udp, number="+15550100")
    await caller.call()
    assert "200" in await caller.ask("BYE")
    await stand.until_free()
    async with connect(redis_url) as redis:
        await redis.flushdb()
        assert await Board(redis).revision() is None


@pytest.fixture
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the gateway finds in its environment when it starts."""
    monkeypatch.setenv("TRUNK_GUESS", "guess")
    monkeypatch.setenv("TRUNK_ACCOUNT", "registrar-password")


async def test_a_registration_comes_changes_and_goes(
    passwords: None, stand: Stand, tmp_path
) -> None:
    """A wrong password, the right one, a call through the registrar, none: without a restart."""
    async with registrar(tmp_path, "SHA-256") as port:

        def wanted(revision: int, secret_ref: str | None) -> Snapshot:
            account = {"uri": f"sip:127.0.0.1:{port}", "username": "agent"}
            sip = {"registrar": {**account, "secret_ref": secret_ref} if secret_ref else None}
            routes = [route("desk", "agent", BANK)]
            return snapshot(revision, trunks=[{**HERE, "sip": sip}], routes=routes)

        await published(stand, wanted(1, "TRUNK_GUESS"))
        await standing(stand, Standing.REFUSED)
        await published(stand, wanted(2, "TRUNK_ACCOUNT"))
        await standing(stand, Standing.REGISTERED)
        await call_the_account(port)
        assert len(stand.worker.specs) == 1
        (registration,) = stand.gateway._registrations.by_trunk.values()
        await published(stand, wanted(3, None))
        assert not stand.gateway._registrations.by_trunk
        async with asyncio.timeout(5):
            while registration.standing is not Standing.UNKNOWN:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await stand.until_free()
