"""The journal's intake: what cannot be stored is put aside, and everything else is stored."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from callcenter import metrics
from callcenter.admin import webhooks
from callcenter.admin.aside import ASIDE_STREAM
from callcenter.admin.intake import MAX_TRIES, Intake
from callcenter.admin.store import calls, documents
from callcenter.admin.store.database import Database
from callcenter.admin.store.work import SYSTEM, Work
from callcenter.broker.connection import connect
from callcenter.records.journal import STREAM, Entry, encode
from tests.integration.admin.conftest import Filled
from tests.servers import valkey

NOW_S = round(time.time())
ODD_FIELDS: dict[str, dict[Any, Any]] = {
    "nothing of ours": {"x": "y"},
    "no number": {"at": "noon"},
    "not a time": {"at": "nan"},
    "beyond time": {"at": "1e300"},
    "before time": {"at": "-9" + "9" * 400},
    "no kind": {"kind": ""},
    "a long kind": {"kind": "k" * 500},
    "a long id": {"call": "c" * 500},
    "no JSON": {"data": "{"},
    "no object": {"data": "[]"},
    "brackets": {"data": "[" * 100_000},
    "deep": {"data": '{"x":' * 50 + "1" + "}" * 50},
    "many digits": {"data": '{"x": ' + "9" * 10_000 + "}"},
    "large": {"data": json.dumps({"caller": "x" * 200_000})},
    "many fields": {f"f{number}": "x" for number in range(2_000)},
    "no text": {b"call": b"\xff\xfe", b"data": b"\xff"},
}
ODD_DATA: dict[str, dict[str, Any]] = {
    "half of a pair": {"caller": "\udcff"},
    "a zero byte": {"caller": "a\0b", "k\0": {"\0": ["\0"]}},
    "numbers beyond 64 bits": {"duration_s": 2**80, "setup_s": 10**300},
    "no numbers": {"setup_s": float("nan"), "quality": {"mos": float("inf")}},
    "other types": {"caller": ["x"], "persona": {"a": 1}, "quality": "good", "kind": 7},
    "long texts": dict.fromkeys(("caller", "called", "persona", "outcome"), "x" * 5000),
}
KINDS = ("call_announced", "session_ready", "turn", "call_ended", "no_such_kind")


class Office:
    """One intake over a Valkey of its own, so that its entries are the only ones."""

    def __init__(self, redis_url: str, database: Database) -> None:
        self.redis = connect(redis_url, timeout_s=5.0)
        self.database = database
        self.intake = self.life()

    def life(self) -> Intake:
        """Another start of the same process."""
        return Intake(self.redis, self.database, "admin-0", webhooks.enqueue)

    async def write(self, call_id: str, kind: str = "call_announced", /, **data: Any) -> None:
        """An entry as a gateway writes it."""
        await self.redis.xadd(STREAM, encode(Entry(call_id, NOW_S, kind, data)))

    async def die_with_what_is_there(self) -> None:
        """A life that reads everything, and ends before it stores anything."""
        await self.intake._join()
        await self.redis.xreadgroup("admin", "admin-0", {STREAM: ">"})
        self.intake = self.life()

    async def read_all(self) -> None:
        """Until nothing is left to read, that of an earlier life first."""
        start = await self.intake.read_once("0")
        while (start := await self.intake.read_once(start)) != ">":
            pass
        while await self.redis.xinfo_groups(STREAM):
            before = (await self.redis.xinfo_groups(STREAM))[0]
            if not before["lag"]:
                return
            await self.intake.read_once(">")

    async def known(self, call_id: str) -> bool:
        """Whether a call is recorded."""
        async with self.database.reading() as db:
            return await calls.get(db, call_id) is not None

    async def pending(self) -> int:
        """Entries that were read and not done with."""
        return int((await self.redis.xpending(STREAM, "admin"))["pending"])

    async def aside(self) -> list[dict[str, str]]:
        """What was put aside."""
        return [fields for _, fields in await self.redis.xrange(ASIDE_STREAM)]


@pytest.fixture(scope="module")
def own_redis_url():
    """Apart from the apps of other tests, which would read the entries."""
    with valkey() as server:
        yield server.connection_url


@pytest.fixture
async def office(any_database: Filled, own_redis_url: str) -> AsyncIterator[Office]:
    """With an empty journal."""
    database = Database(any_database.url)
    found = Office(own_redis_url, database)
    await found.redis.flushdb()
    yield found
    await found.redis.aclose()
    await database.close()


async def test_odd_entries_are_put_aside_and_the_rest_is_stored(office: Office) -> None:
    """Of strangers and other releases: each is kept for people, and none is read twice."""
    before = metrics.JOURNAL_REFUSED.labels("not_understood")._value.get()
    usual = encode(Entry("CAodd", NOW_S, "call_announced", {}))
    for number, fields in enumerate(ODD_FIELDS.values()):
        await office.redis.xadd(STREAM, fields if "x" in fields else {**usual, **fields})
        await office.write(f"CA{number}")
    await office.read_all()
    assert all([await office.known(f"CA{number}") for number in range(len(ODD_FIELDS))])
    assert await office.pending() == 0
    aside = await office.aside()
    refused = [name for name in ODD_FIELDS if name not in ("many fields", "no text")]
    assert len(aside) in (
        len(refused),
        len(refused) + 1,
    )  # no text: it may say something all the same
    assert {each["why"] for each in aside} == {"not_understood"}
    assert max(len(value) for each in aside for value in each.values()) <= 4_000
    after = metrics.JOURNAL_REFUSED.labels("not_understood")._value.get()
    assert after - before == len(aside)


@pytest.mark.parametrize("name", ODD_DATA)
async def test_odd_data_is_cleaned_and_the_call_is_recorded(office: Office, name: str) -> None:
    """Whatever kind of event has it; the next call is recorded, too."""
    for kind in KINDS:
        await office.write("CAodd", kind, **ODD_DATA[name])
    await office.write("CAnext")
    await office.read_all()
    assert await office.known("CAodd")
    assert await office.known("CAnext")
    assert await office.pending() == 0
    assert not await office.aside()
    async with office.database.reading() as db:
        assert len(await calls.events(db, "CAodd", "", 100)) == len(KINDS)


async def refuse(database: Database, call_id: str) -> None:
    """The database refuses one call's events, for what is in them."""
    statements = {
        "sqlite": [
            "CREATE TRIGGER refuses BEFORE INSERT ON call_events WHEN new.call_id = '{}' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        ],
        "postgresql": ["ALTER TABLE call_events ADD CHECK (call_id <> '{}')"],
    }
    async with database.writing() as db:
        for statement in statements[database.kind]:
            await db.execute(text(statement.format(call_id)))


async def test_what_the_database_refuses_is_put_aside(office: Office) -> None:
    """By itself; those that came in the same batch are stored."""
    await refuse(office.database, "CAbad")
    for call_id in ("CA1", "CAbad", "CA2"):
        await office.write(call_id)
    await office.read_all()
    assert [await office.known(each) for each in ("CA1", "CAbad", "CA2")] == [True, False, True]
    assert await office.pending() == 0
    (aside,) = await office.aside()
    assert (aside["why"], aside["call"]) == ("not_stored", "CAbad")


async def test_an_entry_that_trips_our_own_code_is_put_aside(office: Office) -> None:
    """A mistake of ours, with one kind of entry, ends nothing."""

    async def tripped(work: Work, entries: Sequence[Entry]) -> None:
        if any(entry.call_id == "CAbad" for entry in entries):
            raise KeyError("a mistake")

    office.intake = Intake(office.redis, office.database, "admin-0", tripped)
    for call_id in ("CA1", "CAbad", "CA2"):
        await office.write(call_id)
    await office.read_all()
    assert [await office.known(each) for each in ("CA1", "CAbad", "CA2")] == [True, False, True]
    assert [each["call"] for each in await office.aside()] == ["CAbad"]


async def test_an_entry_that_fails_for_no_clear_reason_is_tried_again(office: Office) -> None:
    """The others are stored meanwhile, though it is the first; after some tries it is put aside."""

    async def unclear(work: Work, entries: Sequence[Entry]) -> None:
        if any(entry.call_id == "CAbad" for entry in entries):
            raise OperationalError("x", None, RuntimeError("internal error"))

    office.intake = Intake(office.redis, office.database, "admin-0", unclear)
    for call_id in ("CAbad", "CA1", "CA2"):
        await office.write(call_id)
    await office.read_all()
    assert [await office.known(each) for each in ("CAbad", "CA1", "CA2")] == [False, True, True]
    assert await office.pending() == 1
    for _ in range(MAX_TRIES):
        await office.read_all()
    assert await office.pending() == 0
    assert [each["call"] for each in await office.aside()] == ["CAbad"]


async def test_a_webhook_in_no_form_of_ours_keeps_no_call_from_its_record(office: Office) -> None:
    """Of another release, or changed by hand in the database."""
    async with office.database.writing() as db:
        work = Work(db, SYSTEM, datetime.now(UTC))
        for name, document in (("a", {}), ("b", {"enabled": True, "events": None, "url": 7})):
            await documents.create(work, "webhook", name, document)
    await office.write("CA1")
    await office.read_all()
    assert await office.known("CA1")
    assert not await office.aside()


async def test_an_entry_from_an_earlier_life_stops_no_later_one(office: Office) -> None:
    """It was read and not stored when the process died; the new one puts it aside and goes on."""
    await refuse(office.database, "CAbad")
    await office.write("CAbad")
    await office.die_with_what_is_there()
    assert await office.pending() == 1
    await office.write("CA1")
    await office.read_all()
    assert await office.known("CA1")
    assert await office.pending() == 0


async def test_nothing_is_put_aside_while_the_database_is_away(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trouble is not the entries'; they are stored when it is back."""
    away = Database("postgresql://nobody@127.0.0.1:9/none")
    await office.write("CA1")
    await office.die_with_what_is_there()
    with monkeypatch.context() as patch:
        patch.setattr(office.intake, "_database", away)
        running = asyncio.create_task(office.intake.run())
        await asyncio.wait({running}, timeout=1.0)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert await office.pending() == 1
    assert not await office.aside()
    await office.read_all()
    assert await office.known("CA1")


async def test_the_stream_of_those_put_aside_is_bounded(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go."""
    monkeypatch.setattr("callcenter.admin.aside.MAX_ENTRIES", 3)
    for _ in range(5):
        await office.redis.xadd(STREAM, {"x": secrets.token_hex(2)})
    await office.read_all()
    assert await office.intake.aside.count() == 3
