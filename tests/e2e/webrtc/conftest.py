"""Headless Chromium with a file as microphone, and a gateway to call."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from callcenter.gateway.program import server
from callcenter.settings import GatewaySettings
from tests.recordings import VOICE, write_turn
from tests.servers import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
GREETING_S = 9.0  # the visitor is silent for so long
TURN_S = 2.5
ANSWER_S = 30.0
ROUTES = "routes: [{number: '+15550100', persona: bank}, {number: '+15550101', persona: hotel}]\n"

OpenPage = Callable[..., Awaitable[Any]]
StartGateway = Callable[..., Awaitable[str]]


@pytest.fixture(scope="session")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the microphone hears: the greeting is listened to, then the visitor speaks once."""
    path = tmp_path_factory.mktemp("microphone") / "visitor.wav"
    write_turn(path, GREETING_S, TURN_S, ANSWER_S)
    return path


@pytest.fixture
async def open_page() -> AsyncIterator[OpenPage]:
    """Opens pages; each in a browser of its own. Errors in a page's scripts fail the test."""
    playwright_api = pytest.importorskip("playwright.async_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    errors: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(playwright_api.async_playwright())

        async def open_one(
            url: str,
            microphone: Path = VOICE,
            allowed: bool = True,
            plugged_in: bool = True,
            **context: object,
        ) -> Any:
            arguments = [
                "--no-sandbox",
                f"--use-file-for-fake-audio-capture={microphone}",
                "--autoplay-policy=no-user-gesture-required",
            ]
            if plugged_in:
                arguments.append("--use-fake-device-for-media-stream")
            if allowed:
                arguments.append("--use-fake-ui-for-media-stream")
            else:
                arguments.append("--deny-permission-prompts")
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM, headless=True, args=arguments
            )
            stack.push_async_callback(browser.close)
            view = {"viewport": {"width": 1000, "height": 860}, **context}
            page = await (await browser.new_context(**view)).new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.goto(url)
            return page

        yield open_one
    assert errors == []


@pytest.fixture
async def start_gateway(hall: Any, tmp_path: Path) -> AsyncIterator[StartGateway]:
    """Starts gateways in front of the hall; keyword arguments are their settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**settings: object) -> str:
            routes = tmp_path / "routes.yaml"
            routes.write_text(ROUTES)
            port = free_port()
            wanted: dict[str, object] = {
                "redis_url": hall.redis_url,
                "link_secret": hall.link_secret,
                "gateway_pools": hall.pool,
                "gateway_port": port,
                "public_base_url": f"http://127.0.0.1:{port}",
                "routes_file": routes,
                "twilio_auth_token": "auth-token-of-the-tests-0123456789",
                "webrtc_secret": "secret-of-the-tests-0123456789abcdef",
                "webrtc_personas": "*",
                **settings,
            }
            gateway = server(GatewaySettings.load(**wanted))
            serving = asyncio.create_task(gateway.serve())
            stack.push_async_callback(_stop, gateway, serving)
            while not gateway.started:
                assert not serving.done(), "the gateway did not start"
                await asyncio.sleep(0.01)
            return f"http://127.0.0.1:{port}"

        yield start


async def _stop(gateway: Any, serving: asyncio.Task[None]) -> None:
    gateway.should_exit = True
    await serving


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where screenshots go; E2E_SCREENSHOTS names a folder to keep them in."""
    folder = os.environ.get("E2E_SCREENSHOTS")
    path = Path(folder) if folder else tmp_path_factory.mktemp("screenshots")
    path.mkdir(parents=True, exist_ok=True)
    return path
