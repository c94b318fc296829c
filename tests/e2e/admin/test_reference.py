"""The API's reference in a browser: everything it shows comes from the admin app."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.timeout(60), pytest.mark.asyncio(loop_scope="session")]


async def test_the_reference(open_console: Any, demo: Any, album: Path) -> None:
    """Operations, fields and examples are there, and no other site was asked for anything."""
    page = await open_console(secret="", lenient=True)
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    await page.goto(f"{demo.admin}/docs")
    await expect(page.get_by_role("heading", name="Contact center admin API")).to_be_visible()
    await expect(page.get_by_role("heading", name="Export Calls")).to_be_attached()
    await expect(
        page.get_by_text("How often the caller interrupted the agent.").first
    ).to_be_attached()
    assert [url for url in asked if not url.startswith((demo.admin, "data:"))] == []
    await page.screenshot(path=album / "reference.png")
