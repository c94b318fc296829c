"""Every panel's queries on a real Prometheus that scrapes the running system under calls.

Grafana itself is not run: what it would draw is what these queries return. A panel that returns
nothing is a failure here.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from callcenter.evaluation.call import place_call
from callcenter.evaluation.plan import CallPlan
from callcenter.evaluation.script import StepSpec, load_step
from tests.deploy import tools
from tests.deploy.conftest import CHART, program
from tests.e2e.programs import AUTH_TOKEN, HOST, LINK_SECRET, Program, running
from tests.integration.sip.conftest import Caller
from tests.servers import free_port

QUESTION = tools.ROOT / "tests" / "fixtures" / "question_8khz.wav"
NUMBER = "+15550100"
SIP_CALL_PACKETS = 75  # 1.5 s
SCRAPE_S = 0.5
WEB_CALL_S = 7.0  # time enough to interrupt, hear the answer begin, and interrupt again
TRUNKS = {"trunks": [{"name": "pbx", "networks": ["127.0.0.1/32"], "default": {"persona": "bank"}}]}
# What this test's callers cannot bring about, and who would.
NEEDS_MORE = {
    "Ports and registrations: registered {{trunk}}": "a trunk that wants a registration",
    "Round trip: p95 {{trunk}}": "a peer that sends RTCP",
}


@contextmanager
def system(
    folder: Path, redis_url: str
) -> Iterator[tuple[str, int, list[dict[str, object]], Callable[[], None]]]:
    """A worker and two gateways, as they start.

    Gives the web's address, SIP's port, what there is to scrape, and a wait until all are ready.
    """
    names = ("link", "worker", "gateway", "metrics", "sip", "sip-http", "sip-metrics")
    ports = {name: free_port() for name in names}
    server = f"http://{HOST}:{ports['gateway']}"
    routes = folder / "routes.yaml"
    routes.write_text(yaml.safe_dump({"default": {"persona": "bank"}}))
    trunks = folder / "trunks.yaml"
    trunks.write_text(yaml.safe_dump(TRUNKS))
    common = {"REDIS_URL": redis_url, "LINK_SECRET": LINK_SECRET}
    worker = {
        "WORKER_PORT": ports["link"], "WORKER_HTTP_PORT": ports["worker"], "WORKER_SLOTS": 5,
        "DRAIN_DEADLINE_S": 1,
    }  # fmt: skip
    gateway = {
        "GATEWAY_PORT": ports["gateway"], "METRICS_PORT": ports["metrics"], "GATEWAY_DRAIN_S": 1,
        "PUBLIC_BASE_URL": server, "ROUTES_FILE": routes, "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    }  # fmt: skip
    sip = {
        "SIP_UDP_PORT": ports["sip"], "SIP_TCP_PORT": -1, "SIP_HTTP_PORT": ports["sip-http"],
        "METRICS_PORT": ports["sip-metrics"], "TRUNKS_FILE": trunks, "GATEWAY_DRAIN_S": 1,
    }  # fmt: skip
    with ExitStack() as stack:
        first: Program = stack.enter_context(
            running(folder / "worker.log", "worker", **common, **worker)
        )
        second = stack.enter_context(
            running(folder / "gateway.log", "gateway", **common, **gateway)
        )
        third = stack.enter_context(running(folder / "sip.log", "sip", **common, **sip))

        def until_ready() -> None:
            first.until_ready(f"http://{HOST}:{ports['worker']}/readyz")
            second.until_ready(f"{server}/readyz")
            third.until_ready(f"http://{HOST}:{ports['sip-http']}/readyz")

        targets = [
            scrape("gateway", ports["metrics"]),
            scrape("worker", ports["worker"]) | {"pool": "main"},
            scrape("sip", ports["sip-metrics"]),
        ]
        yield server, ports["sip"], targets, until_ready


def scrape(component: str, port: int) -> dict[str, object]:
    """A target, with the labels that the chart's ServiceMonitors give."""
    return {"target": f"{HOST}:{port}", "component": component, "namespace": "voice"}


