"""Visitors talk to the contact center through the widget, in a real browser."""

import asyncio
import secrets
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from aioice.ice import StunProtocol

from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from tests.e2e.webrtc.widget import LEVEL, Widget, foreign_page

pytestmark = pytest.mark.timeout(60)


async def test_a_conversation(
    start_gateway: Any, open_page: Any, hall: Any, visitor: Path, album: Path
) -> None:
    """Audible and captioned: greeting, the visitor's turn, an answer; then the visitor leaves."""
    page = await open_page(await start_gateway(), visitor)
    widget = Widget(page)
    await widget.state("idle")
    assert "rehearsal" in await page.locator("#engine").inner_text()
    await widget.press("call")
    await widget.state("talking")
    await widget.until_level("agent", 0.3)
    await widget.until_level("you", 0.3)
    await widget.until(
        "(element) => element.shadowRoot.querySelectorAll('.captions p').length >= 2"
    )
    await widget.until_level("agent", 0.3)
    await page.screenshot(path=album / "conversation.png")
    assert "Hello" in await widget.text(".captions")
    await widget.press("hang_up")
    await widget.state("ended")
    assert "hung up" in await widget.text(".reason")
    await hall.until_free()
    await widget.press("close")
    await widget.state("idle")


async def test_mute(start_gateway: Any, open_page: Any) -> None:
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
    await widget.press("mute")
    await widget.until_level("you", 0.3)


async def test_hanging_up_while_connecting(start_gateway: Any, open_page: Any, hall: Any) -> None:
    """The line is free at once, not when the gateway has waited long enough."""
    page = await open_page(await start_gateway())
    widget = Widget(page)
    asked = asyncio.get_running_loop().create_future()
    await page.route("**/api/offer", lambda route: asked.set_result(route))
    await widget.press("call")
    offer = await asked
    await widget.press("hang_up")
    await widget.state("ended")
    await offer.continue_()
    while not await hall.slots_used():  # noqa: ASYNC110 - Redis tells nobody
        await asyncio.sleep(0.01)
    async with asyncio.timeout(8.0):
        await hall.until_free()


async def test_keyboard_and_screen_reader(start_gateway: Any, open_page: Any) -> None:
    """The whole call without a mouse; the focus is never lost, and each state is announced."""
    page = await open_page(await start_gateway())
    widget = Widget(page)
    status = widget.element.locator("[role=status]")
    await widget.state("idle")
    await page.keyboard.press("Tab")  # the personas are one stop, then comes the button
    await page.keyboard.press("Tab")
    assert await widget.focused() == "call"
    await page.keyboard.press("Enter")
    await widget.state("talking")
    assert await widget.focused() == "hang_up"
    assert await status.inner_text() == "On the line"
    assert await page.get_by_role("region", name="Retail bank").count() == 1
    assert await page.get_by_role("log", name="What the agent says").count() == 1
    for stop in ("keypad", "mute"):
        await page.keyboard.press("Shift+Tab")
        assert await widget.focused() == stop
    await page.keyboard.press("Space")
    assert await page.get_by_role("button", name="Unmute", pressed=True).count() == 1
    await page.keyboard.press("Shift+Tab")
    assert await widget.focused() == "captions"
    for stop in ("mute", "keypad", "hang_up"):
        await page.keyboard.press("Tab")
        assert await widget.focused() == stop
    await page.keyboard.press("Enter")
    await widget.state("ended")
    assert await widget.focused() == "again"
    assert "hung up" in await page.get_by_role("alert").inner_text()
    await page.keyboard.press("Tab")
    assert await widget.focused() == "close"
    await page.keyboard.press("Enter")
    await widget.state("idle")
    assert await widget.focused() == "call"


CHANNEL = """(() => {
  const open = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function (...given) {
    window.channel = open.apply(this, given);
    const send = window.channel.send.bind(window.channel);
    window.sent = [];
    window.channel.send = (text) => (window.sent.push(text), send(text));
    return window.channel;
  };
})()"""
HANDED_OVER = """window.channel.dispatchEvent(new MessageEvent("message",
    {data: JSON.stringify({type: "ended", code: "handoff_to_fallback"})}))"""


