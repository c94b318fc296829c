"""What every test of the console does again and again."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect


async def go(page: Any, address: str) -> None:
    """Shows a view, by the console's own router."""
    await page.evaluate(
        "async (to) => { (await import('/admin/static/core/app.js')).go(to); }", address
    )
    await page.locator("main:not([aria-busy])").wait_for()
    await expect(page.get_by_role("main").get_by_role("heading", level=1)).to_be_visible()
