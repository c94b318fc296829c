"""The widget of a page as its visitor sees and uses it, and pages that it can stand on."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from tests.e2e.webrtc.echo import serving

LEVEL = """(element, side) => parseFloat(element.shadowRoot
    .querySelector(`[data-side=${side}] i`).style.getPropertyValue("--level") || "0")"""


class Widget:
    """The widget of a page, as its visitor sees it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.element = page.locator("personaplex-call")

    async def state(self, wanted: str, timeout_s: float = 20.0) -> None:
        """Waits for a state."""
        found = self.page.locator(f'personaplex-call[state="{wanted}"]')
        await found.wait_for(timeout=1_000 * timeout_s)

    async def press(self, wish: str) -> None:
        """Clicks a button."""
        await self.element.locator(f'[data-do="{wish}"]:visible').click()

    async def text(self, selector: str) -> str:
        """What stands somewhere."""
        text: str = await self.element.locator(selector).inner_text()
        return text

    async def until(self, script: str, *arguments: object) -> None:
        """Waits until a script about the element is true."""
        await self.page.wait_for_function(
            f"(given) => ({script})(document.querySelector('personaplex-call'), ...given)",
            arg=list(arguments),
            timeout=20_000,
        )

    async def until_level(self, side: str, above: float) -> None:
        """Waits until a meter shows sound."""
        await self.until(f"(element, side, above) => ({LEVEL})(element, side) > above", side, above)

    async def until_text(self, selector: str, text: str) -> None:
        """Waits until something is said somewhere."""
        await self.element.locator(selector, has_text=text).wait_for(timeout=20_000)

    async def focused(self) -> str | None:
        """What has the keyboard."""
        wish: str | None = await self.element.evaluate(
            "({ shadowRoot: { activeElement: it } }) => it && (it.dataset.do ?? it.className)"
        )
        return wish


@contextlib.asynccontextmanager
async def foreign_page(tags: list[str], policy: list[str]) -> AsyncIterator[str]:
    """Another site, with the tags and the security policy that stand there when it is opened."""
    app = FastAPI()

    @app.get("/")
    async def page() -> HTMLResponse:
        head = '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Shop</title>'
        body = f"{head}<h1>Shop</h1><p>Before</p>{''.join(tags)}<p>Behind</p>"
        return HTMLResponse(body, headers={"Content-Security-Policy": "; ".join(policy)})

    async with serving(app) as url:
        yield url
