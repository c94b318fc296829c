"""The duplex engine behind the whole way of a call, with a tiny random checkpoint.

Everything is real: Valkey, worker, gateway, the test caller's Twilio protocol; only the weights
mean nothing, so the agent babbles.
"""

import asyncio
import json
import wave
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from callcenter.evaluation.call import place_call
from callcenter.evaluation.plan import CallPlan, CallReport
from callcenter.evaluation.wav import read_wav
from personas import library
from tests.e2e.programs import (
    AUTH_TOKEN,
    HOST,
    LINK_SECRET,
    Program,
    running,
    sample,
)
from tests.servers import free_port, valkey

checkpoint = pytest.importorskip("engine.checkpoint")

NUMBER = "+15550100"
WINDOW_POSITIONS = 512  # holds the prompt below twice
ROLE = "You work for Cedar Valley Bank which is a bank and your name is Alex."
PREFILL = 'engine_prompt_prefill_seconds_{part}{{engine="personaplex"{bound}}}'

ENDED = 'worker_sessions_total{engine="personaplex",outcome="ended"}'

pytestmark = [pytest.mark.alone, pytest.mark.timeout(90)]


@dataclass(frozen=True)
class System:
    """Where the parts are."""

    server: str
    worker_page: str
    gateway: Program

    async def call(self, out: Path, seconds: float) -> CallReport:
        """A caller who listens for a while."""
        plan = CallPlan(
            server=self.server,
            public_url=self.server,
            number=NUMBER,
            auth_token=AUTH_TOKEN,
            out=out,
            answer_patience_s=seconds,
            hang_up_after_s=seconds,
            max_s=seconds,
        )
        return await place_call(plan)

    def worker_metrics(self) -> str:
        """The worker's page."""
        return httpx.get(f"{self.worker_page}/metrics", trust_env=False).text

    def words(self) -> str:
        """What the gateway was told that its agents say."""
        lines = [json.loads(line) for line in self.gateway.said().splitlines() if "{" in line]
        return "".join(line.get("pii.text", "") for line in lines)


def personas_folder(folder: Path) -> Path:
    """One persona with a short role, and the shipped voices."""
    (folder / "templates").mkdir(parents=True)
    (folder / "templates" / "desk.yaml").write_text(
        f"name: desk\ntitle: Desk\nvoice: joe\ngreeting: Hello.\nrole_text: {ROLE}\n"
    )
    (folder / "voices").symlink_to(library.SHIPPED / "voices")
    return folder


def write_checkpoint(folder: Path) -> Path:
    """Tiny, but with a window that holds a voice and a role."""
    tiny = checkpoint.TINY
    config = replace(tiny, lm=replace(tiny.lm, window_positions=WINDOW_POSITIONS))
    checkpoint.write_tiny(folder, config=config)
    return folder


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Valkey, a worker with two slots of the duplex engine, a gateway."""
    folder = tmp_path_factory.mktemp("system")
    personas = personas_folder(folder / "personas")
    (folder / "routes.yaml").write_text(f"routes: [{{number: '{NUMBER}', persona: desk}}]\n")
    ports = [free_port() for _ in range(3)]
    server, worker_page = f"http://{HOST}:{ports[0]}", f"http://{HOST}:{ports[2]}"
    with ExitStack() as stack:
        common = {
            "REDIS_URL": stack.enter_context(valkey()).connection_url,
            "LINK_SECRET": LINK_SECRET,
            "PERSONAS_DIR": personas,
            "OMP_NUM_THREADS": 1,
        }
        worker = running(
            folder / "worker.log",
            "worker",
            **common,
            ENGINE="personaplex",
            CHECKPOINT=write_checkpoint(folder / "checkpoint"),
            WORKER_SLOTS=2,
            WORKER_PORT=ports[1],
            WORKER_HTTP_PORT=ports[2],
        )
        stack.enter_context(worker).until_ready(f"{worker_page}/readyz")
        gateway = running(
            folder / "gateway.log",
            "gateway",
            **common,
            GATEWAY_PORT=ports[0],
            METRICS_PORT=0,
            PUBLIC_BASE_URL=server,
            ROUTES_FILE=folder / "routes.yaml",
            TWILIO_AUTH_TOKEN=AUTH_TOKEN,
            LOG_LEVEL="debug",
            LOG_PII=True,
        )
        program = stack.enter_context(gateway)
        program.until_ready(f"{server}/readyz")
        yield System(server, worker_page, program)


def judge(report: CallReport, out: Path) -> None:
    """The agent was there from the beginning to the end."""
    assert report.status == "completed", report.detail
    assert report.first_audio_s is not None
    assert report.first_audio_s < 1.0
    assert report.audio_received_s == pytest.approx(report.duration_s - report.first_audio_s, abs=1)
    with wave.open(str(out)) as recording:
        assert recording.getnframes() == report.packets_sent * 160
    assert np.std(read_wav(out)[8_000:].astype(float)) > 100
    if report.max_late_s < 0.02:  # else the gaps are this machine's
        assert report.packets_missing == 0


async def test_two_calls_at_once_are_answered_by_the_model(system: System, tmp_path: Path) -> None:
    """Each hears its own agent from end to end; what the agents say comes as text; numbers move."""
    before = system.worker_metrics()
    outs = [tmp_path / "one.wav", tmp_path / "two.wav"]
    reports = await asyncio.gather(*(system.call(out, 5.0) for out in outs))
    for report, out in zip(reports, outs, strict=True):
        judge(report, out)
    one, two = (read_wav(out)[8_000:32_000] for out in outs)
    assert not np.array_equal(one, two), "each call has a seed of its own"
    assert system.words()

    async with asyncio.timeout(10):
        ended = sample(before, ENDED) + 2
        while sample(after := system.worker_metrics(), ENDED) < ended:  # noqa: ASYNC110 - a page
            await asyncio.sleep(0.1)

    def gain(name: str) -> float:
        return sample(after, name) - sample(before, name)

    assert gain('engine_frame_seconds_count{engine="personaplex",stage="total"}') >= 50
    assert gain(PREFILL.format(part="count", bound="")) == 2


async def test_a_known_persona_starts_within_one_tick(system: System, tmp_path: Path) -> None:
    """Its prompt was computed when the worker started: already the first call finds it."""
    bound = PREFILL.format(part="bucket", bound=',le="0.08"')
    before = sample(system.worker_metrics(), bound)
    for attempt in range(3):  # a machine that stalls for a tick is no fault of the engine's
        judge(await system.call(tmp_path / f"{attempt}.wav", 1.5), tmp_path / f"{attempt}.wav")
        if sample(system.worker_metrics(), bound) > before:
            return
    raise AssertionError("no call's prompt was in within a tick")


def test_a_wrong_checkpoint_is_refused_at_start(tmp_path: Path) -> None:
    """With exit status 2 and one line that names what is wrong, before the worker joins a pool."""
    folder = tmp_path / "checkpoint"
    checkpoint.write_tiny(folder)
    sizes = json.loads((folder / "callcenter_config.json").read_text())
    sizes["lm"]["dim"] *= 2
    (folder / "callcenter_config.json").write_text(json.dumps(sizes))
    environment = {"LINK_SECRET": LINK_SECRET, "ENGINE": "personaplex", "CHECKPOINT": folder}
    with running(tmp_path / "log", "worker", **environment) as worker:
        assert worker.process.wait(40) == 2, worker.said()
    assert "Traceback" not in worker.said()
    assert "weight is [32, 64], the model needs [32, 128]" in worker.said().splitlines()[-1]
