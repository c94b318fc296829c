"""Every panel's queries on a real Prometheus that scrapes the running system under calls.

Grafana itself is not run: what it would draw is what these queries return. A panel that returns
nothing is a failure here.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from callcenter.evaluation.call import place_call
from callcenter.evaluation.plan import CallPlan
from callcenter.evaluation.script import StepSpec, load_step
from tests.deploy import tools
from tests.deploy.conftest import CHART, program
from tests.e2e.programs import AUTH_TOKEN, HOST, LINK_SECRET, Program, free_port, running

QUESTION = tools.ROOT / "tests" / "fixtures" / "question_8khz.wav"
NUMBER = "+15550100"
# Of events that a healthy system does not have, there is no series; nor of SIP without SIP calls.
MAY_BE_EMPTY = {
    "Overlapping starts and backchannels: backchannel by {{by}}",
    "Frames dropped: {{dir}} {{reason}}",
}


@contextmanager
def system(folder: Path, redis_url: str) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """One worker and one gateway; the gateway's address, and what there is to scrape."""
    ports = {name: free_port() for name in ("link", "worker", "gateway", "metrics")}
    server = f"http://{HOST}:{ports['gateway']}"
    routes = folder / "routes.yaml"
    routes.write_text(yaml.safe_dump({"default": {"persona": "bank"}}))
    common = {"REDIS_URL": redis_url, "LINK_SECRET": LINK_SECRET}
    worker = {
        "WORKER_PORT": ports["link"], "WORKER_HTTP_PORT": ports["worker"], "WORKER_SLOTS": 3,
        "DRAIN_DEADLINE_S": 1,
    }  # fmt: skip
    gateway = {
        "GATEWAY_PORT": ports["gateway"], "METRICS_PORT": ports["metrics"], "GATEWAY_DRAIN_S": 1,
        "PUBLIC_BASE_URL": server, "ROUTES_FILE": routes, "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    }  # fmt: skip
    with ExitStack() as stack:
        first: Program = stack.enter_context(
            running(folder / "worker.log", "worker", **common, **worker)
        )
        first.until_ready(f"http://{HOST}:{ports['worker']}/readyz")
        second = stack.enter_context(
            running(folder / "gateway.log", "gateway", **common, **gateway)
        )
        second.until_ready(f"{server}/readyz")
        yield (
            server,
            [
                scrape("gateway", ports["metrics"]),
                scrape("worker", ports["worker"]) | {"pool": "main"},
            ],
        )


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
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
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


async def some_calls(server: str) -> None:
    """Three callers at once, one of them after the other: they interrupt, and ask."""
    question = [
        load_step(StepSpec(say=QUESTION, when="agent_speaking", seconds=2.5), Path()),
        load_step(StepSpec(say=QUESTION), Path()),
    ]
    plan = CallPlan(
        server=server, public_url=server, number=NUMBER, auth_token=AUTH_TOKEN,
        steps=question, hang_up_after_s=1.0, max_s=25.0,
    )  # fmt: skip
    await asyncio.gather(*(place_call(plan) for _ in range(3)))


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


@pytest.mark.timeout(150)
async def test_no_panel_is_empty_under_calls(tmp_path: Path, redis_url: str) -> None:
    """And no alert of a broken system fires on a healthy one."""
    program(tools.PROMETHEUS)
    with system(tmp_path, redis_url) as (server, targets), prometheus(tmp_path, targets) as api:
        await put_in_scrapes(api, "worker_ready == 1")  # series must begin before the calls
        await put_in_scrapes(api, "event_loop_lag_seconds_count")
        # Counters with labels appear with their first event; a rate needs two scrapes of them.
        await some_calls(server)
        await asyncio.sleep(2.5)
        await some_calls(server)
        await asyncio.sleep(2.5)
        empty = []
        for path in sorted((CHART / "files" / "dashboards").glob("*.json")):
            for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
                for target in panel["targets"]:
                    rows = ask(api, target["expr"])
                    numbers = [row for row in rows if row["value"][1] != "NaN"]
                    place = f"{panel['title']}: {target['legendFormat']}"
                    if not numbers and place not in MAY_BE_EMPTY and path.stem != "sip":
                        empty.append(f"{path.stem}: {place}")
        firing = {row["metric"]["alertname"] for row in ask(api, 'ALERTS{alertstate="firing"}')}
    assert empty == []
    assert firing == set()
