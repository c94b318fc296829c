"""A voice from its upload to a call with the duplex engine that speaks with it.

Admin app, Valkey, workers and gateway are the real ones; the checkpoint is tiny and random.
"""

import asyncio
import contextlib
import hashlib
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from structlog.typing import EventDict
from websockets.asyncio.client import ClientConnection

from callcenter.broker.connection import connect
from callcenter.errors import Refused
from callcenter.link.refusals import PromptRefused
from callcenter.settings import WorkerSettings
from callcenter.worker import engines
from callcenter.worker.program import Worker
from callcenter.worker.published import clips_of, published_prompts, with_voices
from callcenter.worker.voices import VoiceIntake
from engine.interface import SessionSpec
from personas import library
from tests.integration.admin.conftest import LINK_SECRET, Admin, serving
from tests.integration.admin.test_voices import WRITTEN, speech
from tests.integration.gateway.conftest import Caller, Stand

checkpoint = pytest.importorskip("engine.checkpoint")

NUMBER, OTHER = "+15550100", "+15550101"
SKIPPED = "engine_ticks_skipped_total"
ANY = {"If-Match": "*"}
pytestmark = [pytest.mark.timeout(90), pytest.mark.flaky(reruns=2)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint, and one persona with one shipped voice."""
    folder = tmp_path_factory.mktemp("voices")
    tiny = checkpoint.TINY
    config = replace(tiny, lm=replace(tiny.lm, window_positions=512))
    checkpoint.write_tiny(folder / "checkpoint", config=config)
    for part in ("templates", "voices"):
        (folder / "personas" / part).mkdir(parents=True)
    (folder / "personas" / "templates" / "desk.yaml").write_text(
        "name: desk\ntitle: Desk\nvoice: joe\ngreeting: Hello.\nrole_text: Be kind.\n"
    )
    for file in (library.SHIPPED / "voices").glob("joe.*"):
        shutil.copy(file, folder / "personas" / "voices")
    return folder


@dataclass
class House:
    """What this test has in its hands.

    Attributes:
        specs: of every session that an engine admitted, by worker.
    """

    settings: WorkerSettings
    specs: dict[str, list[SessionSpec]]

    @contextlib.asynccontextmanager
    async def worker(self, name: str) -> AsyncIterator[Worker]:
        """A worker as its program starts it."""
        settings = self.settings.model_copy(update={"worker_id": name})
        wanted = await published_prompts(settings)
        engine = await asyncio.to_thread(engines.build, settings, len(wanted))
        await with_voices(settings, engine, engines.voices(settings), wanted)
        seen, admit = self.specs.setdefault(name, []), engine.admit

        def admit_and_tell(spec: SessionSpec) -> int:
            seen.append(spec)
            return admit(spec)

        engine.admit = admit_and_tell
        async with Worker(settings, engine).running() as worker:
            yield worker


@pytest.fixture
async def house(redis_url: str, folders: Path) -> House:
    """An empty Redis, and how workers are started."""
    async with connect(redis_url) as redis:
        await redis.flushdb()
    settings = WorkerSettings.load(
        redis_url=redis_url,
        link_secret=LINK_SECRET,
        engine="personaplex",
        checkpoint=str(folders / "checkpoint"),
        personas_dir=folders / "personas",
        worker_pool=f"pool-{secrets.token_hex(4)}",
        worker_port=0,
        worker_http_port=0,
        worker_slots=3,
        heartbeat_s=0.1,
    )
    return House(settings, {})


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    """What every part says, in order."""
    with capture_logs() as lines:
        yield lines


async def publish_persona_with_new_voice(admin: Admin) -> str:
    """Upload, consent, persona, publication, number; returns the clip's SHA-256."""
    http = admin.http
    fields = {"name": "anna", "title": "Anna", "gender": "female"}
    uploaded = await http.post(
        "/v1/voices", data=fields, files={"file": ("anna.wav", speech(), "audio/wav")}
    )
    assert uploaded.status_code == 201, uploaded.text
    consent = await http.put("/v1/voices/anna/consent", json=WRITTEN, headers=ANY)
    assert consent.json()["blocked"] == "", consent.text
    await http.post("/v1/personas", json={"template": "desk", "name": "hers"})
    await http.patch("/v1/personas/hers", json={"draft": {"voice": "anna"}}, headers=ANY)
    done = await http.post("/v1/personas/hers/publish", json={})
    assert done.status_code == 200, done.text
    made = await http.post("/v1/numbers", json={"name": NUMBER, "title": "x", "persona": "hers"})
    assert made.status_code == 201, made.text
    sha256: str = uploaded.json()["sha256"]
    return sha256


def count(name: str, **labels: str) -> float:
    """A counter's value now."""
    return REGISTRY.get_sample_value(name, {"engine": "personaplex", **labels}) or 0.0


def computed() -> float:
    """How many clips workers of this process have turned into codes."""
    return count("worker_voices_total", kind="computed")


def place(lines: list[EventDict], event: str, **fields: object) -> int:
    """Where something was first said."""
    for index, line in enumerate(lines):
        if line["event"] == event and fields.items() <= line.items():
            return index
    raise AssertionError(f"nobody said {event} with {fields}: {[line['event'] for line in lines]}")


async def until_answered(stand: Stand, number: str) -> tuple[Caller, ClientConnection]:
    """Calls until the number's configuration has come through; the call goes on."""
    while True:
        caller = stand.caller(number)
        try:
            stream = await caller.start()
        except Refused:
            await asyncio.sleep(0.1)
            continue
        await caller.hear(stream)
        return caller, stream


async def test_an_uploaded_voice_is_heard(
    house: House, folders: Path, tmp_path: Path, make_stand, logged: list[EventDict]
) -> None:
    """Ready before a call may ask for it, computed once in all, beside a live call's ticks."""
    pool, url = house.settings.worker_pool, f"sqlite:///{tmp_path}/admin.db"
    personas, before = folders / "personas", computed()
    app = serving(url, house.settings.redis_url, admin_pools=pool, personas_dir=personas)
    async with house.worker("w1") as first, app as admin:
        stand = await make_stand(slots=0, gateway_pools=pool, routes_file=None)
        desk = {"name": OTHER, "title": "x", "persona": "desk"}
        assert (await admin.http.post("/v1/numbers", json=desk)).status_code == 201
        live, line = await until_answered(stand, OTHER)
        assert house.specs["w1"][-1].voice == "joe", "the shipped clip is the engine's own voice"
        skipped = count(SKIPPED)

        sha256 = await publish_persona_with_new_voice(admin)
        hers, second_line = await until_answered(stand, NUMBER)
        assert computed() == before + 1
        taken = place(logged, "voice_taken", voice_sha256=sha256, how="computed")
        primed = place(logged, "worker_primed", worker_id="w1", persona="hers")
        started = place(logged, "session_started", call_id=hers.call_id, voice_sha256=sha256)
        assert taken < primed < primed + place(logged[primed:], "published") < started
        assert house.specs["w1"][-1].voice == sha256
        assert count(SKIPPED) - skipped < 3, "the clip takes 5 ticks: they were not the calls'"
        await live.hear(line, 5)

        async with house.worker("w2"):
            first.drain()
            again, third_line = await until_answered(stand, NUMBER)
            (spec,) = (each for each in house.specs["w2"] if each.session_id == again.call_id)
            assert spec.voice == sha256
            assert place(logged, "voice_taken", voice_sha256=sha256, how="stored") > started
            assert computed() == before + 1
            assert (await admin.http.get("/v1/voices/anna/codes")).status_code == 200
            for stream in (third_line, second_line, line):
                await stream.close()


async def test_a_voice_that_cannot_be_had(house: House, folders: Path, logged) -> None:
    """A clip that is gone, or another one than was published: that session is refused in words."""
    engine = await asyncio.to_thread(engines.build, house.settings)
    async with clips_of(house.settings) as clips:
        intake = VoiceIntake(engine, engine.kind, clips, {})
        with pytest.raises(PromptRefused, match="voice anna cannot be taken in: its clip is not p"):
            await intake.name_of("anna", "0" * 64)
        await clips.put("0" * 64, speech())
        with pytest.raises(PromptRefused, match="is not the one that was published"):
            await intake.name_of("anna", "0" * 64)
        noise = b"no sound at all"
        sha256 = hashlib.sha256(noise).hexdigest()
        await clips.put(sha256, noise)
        with pytest.raises(PromptRefused, match="cannot be read"):
            await intake.name_of("anna", sha256)
        good = speech()
        sha256 = hashlib.sha256(good).hexdigest()
        await clips.put(sha256, good)
        await clips.put_codes(sha256, b"not by one of us")
        names = await asyncio.gather(*(intake.name_of("anna", sha256) for _ in range(3)))
        assert names == [sha256] * 3
        assert sum(line["event"] == "voice_taken" for line in logged) == 1, "once for all sessions"
        place(logged, "codes_refused", voice_sha256=sha256)
