"""The pages for those who watch a gateway."""

import socket

import httpx
import pytest
from fastapi import FastAPI

from callcenter import metrics
from callcenter.errors import ConfigurationError
from callcenter.gateway.health import router
from callcenter.serving.pages import metrics_page


def test_the_page_shows_the_numbers_and_goes_away() -> None:
    """In Prometheus' text format, as long as the gateway runs."""
    metrics.REFUSALS.labels("health-test", "busy").inc(3)
    with metrics_page("127.0.0.1", 0) as port:
        page = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert 'callcenter_refusals_total{code="busy",transport="health-test"} 3.0' in page
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)


def test_a_taken_port_is_told_by_its_settings_name() -> None:
    """Two gateways on one host need two ports."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"METRICS_PORT={port}"):  # noqa: SIM117
            with metrics_page("127.0.0.1", port):
                pass


async def test_a_gateway_names_its_trouble_and_stays_ready() -> None:
    """Calls are answered from memory; without a worker, or while it drains, they are not."""
    app, trouble, draining, worker = FastAPI(), "", False, True
    app.include_router(router(lambda: draining, lambda: worker, trouble=lambda: trouble))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:

        async def ready() -> tuple[int, dict[str, str]]:
            answer = await http.get("/readyz")
            return answer.status_code, answer.json()

        assert await ready() == (200, {"status": "ready"})
        trouble = "orders has ended 3 times, last by KeyError"
        assert await ready() == (200, {"status": "ready", "trouble": trouble})
        worker = False
        assert (await ready())[0] == 503
        worker, draining = True, True
        assert await ready() == (503, {"status": "not ready", "why": "draining"})


@pytest.mark.parametrize(
    ("warnings", "unconfigured", "status", "body"),
    [
        ([], "", 200, {"status": "ready"}),
        (["look"], "", 200, {"status": "ready", "warnings": ["look"]}),
        (["look"], "none is signed", 503, {"status": "not ready", "why": "none is signed"}),
    ],
)
async def test_readiness_tells_what_is_wrong(
    warnings: list[str], unconfigured: str, status: int, body: dict[str, object]
) -> None:
    """A warning keeps calls coming; having nothing to answer them by does not."""
    app = FastAPI()
    app.include_router(router(lambda: False, lambda: True, lambda: warnings, lambda: unconfigured))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()) == (status, body)
