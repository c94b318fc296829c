"""The demo as a newcomer starts it, and headless Chromium in front of its console."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.admin.demo import Demo, started
from tests.recordings import write_turn

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 20_000  # Playwright's own 5 s are short for a machine that runs other tests too

playwright_api = pytest.importorskip("playwright.async_api", reason="needs the package playwright")

if CHROMIUM is None:
    pytest.skip("Chromium is not installed: apt-get install chromium", allow_module_level=True)

OpenConsole = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`python -m callcenter demo`, until the end of the test run."""
    with started(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """One Chromium for all tests; its microphone hears a voice that leaves room for an answer."""
    microphone = tmp_path_factory.mktemp("microphone") / "visitor.wav"
    write_turn(microphone, before_s=2.0, turn_s=2.5, after_s=6.0)
    playwright_api.expect.set_options(timeout=PATIENCE_MS)
    async with playwright_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            headless=True,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}",
                "--autoplay-policy=no-user-gesture-required",
            ],
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_console(demo: Demo, browser: Any) -> AsyncIterator[OpenConsole]:
    """Opens consoles, each in a browser context of its own. An error in a script fails the test."""
    errors: list[str] = []
    async with contextlib.AsyncExitStack() as stack:

        async def open_one(
            secret: str | None = None, path: str = "", lenient: bool = False, **context: Any
        ) -> Any:
            """Opens the console; logs in unless the secret is empty."""
            view = {"viewport": {"width": 1360, "height": 900}, **context}
            own = await browser.new_context(**view)
            stack.push_async_callback(own.close)
            page = await own.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            if not lenient:
                page.on("console", lambda message: _note(errors, message))
            await page.goto(f"{demo.admin}/admin{path}")
            if secret != "":
                await page.get_by_label("API key").fill(secret or demo.secret)
                await page.get_by_role("button", name="Log in").click()
                await page.locator(".menu").wait_for(state="attached")
            return page

        yield open_one
    assert errors == []


def _note(errors: list[str], message: Any) -> None:
    """A breach of the content security policy is an error; a refused request is not."""
    if message.type == "error" and "Failed to load resource" not in message.text:
        errors.append(message.text)


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go; E2E_SCREENSHOTS names a folder to keep them in."""
    folder = os.environ.get("E2E_SCREENSHOTS")
    path = Path(folder) / "console" if folder else tmp_path_factory.mktemp("screenshots")
    path.mkdir(parents=True, exist_ok=True)
    return path