async def test_disclosure_keypad_and_handoff(start_gateway: Any, open_page: Any) -> None:
    """A visitor knows that no person speaks, may press keys, and sees which number to call."""
    page = await open_page(await start_gateway(webrtc_phone="+1 555 0100"))
    await page.evaluate(CHANNEL)
    widget = Widget(page)
    await widget.press("call")
    await widget.state("talking")
    assert await widget.text(".disclosure") == "You are talking to an AI agent"
    await widget.press("keypad")
    for key in ("4", "#"):
        await widget.element.locator(f'[data-key="{key}"]').click()
    digits = [text for text in await page.evaluate("sent") if "digit" in text]
    assert digits == ['{"type":"digit","digit":"4"}', '{"type":"digit","digit":"#"}']
    await page.evaluate(HANDED_OVER)
    await widget.state("ended")
    dial = widget.element.get_by_role("link", name="Call +1 555 0100")
    assert await dial.get_attribute("href") == "tel:+15550100"
    assert "Please call us" in await widget.text(".reason")
    assert not await widget.element.locator(".keys").is_visible()
    for words, shown in (("Sie sprechen mit einer KI", "Sie sprechen mit einer KI"),
                         (" ", "You are talking to an AI agent")):  # fmt: skip
        await widget.element.evaluate("(e, disclosure) => (e.texts = { disclosure })", words)
        assert await widget.element.locator(".disclosure").text_content() == shown


async def test_one_tag_on_another_page(start_gateway: Any, open_page: Any, album: Path) -> None:
    """The button stands where the tag stands, with the page's words, under a strict policy."""
    tags: list[str] = []
    policy = ["default-src 'none'", "img-src data:", "require-trusted-types-for 'script'"]
    async with foreign_page(tags, policy) as site:
        gateway = await start_gateway(webrtc_origins=site)
        policy += [f"{kind} {gateway}" for kind in ("script-src", "style-src", "connect-src")]
        policy.append("trusted-types personaplex-call")
        tags.append(
            f"<script type=module src='{gateway}/widget/call.js' data-persona=hotel"
            " data-text-call='Ask the desk' data-name='Front desk' data-theme=dark></script>"
        )
        page = await open_page(site)
        broken: list[str] = []
        page.on("console", lambda message: broken.append(message.text))
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
    assert broken == []


async def test_page_that_builds_itself(start_gateway: Any, open_page: Any, album: Path) -> None:
    """Texts count whether they are set before the element is on the page, or later."""
    page = await open_page(await start_gateway())
    await page.evaluate("""
        const element = document.createElement("personaplex-call");
        element.setAttribute("persona", "hotel");
        element.setAttribute("text-hint", "Sprachanruf");
        element.setAttribute("gateway", location.origin);
        element.setAttribute("position", "corner");
        element.texts = { call: "Sprich mit uns" };
        document.getElementById("phone").replaceChildren(element);
    """)
    widget = Widget(page)
    assert await widget.text(".open") == "Sprich mit uns\nSprachanruf"
    await widget.element.evaluate("(e) => { e.texts = { call: 'Ruf an' }; }")
    assert await widget.text(".open") == "Ruf an\nSprachanruf"
    await widget.press("call")
    await widget.state("talking")
    await page.screenshot(path=album / "corner-talking.png")


async def test_wrong_origin(start_gateway: Any, open_page: Any, album: Path) -> None:
    """A page that is not on the list is refused in words that its visitor understands."""
    gateway = await start_gateway()
    tag = f"<script type=module src='{gateway}/widget/call.js' data-persona=bank></script>"
    async with foreign_page([tag], []) as site:
        page = await open_page(site)
        widget = Widget(page)
        await widget.press("call")
        await widget.state("failed")
        assert await widget.text(".name") == "Agent"
        assert "cannot be placed from this page" in await widget.text(".reason")
        assert not await widget.element.locator('[data-do="again"]').is_visible()
        assert await widget.focused() == "close"
        await page.screenshot(path=album / "wrong-origin.png")


async def test_expired_token_and_too_many_attempts(start_gateway: Any, open_page: Any) -> None:
    """The visitor is told to try again, and then to wait."""
    settings = {"webrtc_token_ttl_s": 0.001, "webrtc_requests_per_minute": 1}
    page = await open_page(await start_gateway(**settings))
    widget = Widget(page)
    await widget.press("call")
    await widget.state("failed")
    assert "took too long" in await widget.text(".reason")
    assert await widget.element.locator('[data-do="again"]').inner_text() == "Try again"
    await widget.press("again")
    await widget.until_text(".reason", "wait a minute")


