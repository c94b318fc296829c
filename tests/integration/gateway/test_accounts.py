"""Redis with an account a component, as deploy/redis/acl.sh makes them: enough, and no more."""

import asyncio
import hashlib
import re
import secrets
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from callcenter.admin.aside import ASIDE_STREAM
from callcenter.broker.connection import connect
from callcenter.published.board import COMMANDS_CHANNEL, REVISION_KEY, SNAPSHOT_KEY, Clips
from callcenter.records.journal import STREAM, Journal
from callcenter.settings import WorkerSettings
from callcenter.worker.program import Worker
from callcenter.worker.published import clips_of, published_prompts
from engine.rehearsal import RehearsalEngine
from tests.integration.admin.conftest import LINK_SECRET, Admin, serving
from tests.integration.gateway.test_published import until_published
from tests.integration.gateway.visitor import PAGE, SECRET, Page, browser, call
from tests.integration.redis_servers import start
from tests.signing import PUBLIC_KEY

pytestmark = pytest.mark.timeout(60)
SCRIPT = Path(__file__).parents[3] / "deploy" / "redis" / "acl.sh"
PASSWORDS = {name: secrets.token_hex(16) for name in ("admin", "gateway", "worker")}
NUMBER = "+15550100"


@dataclass
class Accounts:
    """A server, and how each logs in."""

    port: int
    root: Redis

    def url(self, name: str) -> str:
        """Of an account."""
        return f"redis://{name}:{PASSWORDS[name]}@127.0.0.1:{self.port}/0"

    async def refusals(self) -> list[tuple[object, object, object]]:
        """What was asked for in vain: who, what, why."""
        found = await self.root.acl_log()
        return [(entry["username"], entry["object"], entry["reason"]) for entry in found]


