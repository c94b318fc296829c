"""The demo as a newcomer starts it, and headless Chromium in front of its console."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from personas.library import SHIPPED
from tests.e2e.conftest import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SPEECH = SHIPPED / "voices" / "joe.wav"
START_S = 60.0
STOP_S = 40.0

playwright_api = pytest.importorskip("playwright.async_api", reason="needs the package playwright")

if CHROMIUM is None:
    pytest.skip("Chromium is not installed: apt-get install chromium", allow_module_level=True)

OpenConsole = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Demo:
    """A running demo.

    Attributes:
        gateway, admin: addresses.
        database_url: of the admin app.
        secret: of the first admin.
        auth_token: that test calls are signed with.
    """

    gateway: str
    admin: str
    database_url: str
    secret: str
    auth_token: str

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Asks the API as the first admin; whatever is refused fails the test.

        Changes go through whatever the object was before.
        """
        headers = {"Authorization": f"Bearer {self.secret}", "If-Match": "*"}
        answer = httpx.request(
            method, self.admin + path, json=body, headers=headers, trust_env=False, **more
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def call(self, number: str, *options: str) -> Mapping[str, Any]:
        """Calls a number from the command line; what the command printed."""
        command = [sys.executable, "-m", "callcenter", "call", "--number", number]
        command += ["--server", self.gateway, "--token", self.auth_token, *options]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        printed, _ = await process.communicate()
        result: Mapping[str, Any] = json.loads(printed.decode().splitlines()[-1])
        return result


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`python -m callcenter demo`, until the end of the test run."""
    folder = tmp_path_factory.mktemp("demo")
    port, admin_port = free_port(), free_port()
    command = [sys.executable, "-m", "callcenter", "demo", "--port", str(port)]
    command += ["--admin-port", str(admin_port), "--data", str(folder / "data")]
    command += ["--engine", "rehearsal"]  # which renders no lines beside the tests
    with (folder / "printed").open("w+") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
        try:
            text = _until_welcome(process, folder / "printed")
            yield Demo(
                gateway=f"http://127.0.0.1:{port}",
                admin=f"http://127.0.0.1:{admin_port}",
                database_url=f"sqlite:///{folder}/data/callcenter.db",
                secret=_found(r"log in with: (\S+)", text),
                auth_token=_found(r"TWILIO_AUTH_TOKEN=(\S+)", text),
            )
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_S)


def _until_welcome(process: subprocess.Popen[bytes], printed: Path) -> str:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at:
        text = printed.read_text()
        if "--out heard.wav" in text:  # the welcome's last words
            return text
        assert process.poll() is None, text[-2_000:]
        time.sleep(0.1)
    raise AssertionError(f"the demo did not start: {printed.read_text()[-2_000:]}")


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, pattern
    return match.group(1)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    """One Chromium for all tests; its microphone hears a recorded voice."""
    async with playwright_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            headless=True,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={SPEECH}",
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
