"""People in the console: they come over a real OpenID provider, and see and end their sessions."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import expect
from sqlalchemy import create_engine, text

from callcenter.admin.store import calls, tables
from tests import oidc
from tests.e2e.admin.conftest import CHROMIUM
from tests.e2e.admin.steps import go
from tests.e2e.admin.test_looks import look
from tests.oidc import Provider
from tests.servers import free_port, valkey

pytestmark = [pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="session")]

START_S = 40.0


@dataclass
class Console:
    """An admin app whose people log in at a provider.

    Attributes:
        database: its file.
        secret: of the first admin's key, out of the file that it was written to.
    """

    url: str
    provider: Provider
    database: Path
    secret: str

    def age_log_ins(self) -> None:
        """All log-ins were an hour ago."""
        engine = create_engine(f"sqlite:///{self.database}")
        with engine.begin() as db:
            db.execute(text("UPDATE sessions SET authenticated_at = authenticated_at - 3600000"))
        engine.dispose()

    def put_calls_down(self, *names: str) -> None:
        """Calls that have ended, all of one caller."""
        engine = create_engine(f"sqlite:///{self.database}")
        row = {**calls._NOTHING, "state": "ended", "caller": "+493012345"}
        with engine.begin() as db:
            for name in names:
                moments = {"started_at": datetime.now(UTC), "ended_at": datetime.now(UTC)}
                db.execute(tables.calls.insert().values(id=name, **row, **moments))
        engine.dispose()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A provider, and `python -m callcenter admin` that sends people there."""
    folder, port = tmp_path_factory.mktemp("people"), free_port()
    url = f"http://127.0.0.1:{port}"
    with oidc.provider(url) as provider, valkey() as redis:
        said = {name.upper(): str(value) for name, value in provider.settings().items()}
        environment = {
            **os.environ,
            **said,
            "REDIS_URL": str(redis.connection_url),
            "LINK_SECRET": "l" * 40,
            "ADMIN_SECRET": "a" * 40,
            "ADMIN_PORT": str(port),
            "METRICS_PORT": "0",
            "ADMIN_SECURE_COOKIES": "false",
            "OIDC_TITLE": "Example Inc.",
            "DATABASE_URL": f"sqlite:///{folder}/admin.db",
            "FIRST_ADMIN_KEY_FILE": str(folder / "key"),
        }
        command = [sys.executable, "-m", "callcenter", "admin"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_ready(process, url, folder / "log")
            key = folder / "key"
            assert key.stat().st_mode & 0o777 == 0o600
            assert key.read_text().strip() not in (folder / "log").read_text()
            yield Console(url, provider, folder / "admin.db", key.read_text().strip())
        finally:
            process.terminate()
            process.wait(20)


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at:
        assert process.poll() is None, log.read_text()[-2_000:]
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).is_success:
                return
        except httpx.TransportError:  # it does not listen yet
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2_000:])


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Any, console: Console) -> Any:
    """A browser that nobody has used; the provider's pages ask for fonts of other sites."""
    assert CHROMIUM is not None
    context = await browser.new_context(viewport={"width": 1280, "height": 860})
    await context.route(
        lambda address: not address.startswith("http://127.0.0.1"), lambda route: route.abort()
    )
    yield await context.new_page()
    await context.close()


async def log_in(page: Any, person: str) -> None:
    """At the provider: name, password, consent."""
    await page.locator('input[name="login"]').fill(person)
    await page.locator('input[name="password"]').fill("x")
    await page.locator('button[type="submit"]').click()
    await page.get_by_role("button", name="Continue").click()


async def test_a_person_logs_in(page: Any, console: Console, album: Path) -> None:
    """The door offers the provider and keys; the way leads back to the page that was wanted."""
    await page.goto(f"{console.url}/admin/sessions")
    link = page.get_by_role("link", name="Log in with Example Inc.")
    await expect(link).to_be_visible()
    assert await look(page, album, "door-single-sign-on", full_page=True) == []
    await link.click()
    await log_in(page, "ann")
    main = page.get_by_role("main")
    await expect(main.get_by_role("heading", level=1)).to_have_text("Sessions")
    await expect(main.get_by_role("row").nth(1)).to_contain_text("ann@example.com")
    await expect(main.get_by_role("row").nth(1)).to_contain_text("this one")
    await expect(main.get_by_role("row").nth(1)).to_contain_text("Chrome, Linux")
    assert await look(page, album, "sessions-of-a-person", full_page=True) == []


async def test_an_admin_ends_another_s_session(page: Any, console: Console) -> None:
    """Everybody's sessions are listed; the one that is ended has to log in again."""
    async with httpx.AsyncClient(base_url=console.url, trust_env=False) as key_holder:
        await page.goto(f"{console.url}/admin")
        await page.get_by_role("link", name="Log in with").click()
        await log_in(page, "ann")
        await page.locator(".menu").wait_for(state="attached")
        answer = await page.evaluate(
            """async () => {
                const { post } = await import('/admin/static/core/api.js');
                return await post('/v1/api_keys', {name: 'wallboard', role: 'viewer'});
            }"""
        )
        log_in_by_key = await key_holder.post("/v1/session", json={"secret": answer["secret"]})
        assert log_in_by_key.status_code == 201
        await go(page, "/sessions")
        row = page.get_by_role("row").filter(has_text="wallboard")
        await expect(row).to_have_count(0)
        await page.get_by_label("Everybody’s sessions").check()
        await row.get_by_role("button", name="End").click()
        await page.get_by_role("dialog").get_by_role("button", name="End").click()
        await expect(row).to_have_count(0)
        assert (await key_holder.get("/v1/session")).status_code == 401


