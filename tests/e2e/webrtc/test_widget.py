"""Visitors talk to the contact center through the widget, in a real browser."""

import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from tests.e2e.webrtc.echo import serving

pytestmark = pytest.mark.timeout(60)

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

    async def focused(self) -> str | None:
        """Which button has the keyboard."""
        wish: str | None = await self.element.evaluate(
            "(element) => element.shadowRoot.activeElement?.dataset.do ?? null"
        )
        return wish


@contextlib.asynccontextmanager
async def foreign_page(tags: list[str]) -> AsyncIterator[str]:
    """Another site, with the tags that stand in the list when it is opened."""
    app = FastAPI()

    @app.get("/")
    async def page() -> HTMLResponse:
        head = '<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Shop</title>'
        return HTMLResponse(f"{head}<h1>Shop</h1><p>Before</p>{''.join(tags)}<p>Behind</p>")

    async with serving(app) as url:
        yield url


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_conversation(
    start_gateway: Any, open_page: Any, hall: Any, visitor: Path, album: Path, scheme: str
) -> None:
    """Audible and captioned: greeting, the visitor's turn, an answer; then the visitor leaves."""
    page = await open_page(await start_gateway(), visitor, color_scheme=scheme)
    widget = Widget(page)
    await widget.state("idle")
    assert "rehearsal" in await page.locator("#engine").inner_text()
    await page.screenshot(path=album / f"{scheme}-1-idle.png")
    await widget.press("call")
    await widget.state("connecting")
    await page.screenshot(path=album / f"{scheme}-2-connecting.png")
    await widget.state("talking")
    await widget.until_level("agent", 0.3)
    await widget.until_level("you", 0.3)
    await widget.until(
        "(element) => element.shadowRoot.querySelectorAll('.captions p').length >= 2"
    )
    await widget.until_level("agent", 0.3)
    await page.screenshot(path=album / f"{scheme}-3-talking.png")
    assert "Hello" in await widget.text(".captions")
    await widget.press("hang_up")
    await widget.state("ended")
    assert "hung up" in await widget.text(".reason")
    await page.screenshot(path=album / f"{scheme}-4-ended.png")
    await hall.until_free()
    await widget.press("close")
    await widget.state("idle")


async def test_mute(start_gateway: Any, open_page: Any, album: Path) -> None:
    """Nothing of the visitor is sent or shown, and the button says so."""
    page = await open_page(await start_gateway())
    widget = Widget(page)
    await widget.press("call")
    await widget.until_level("you", 0.3)
    await widget.press("mute")
    await widget.until(f"(element) => ({LEVEL})(element, 'you') === 0")
    mute = widget.element.locator('[data-do="mute"]')
    assert await mute.get_attribute("aria-pressed") == "true"
    assert await mute.inner_text() == "Unmute"
    assert await widget.text(".status") == "Your microphone is off"
    await page.screenshot(path=album / "light-5-muted.png")
    await widget.press("mute")
    await widget.until_level("you", 0.3)


async def test_keyboard_and_screen_reader(start_gateway: Any, open_page: Any) -> None:
    """The whole call without a mouse; the focus is never lost, and each state is announced."""
    page = await open_page(await start_gateway())
    widget = Widget(page)
    status = widget.element.locator("[role=status]")
    await widget.element.locator('[data-do="call"]').focus()
    await page.keyboard.press("Enter")
    await widget.state("talking")
    assert await widget.focused() == "hang_up"
    assert await status.inner_text() == "On the line"
    await page.keyboard.press("Shift+Tab")
    assert await widget.focused() == "mute"
    await page.keyboard.press("Space")
    assert await page.get_by_role("button", name="Unmute", pressed=True).count() == 1
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await widget.state("ended")
    assert await widget.focused() == "again"
    assert "hung up" in await page.get_by_role("alert").inner_text()
    assert await page.get_by_role("region", name="Retail bank").count() == 1
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await widget.state("idle")
    assert await widget.focused() == "call"


