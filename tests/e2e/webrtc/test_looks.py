"""Every state of the widget, light in a hand and dark on a desk: seen, and judged.

axe-core judges what a program can: contrast (WCAG 2.2 AA), names, roles, labels, targets.
"""

import asyncio
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.webrtc.widget import Widget

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
BROKEN_LINES = """[...document.querySelector('personaplex-call').shadowRoot
    .querySelectorAll('footer button')]
    .filter((button) => button.offsetHeight > 50).map((button) => button.textContent.trim())"""


@pytest.mark.timeout(90)
async def test_looks(start_gateway: Any, open_page: Any, album: Path) -> None:
    """Within the screen, accessible, and no word breaks its button."""
    gateway = await start_gateway()
    found = []
    for scheme, width in (("light", 360), ("dark", 1000)):
        view = {"width": width, "height": 800}
        page = await open_page(gateway, color_scheme=scheme, viewport=view)
        async for state in every_state(Widget(page)):
            name = f"{scheme}-{width}-{state}"
            await page.screenshot(path=album / f"{name}.png")
            found += [f"{name}: {fault}" for fault in await faults(page, width)]
        await page.close()
    assert found == []


async def every_state(widget: Widget) -> AsyncIterator[str]:
    """Brings the widget from one state into the next."""
    session = "**/api/session"
    await widget.state("idle")
    yield "1-idle"
    asked, answered = asyncio.Event(), asyncio.Event()

    async def hold(route: Any) -> None:
        asked.set()
        await answered.wait()
        await route.continue_()

    await widget.page.route(session, hold)
    await widget.press("call")
    await asked.wait()
    yield "2-connecting"
    answered.set()
    await widget.state("talking")
    await widget.until_text(".captions", "Hello")
    yield "3-talking"
    await widget.press("mute")
    await widget.press("keypad")
    yield "4-muted"
    await widget.press("hang_up")
    await widget.state("ended")
    yield "5-ended"
    await widget.page.unroute(session)
    await widget.page.route(session, lambda route: route.abort())
    await widget.press("again")
    await widget.state("failed")
    yield "6-failed"


async def faults(page: Any, width: int) -> list[str]:
    """What axe-core finds, what is too wide, and words that do not fit their button."""
    wide = await page.evaluate("document.documentElement.scrollWidth")
    found = [f"{wide} px wide"] if wide > width else []
    if not await page.evaluate("typeof window.axe === 'object'"):
        await page.evaluate(AXE)
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    report = await page.evaluate("(rules) => axe.run(document, rules)", rules)
    found += [
        f"{violation['id']}: {node['failureSummary']}"
        for violation in report["violations"]
        for node in violation["nodes"]
    ]
    return found + await page.evaluate(BROKEN_LINES)