@pytest.mark.computes_on_loop("it waits for a worker to start, before anybody calls")
async def test_full_house(start_gateway: Any, open_page: Any, make_hall: Any) -> None:
    """All lines busy; when one is free again, the same button gets through."""
    small = make_hall(1)
    redis = connect(small.redis_url)
    broker = Broker(redis, small.pool)
    call_id = f"occupied-{secrets.token_hex(4)}"
    claim = await broker.claim(call_id, "prompt", "gateway")
    gateway = await start_gateway(gateway_pools=small.pool)
    page = await open_page(gateway)
    widget = Widget(page)
    await widget.press("call")
    await widget.state("failed")
    assert "busy" in await widget.text(".reason")
    await broker.release(call_id, claim.fencing_token)
    await redis.aclose()
    await widget.press("again")
    await widget.state("talking")
    await widget.press("hang_up")


@pytest.mark.parametrize(
    ("trouble", "told"),
    [({"allowed": False}, "microphone is blocked"), ({"plugged_in": False}, "No microphone")],
    ids=["blocked", "missing"],
)
async def test_no_microphone(
    start_gateway: Any, open_page: Any, trouble: dict[str, bool], told: str
) -> None:
    """The message says what to do; the gateway was not even asked."""
    page = await open_page(await start_gateway(), **trouble)
    await page.route("**/api/session", lambda _: pytest.fail("a call was asked for"))
    widget = Widget(page)
    await widget.press("call")
    await widget.state("failed")
    assert told in await widget.text(".reason")


async def test_gateway_that_is_gone(start_gateway: Any, open_page: Any) -> None:
    """No answer at all is a message, too: to the visitor's call, and to the demo page."""
    page = await open_page(await start_gateway())
    widget = Widget(page)
    await page.evaluate("""
        const timeout = AbortSignal.timeout.bind(AbortSignal);
        AbortSignal.timeout = () => timeout(200);
    """)
    await page.route("**/api/session", lambda _: None)  # hangs
    await widget.press("call")
    await widget.until_text(".reason", "cannot be reached")
    await page.route("**/api/*", lambda route: route.abort())
    await widget.press("close")
    await widget.press("call")
    await widget.until_text(".reason", "cannot be reached")
    await page.reload()
    await page.get_by_text("The gateway does not answer").wait_for()


async def test_a_network_that_is_lost(start_gateway: Any, open_page: Any, hall: Any) -> None:
    """A fresh call over the one that is there; lost again within a minute, the visitor is told."""
    page = await open_page(await start_gateway())
    widget = Widget(page)
    await page.evaluate("""() => {
        window.peers = [];
        window.RTCPeerConnection = class extends window.RTCPeerConnection {
          constructor(...given) { super(...given); window.peers.push(this); }
        };
        window.lose = (index) => {
          Object.defineProperty(peers[index], "connectionState", { get: () => "failed" });
          peers[index].dispatchEvent(new Event("connectionstatechange"));
        };
    }""")
    await widget.press("call")
    await widget.state("talking")
    await page.evaluate("lose(0)")
    await widget.state("connecting")
    await widget.state("talking")
    assert await page.evaluate("peers.map((peer) => peer.connectionState)") == [
        "failed",
        "connected",
    ]
    await widget.until_level("agent", 0.3)
    await page.evaluate("lose(1)")
    await widget.state("failed")
    assert await widget.text(".reason") == "The connection was lost."
    await hall.until_free()


async def test_gateway_that_vanishes(
    start_gateway: Any, open_page: Any, hall: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In mid-call, without a word: the visitor is told, and the slot comes back."""
    page = await open_page(await start_gateway())
    widget = Widget(page)
    await widget.press("call")
    await widget.state("talking")
    for name in ("datagram_received", "send_data", "send_stun"):
        monkeypatch.setattr(StunProtocol, name, AsyncMock() if name == "send_data" else Mock())
    await widget.until_text(".status", "Weak connection")
    await widget.state("failed", timeout_s=40.0)  # a fresh call has been tried meanwhile
    assert await widget.text(".reason") == "The connection was lost."
    await hall.until_free()