async def test_one_tag_on_another_page(start_gateway: Any, open_page: Any, album: Path) -> None:
    """The button stands where the tag stands, with the page's words, and it works."""
    tags: list[str] = []
    async with foreign_page(tags) as site:
        gateway = await start_gateway(webrtc_origins=site)
        tags.append(
            f"<script type=module src='{gateway}/widget/call.js' data-persona=hotel"
            " data-text-call='Ask the desk' data-name='Front desk' data-theme=dark></script>"
        )
        page = await open_page(site)
        widget = Widget(page)
        await widget.state("idle")
        assert "Ask the desk" in await widget.text(".open")
        around = await widget.element.evaluate("(e) => e.nextElementSibling.textContent")
        assert around == "Behind"
        await widget.press("call")
        await widget.state("talking")
        await widget.until_level("agent", 0.3)
        assert await widget.text(".name") == "Front desk"
        await page.screenshot(path=album / "tag-talking.png")
        await widget.press("hang_up")
        await widget.state("ended")


async def test_wrong_origin(start_gateway: Any, open_page: Any, album: Path) -> None:
    """A page that is not on the list is refused in words that its visitor understands."""
    gateway = await start_gateway()
    tag = f"<script type=module src='{gateway}/widget/call.js' data-persona=bank></script>"
    async with foreign_page([tag]) as site:
        page = await open_page(site)
        widget = Widget(page)
        await widget.press("call")
        await widget.state("failed")
        assert await widget.text(".name") == "Agent"
        assert "cannot be placed from this page" in await widget.text(".reason")
        assert not await widget.element.locator('[data-do="again"]').is_visible()
        assert await widget.focused() == "close"
        await page.screenshot(path=album / "light-6-failed.png")


async def test_expired_token(start_gateway: Any, open_page: Any, album: Path) -> None:
    """The visitor is told to try again."""
    page = await open_page(await start_gateway(webrtc_token_ttl_s=0.001))
    widget = Widget(page)
    await widget.press("call")
    await widget.state("failed")
    assert "took too long" in await widget.text(".reason")
    assert await widget.element.locator('[data-do="again"]').inner_text() == "Try again"
    await page.screenshot(path=album / "light-7-expired.png")


async def test_full_house(start_gateway: Any, open_page: Any, make_hall: Any, album: Path) -> None:
    """All lines busy; when one is free again, the same button gets through."""
    small = make_hall(1)
    redis = connect(small.redis_url)
    broker = Broker(redis, small.pool)
    call_id = f"occupied-{secrets.token_hex(4)}"
    claim = await broker.claim(call_id, "prompt", "gateway")
    gateway = await start_gateway(gateway_pools=small.pool)
    page = await open_page(gateway, color_scheme="dark")
    widget = Widget(page)
    await widget.press("call")
    await widget.state("failed")
    assert "busy" in await widget.text(".reason")
    await page.screenshot(path=album / "dark-6-failed.png")
    await broker.release(call_id, claim.fencing_token)
    await redis.aclose()
    await widget.press("again")
    await widget.state("talking")
    await widget.press("hang_up")


async def test_microphone_blocked(start_gateway: Any, open_page: Any) -> None:
    """The message says where to allow it; no slot was taken."""
    page = await open_page(await start_gateway(), allowed=False)
    widget = Widget(page)
    await widget.press("call")
    await widget.state("failed")
    assert "microphone is blocked" in await widget.text(".reason")


async def test_gateway_that_is_gone(start_gateway: Any, open_page: Any) -> None:
    """No answer at all is a message, too."""
    page = await open_page(await start_gateway())
    await page.route("**/api/session", lambda route: route.abort())
    widget = Widget(page)
    await widget.press("call")
    await widget.state("failed")
    assert "cannot be reached" in await widget.text(".reason")


async def test_fits_a_small_telephone(start_gateway: Any, open_page: Any, album: Path) -> None:
    """Nothing is wider than the screen."""
    page = await open_page(await start_gateway(), viewport={"width": 360, "height": 740})
    widget = Widget(page)
    await widget.press("call")
    await widget.state("talking")
    await page.screenshot(path=album / "phone-talking.png")
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360
    await widget.press("hang_up")