def acl_file(**more: str) -> str:
    """What the script prints."""
    given = {f"REDIS_{name.upper()}_PASSWORD": word for name, word in PASSWORDS.items()}
    done = subprocess.run(
        ["sh", str(SCRIPT)], env={"PATH": "/usr/bin:/bin", **given, **more}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[Accounts]:
    """A server with these accounts, and one of the test's own that sees everything."""
    file = tmp_path / "users.acl"
    file.write_text(acl_file(POOLS="main other") + "user root on nopass ~* &* +@all\n")
    server = start(tmp_path, "--aclfile", str(file))
    root = Redis(host="127.0.0.1", port=server.port, username="root", decode_responses=True)
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    await root.ping()
                    break
                except (RedisError, OSError):  # not yet
                    await asyncio.sleep(0.02)
        yield Accounts(server.port, root)
    finally:
        await root.aclose()
        server.process.kill()
        server.process.wait()


async def test_everything_works(accounts: Accounts, make_stand, tmp_path: Path) -> None:
    """Published, called, counted, written down, hung up: and nobody was refused anything."""
    async with serving(
        f"sqlite:///{tmp_path}/a.db", accounts.url("admin"), first_numbers=True, admin_pools="main"
    ) as admin:
        limit = {"name": "all", "title": "All", "scope": "all", "max_concurrent": 5}
        assert (await admin.http.post("/v1/limits", json=limit)).status_code == 201
        await until_published(admin)
        stand = await make_stand(
            2, redis_url=accounts.url("worker"), gateway_redis_url=accounts.url("gateway"),
            pool="main", routes_file=None, webrtc_secret=SECRET, webrtc_origins=PAGE,
            webrtc_personas="*",
        )  # fmt: skip
        caller = stand.caller(NUMBER)
        stream = await caller.start()
        await caller.hear(stream)
        async with browser() as visitor:
            await call(Page(stand.http, stand.base_url), visitor)
            await hung_up(admin, caller.call_id)
        await a_call_is_watched(admin, accounts)
        await a_call_is_erased(admin, caller.call_id)
        await stream.close()
        await stand.until_used(0)
        assert (await admin.http.get("/v1/workers")).json()
        await a_worker_program_works(accounts)
        sha256 = await a_voice_is_taken(accounts)
        await Clips(admin.parts.binary_redis).remove(sha256)
    assert await accounts.refusals() == []


async def hung_up(admin: Admin, call_id: str) -> None:
    """By the console, whose order a gateway answers; and the record says so."""
    status = 0
    while status != 202:
        status = (await admin.http.post(f"/v1/calls/{call_id}/hangup")).status_code
        await asyncio.sleep(0.05)
    record: dict[str, object] = {}
    while record.get("state") != "ended":
        record = (await admin.http.get(f"/v1/calls/{call_id}")).json()
        await asyncio.sleep(0.05)
    assert record["code"] == "operator_hangup"


async def a_call_is_watched(admin: Admin, accounts: Accounts) -> None:
    """Its events come out of the journal, which is followed from its end."""
    gateway = connect(accounts.url("gateway"))
    journal = Journal(gateway)
    async with aclosing(admin.parts.follower.follow("watched", live=True)) as views:
        journal.note("watched", "keys", {"pressed": 1})
        assert await journal.flush()
        assert (await anext(views)).kind == "keys"
    assert await admin.parts.follower._newest() != "0-0"
    await gateway.aclose()


async def a_call_is_erased(admin: Admin, call_id: str) -> None:
    """In the journal, too, and what was put aside of it; then all that is old."""
    await admin.parts.state.aside.put("1-0", {"call": call_id}, "not_understood")
    assert (await admin.http.get("/v1/overview")).status_code == 200
    assert (await admin.http.delete(f"/v1/calls/{call_id}")).status_code == 204
    assert await admin.parts.state.aside.count() == 0
    await admin.parts.state.eraser.trim(round(time.time() * 1_000))


async def a_worker_program_works(accounts: Accounts) -> None:
    """It reads what is published, registers, beats and leaves."""
    settings = WorkerSettings.load(
        redis_url=accounts.url("worker"), link_secret=LINK_SECRET, worker_id="w1",
        config_public_key=PUBLIC_KEY, worker_port=0, worker_http_port=0, worker_pool="other",
    )  # fmt: skip
    assert await published_prompts(settings)
    async with Worker(settings, RehearsalEngine(2)).running() as worker:
        await worker.started.wait()
        assert await accounts.root.exists("{cc:other}:w:w1")


async def a_voice_is_taken(accounts: Accounts) -> str:
    """Its clip is fetched and its codes are stored; gives its name."""
    settings = WorkerSettings.load(redis_url=accounts.url("worker"), link_secret=LINK_SECRET)
    admin = connect(accounts.url("admin"), decode_responses=False)
    sha256 = hashlib.sha256(b"clip").hexdigest()
    await Clips(admin).put(sha256, b"clip", "0" * 64)
    async with clips_of(settings) as clips:
        assert await clips.get(sha256) == b"clip"
        assert await clips.original(sha256) == "0" * 64
        assert await clips.put_codes(sha256, b"codes")
        assert await clips.codes(sha256) == b"codes"
    await admin.aclose()
    return sha256


WRITE_SNAPSHOT = "redis.call('SET', KEYS[1], 'x')"
FORBIDDEN = [
    ("worker", ("SET", SNAPSHOT_KEY, "{}")),
    ("worker", ("SET", REVISION_KEY, "9")),
    ("worker", ("DEL", SNAPSHOT_KEY)),
    ("worker", ("EVAL", WRITE_SNAPSHOT, "1", SNAPSHOT_KEY)),
    ("worker", ("EVAL", f"redis.call('SET', '{SNAPSHOT_KEY}', 'x')", "1", "{cc:main}")),
    ("worker", ("PUBLISH", COMMANDS_CHANNEL, "{}")),
    ("worker", ("SUBSCRIBE", COMMANDS_CHANNEL)),
    ("worker", ("EVAL", f"redis.call('PUBLISH', '{COMMANDS_CHANNEL}', 'x')", "0")),
    ("worker", ("XADD", STREAM, "*", "call", "CA1")),
    ("worker", ("DEL", "cc:codes:x")),
    ("worker", ("GET", "cc:twilio:grant:x")),
    ("worker", ("SET", "cc:once:visit:x", "1")),
    ("worker", ("SET", "cc:voice:x", "1")),
    ("worker", ("SET", "cc:reply:x", "1")),
    ("worker", ("ZADD", "{cc:limits}:all", "1", "x")),
    ("worker", ("SET", "{cc:third}:fence", "1")),
    ("gateway", ("SET", SNAPSHOT_KEY, "{}")),
    ("gateway", ("EVAL", WRITE_SNAPSHOT, "1", SNAPSHOT_KEY)),
    ("gateway", ("PUBLISH", COMMANDS_CHANNEL, "{}")),
    ("gateway", ("XRANGE", STREAM, "-", "+")),
    ("gateway", ("DEL", STREAM)),
    ("gateway", ("XTRIM", STREAM, "MAXLEN", "0")),
    ("gateway", ("XADD", ASIDE_STREAM, "*", "call", "CA1")),
    ("worker", ("XRANGE", ASIDE_STREAM, "-", "+")),
    ("gateway", ("SET", "cc:voice:x", "1")),
    ("admin", ("SET", "cc:twilio:grant:x", "1")),
    ("admin", ("XADD", STREAM, "*", "call", "CA1")),
    *[
        (name, command)
        for name in PASSWORDS
        for command in (
            ("CONFIG", "GET", "*"), ("FLUSHALL",), ("KEYS", "*"), ("ACL", "LIST"), ("MONITOR",),
            ("REPLICAOF", "NO", "ONE"), ("CLIENT", "KILL", "TYPE", "normal"),
            ("SCRIPT", "FLUSH"), ("FUNCTION", "FLUSH"), ("MODULE", "LIST"), ("SHUTDOWN",),
        )
    ],
]  # fmt: skip


async def test_nobody_may_do_another_ones_work(accounts: Accounts) -> None:
    """Neither by a command nor from a script."""
    for name, command in FORBIDDEN:
        client = connect(accounts.url(name))
        try:
            allowed = await client.execute_command(*command)
        except RedisError as error:  # from a script it is an ordinary error
            assert re.search("(?i)permission|ACL", str(error)), (name, command, error)  # noqa: PT017
        else:
            pytest.fail(f"{name} may {command}: {allowed}")
        await client.aclose()


async def test_nobody_comes_in_without_a_password(accounts: Accounts) -> None:
    """Nor with that of another account."""
    for login in ("", "worker:wrong@", f"admin:{PASSWORDS['worker']}@"):
        client = connect(f"redis://{login}127.0.0.1:{accounts.port}/0")
        with pytest.raises((AuthenticationError, RedisError)):
            await client.get("x")
        await client.aclose()


def test_the_file_shows_no_password() -> None:
    """Their SHA-256 only; a short one is refused."""
    text = acl_file()
    assert not any(password in text for password in PASSWORDS.values())
    with pytest.raises(subprocess.CalledProcessError):
        acl_file(REDIS_WORKER_PASSWORD="short")
