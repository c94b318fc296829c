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
OF_COLOURS = ["color-contrast", "link-in-text-block"]
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
    "sessions": "/sessions?everyone=true",
    "confirmed": "/confirmed",
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
    "preview-prompt": ("/personas/bank", "Preview prompt"),
    "press-keys": (f"/calls/{history.LIVE}", "Press keys"),
    "transfer": (f"/calls/{history.LIVE}", "Transfer"),
    "erase-call": (f"/calls/{history.TALKED}", "Erase"),
    "erase-caller": ("/calls", "Erase a caller’s calls"),
    "end-sessions": ("/sessions", "End all others"),
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def busy_day(demo: Any) -> None:
    """Calls to show."""
    await history.write(demo.database_url)


@pytest.mark.usefixtures("busy_day")
@pytest.mark.parametrize("width", [1280, 400])
async def test_every_page(open_console: Any, album: Path, width: int) -> None:
    """Nothing is wider than the screen, and axe finds nothing, in either theme."""
    page = await open_console(viewport={"width": width, "height": 860}, reduced_motion="reduce")
    found = []
    for name, address in PAGES.items():
        await go(page, address)
        found += await look(page, album, f"{width}-{name}", full_page=True)
    for name, (address, label) in DIALOGS.items():
        await go(page, address)
        await page.get_by_role("button", name=label).click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        found += await look(page, album, f"{width}-{name}", full_page=False)
        await page.keyboard.press("Escape")
    assert found == []


async def test_the_door(open_console: Any, album: Path) -> None:
    """The log-in, too."""
    page = await open_console(secret="")
    await expect(page.get_by_label("API key")).to_be_visible()
    assert await look(page, album, "log-in", full_page=True) == []


async def look(page: Any, album: Path, name: str, *, full_page: bool) -> list[str]:
    """What is wrong with what is shown; a theme changes nothing but colours."""
    wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    found = [f"{name}: {wide} px too wide"] if wide > 0 else []
    for theme, judged in (("light", JUDGED), ("dark", OF_COLOURS)):
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        await page.screenshot(path=album / f"{theme}-{name}.png", full_page=full_page)
        found += await faults(page, f"{theme} {name}", judged)
    return found


async def faults(page: Any, name: str, judged: list[str]) -> list[str]:
    """What axe finds."""
    if not await page.evaluate("typeof window.axe === 'object'"):
        await page.evaluate(AXE)
    rules = {"runOnly": judged, "resultTypes": ["violations"]}
    report = await page.evaluate("(rules) => axe.run(document, rules)", rules)
    return [
        f"{name}: {violation['id']}: {node['html'][:140]} {node['failureSummary']}"
        for violation in report["violations"]
        for node in violation["nodes"][:3]
    ]