async def test_an_old_log_in_is_renewed_in_a_new_tab(page: Any, console: Console) -> None:
    """A key is not made by whoever found an open screen; what was typed stays."""
    await page.goto(f"{console.url}/admin/keys")
    await page.get_by_role("link", name="Log in with").click()
    await log_in(page, "ann")
    await page.locator(".menu").wait_for(state="attached")
    console.age_log_ins()
    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Who or what uses it").fill("Bob")
    await page.get_by_role("button", name="Create").click()
    again = page.get_by_role("dialog", name="Log in again")
    async with page.context.expect_page() as opened:
        await again.get_by_role("link", name="Log in again in a new tab").click()
    tab = await opened.value
    await tab.locator('input[name="login"]').fill("ann")
    await tab.locator('input[name="password"]').fill("x")
    await tab.locator('button[type="submit"]').click()
    await expect(tab.get_by_role("main")).to_contain_text("You are logged in again")
    await again.get_by_role("button", name="Go on").click()
    await expect(page.get_by_role("dialog", name="Copy your API key")).to_be_visible()


async def test_an_old_log_in_by_key(page: Any, console: Console) -> None:
    """The key is asked for once more; a wrong one is told so, and the right one goes on."""
    secret = await _admin_key(page, console)
    await page.context.clear_cookies()
    await page.goto(f"{console.url}/admin/trunks")
    await page.get_by_label("API key").fill(secret)
    await page.get_by_role("button", name="Log in").click()
    await page.locator(".menu").wait_for(state="attached")
    console.age_log_ins()
    await page.get_by_role("button", name="Add a trunk").click()
    dialog = page.get_by_role("dialog").first
    await dialog.get_by_label("Title").fill("Spare")
    await dialog.get_by_label("Networks that may send calls").fill("192.0.2.7/32")
    await dialog.get_by_role("button", name="Create").click()
    again = page.get_by_role("dialog", name="Log in again")
    await again.get_by_label("API key").fill("pcc_wrong")
    await again.get_by_role("button", name="Go on").click()
    await expect(again).to_contain_text("unknown, expired or revoked")
    await again.get_by_label("API key").fill(secret)
    await again.get_by_role("button", name="Go on").click()
    await expect(page.get_by_role("main")).to_contain_text("Spare")


async def test_calls_are_erased(page: Any, console: Console) -> None:
    """One on its page, a caller's from the list; each after a question."""
    console.put_calls_down("one", "two", "three")
    await page.goto(f"{console.url}/admin/calls/one")
    await page.get_by_role("link", name="Log in with").click()
    await log_in(page, "ann")
    await page.get_by_role("button", name="Erase").click()
    await page.get_by_role("dialog").get_by_role("button", name="Erase").click()
    rows = page.get_by_role("main").get_by_role("row").filter(has_text="+493012345")
    await expect(rows).to_have_count(2)
    await page.get_by_role("button", name="Erase a caller’s calls").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Caller’s number").fill("+49 (30) 123-45")
    await dialog.get_by_role("button", name="Erase").click()
    await expect(page.get_by_role("status")).to_contain_text("2 calls erased.")
    await expect(rows).to_have_count(0)


async def _admin_key(page: Any, console: Console) -> str:
    """Made by a person in the console."""
    await page.goto(f"{console.url}/admin")
    await page.get_by_role("link", name="Log in with").click()
    await log_in(page, "ann")
    await page.locator(".menu").wait_for(state="attached")
    made: dict[str, str] = await page.evaluate(
        """async () => {
            const { post } = await import('/admin/static/core/api.js');
            return await post('/v1/api_keys', {name: 'by Ann', role: 'admin'});
        }"""
    )
    return made["secret"]


async def test_nobody_without_a_role(page: Any, console: Console, album: Path) -> None:
    """The door says why; and a person who logs out is logged out at the provider, too."""
    await page.goto(f"{console.url}/admin")
    await page.get_by_role("link", name="Log in with").click()
    await log_in(page, "nick")
    await expect(page.get_by_role("alert")).to_contain_text("no role for this console")
    assert await look(page, album, "door-no-role", full_page=True) == []


async def test_logging_out_at_the_provider_too(page: Any, console: Console) -> None:
    """Whoever comes next at this browser has to prove who they are."""
    await page.goto(f"{console.url}/admin")
    await page.get_by_role("link", name="Log in with").click()
    await log_in(page, "vera")
    await page.get_by_role("button", name="Log out").click()
    await page.get_by_role("button", name="Yes, sign me out").click()
    await page.get_by_role("link", name="Log in with").click()
    await expect(page.locator('input[name="login"]')).to_be_visible()
