"""Every page in both themes, on a desk and in a hand: seen, within the screen, accessible.

axe-core judges what a program can: contrast (WCAG 2.2 AA), names, roles, labels, headings, targets.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.e2e.admin import history
from tests.e2e.admin.steps import go

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
JUDGED = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = {
    "overview": "/",
    "calls": "/calls",
    "call": f"/calls/{history.TALKED}",
    "personas": "/personas",
    "persona": "/personas/bank",
    "voices": "/voices",
    "voice": "/voices/clara",
    "numbers": "/numbers",
    "routes": "/routes",
    "route": "/routes/new",
    "schedules": "/schedules",
    "schedule": "/schedules/new",
    "trunks": "/trunks",
    "limits": "/limits",
    "workers": "/workers",
    "keys": "/keys",
    "webhooks": "/webhooks",
    "audit": "/audit",
}
# What a button of a page opens.
DIALOGS = {
    "new-number": ("/numbers", "Add a number"),
    "new-trunk": ("/trunks", "Add a trunk"),
    "new-limit": ("/limits", "Add a limit"),
    "new-webhook": ("/webhooks", "Add a webhook"),
    "new-voice": ("/voices", "Upload a voice"),
    "new-persona": ("/personas", "New persona"),
    "as-a-call-has-it": ("/personas/bank", "See it as a call has it"),
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def busy_day(demo: Any) -> None:
    """Calls to show."""
    await history.write(demo.database_url)


@pytest.mark.usefixtures("busy_day")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
async def test_every_page(open_console: Any, album: Path, theme: str, width: int) -> None:
    """Nothing is wider than the screen, and axe finds nothing."""
    page = await open_console(color_scheme=theme, viewport={"width": width, "height": 860})
    found = []
    for name, address in PAGES.items():
        await go(page, address)
        await page.screenshot(path=album / f"{theme}-{width}-{name}.png", full_page=True)
        found += await faults(page, name, width)
    for name, (address, label) in DIALOGS.items():
        await go(page, address)
        await page.get_by_role("button", name=label).click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.screenshot(path=album / f"{theme}-{width}-{name}.png")
        found += await faults(page, name, width)
        await page.keyboard.press("Escape")
    assert found == []


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_door(open_console: Any, album: Path, theme: str) -> None:
    """The log-in, too."""
    page = await open_console(secret="", color_scheme=theme)
    await expect(page.get_by_label("API key")).to_be_visible()
    await page.screenshot(path=album / f"{theme}-log-in.png")
    assert await faults(page, "log-in", 1360) == []


async def faults(page: Any, name: str, width: int) -> list[str]:
    """What is wrong with what is shown."""
    wide = await page.evaluate("document.documentElement.scrollWidth")
    found = [f"{name}: {wide} px wide"] if wide > width else []
    if not await page.evaluate("typeof window.axe === 'object'"):
        await page.evaluate(AXE)
    rules = {"runOnly": JUDGED, "resultTypes": ["violations"]}
    report = await page.evaluate("(rules) => axe.run(document, rules)", rules)
    for violation in report["violations"]:
        nodes = [
            f"{node['html'][:140]} {node['failureSummary']}" for node in violation["nodes"][:3]
        ]
        found.append(f"{name}: {violation['id']}: {'; '.join(nodes)}")
    return found