@contextmanager
def prometheus(folder: Path, targets: list[dict[str, object]]) -> Iterator[httpx.Client]:
    """A Prometheus with the chart's rules; its API."""
    jobs = [
        {
            "job_name": str(one["component"]),
            "static_configs": [
                {
                    "targets": [one["target"]],
                    "labels": {k: v for k, v in one.items() if k != "target"},
                }
            ],
        }
        for one in targets
    ]
    config = {
        "global": {"scrape_interval": f"{1_000 * SCRAPE_S:.0f}ms", "evaluation_interval": "1s"},
        "rule_files": [str(CHART / "files" / "rules.yaml")],
        "scrape_configs": jobs,
    }
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(config))
    address = f"{HOST}:{free_port()}"
    command = [
        program(tools.PROMETHEUS),
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://{address}/api/v1", trust_env=False) as api:
            yield api
    finally:
        server.terminate()
        server.wait(10)


async def web_call(server: str, after_s: float) -> None:
    """Over a media socket: interrupts with a question, and the answer with another one."""
    await asyncio.sleep(after_s)
    question = load_step(StepSpec(say=QUESTION, when="agent_speaking", seconds=0.6), Path())
    plan = CallPlan(
        server=server, public_url=server, number=NUMBER, auth_token=AUTH_TOKEN,
        steps=[question, question], hang_up_after_s=WEB_CALL_S, max_s=WEB_CALL_S,
    )  # fmt: skip
    await place_call(plan)


async def sip_calls(port: int, calls: int) -> None:
    """One after the other, over UDP: silence in, the greeting out."""
    for _ in range(calls):
        caller = Caller(port)
        with closing(caller):
            await caller.call()
            for sequence in range(SIP_CALL_PACKETS):
                caller.send_rtp(b"\xff" * 160, sequence)
                await caller.hear(1)
            assert (await caller.ask("BYE")).startswith("SIP/2.0 200")
        await asyncio.sleep(2 * SCRAPE_S)


async def put_in_scrapes(api: httpx.Client, name: str) -> None:
    """Waits until Prometheus has seen a metric."""
    async with asyncio.timeout(20):
        while True:
            try:
                if ask(api, name):
                    return
            except httpx.TransportError:  # it does not listen yet
                pass
            await asyncio.sleep(0.5)


def ask(api: httpx.Client, expression: str) -> list[dict[str, object]]:
    """An instant query, with Grafana's variables as it would fill them in."""
    query = expression.replace("$namespace", ".*").replace("$__rate_interval", "1m")
    answer = api.get("/query", params={"query": query}).json()
    assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
    result: list[dict[str, object]] = answer["data"]["result"]
    return result


def queries() -> Iterator[tuple[str, str]]:
    """Every query of every panel, with its place."""
    for path in sorted((CHART / "files" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{panel['title']}: {target['legendFormat']}", target["expr"]


@pytest.mark.timeout(150)
@pytest.mark.computes_on_loop("it waits for processes to start; the calls come after that")
async def test_no_panel_is_empty_under_calls(tmp_path: Path, redis_url: str) -> None:
    """And no alert of a broken system fires on a healthy one."""
    program(tools.PROMETHEUS)
    with (
        system(tmp_path, redis_url) as (server, sip_port, targets, until_ready),
        prometheus(tmp_path, targets) as api,  # it takes 5 s to its first scrape
    ):
        until_ready()
        await put_in_scrapes(api, "worker_ready == 1")  # series must begin before the calls
        await put_in_scrapes(api, "count(event_loop_lag_seconds_count) == 3")
        # Counters with labels appear with their first event; a rate needs another one later.
        later_s = 4 * SCRAPE_S
        await asyncio.gather(
            web_call(server, 0.0), web_call(server, later_s), sip_calls(sip_port, 2)
        )
        await asyncio.sleep(2 * SCRAPE_S)
        empty = set()
        for place, expression in queries():
            if not [row for row in ask(api, expression) if row["value"][1] != "NaN"]:
                empty.add(place)
        firing = {row["metric"]["alertname"] for row in ask(api, 'ALERTS{alertstate="firing"}')}
    assert empty == NEEDS_MORE.keys()
    assert firing == set()
