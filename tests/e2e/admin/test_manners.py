"""Manners of the console: two people at once, the keyboard, roles, themes, small screens."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.timeout(60), pytest.mark.asyncio(loop_scope="session")]

CORE = "/admin/static/core"
REFUSED = "new Event('logged-out')"  # a request that was under way comes back
SLATE = "rgb(15, 19, 24)"


@pytest.fixture
def persona(demo: Any) -> str:
    """A persona of its own for each test."""
    found = len(demo.ask("GET", "/v1/personas")["items"])
    name = f"manners_{found}"
    start = {"template": "bank", "name": name, "title": f"Manners {found}"}
    demo.ask("POST", "/v1/personas", start)
    return name


async def test_two_at_once(open_console: Any, persona: str) -> None:
    """Who saves second is told so, keeps the text, and may look before saving over it."""
    first = await open_console(path=f"/personas/{persona}")
    second = await open_console(path=f"/personas/{persona}")
    await first.get_by_label("Title").fill("By the first")
    await second.get_by_label("Title").fill("By the second")
    await first.get_by_role("button", name="Save draft").click()
    await expect(first.get_by_role("status")).to_contain_text("saved")
    await second.get_by_role("button", name="Save draft").click()
    await expect(second.get_by_role("main")).to_contain_text("Somebody else has changed this")
    await expect(second.get_by_label("Title")).to_have_value("By the second")
    await second.get_by_role("button", name="Load theirs").click()
    await expect(second.get_by_label("Title")).to_have_value("By the first")
    await first.get_by_label("Title").fill("Once more")
    await second.get_by_label("Title").fill("Mine")
    await first.get_by_role("button", name="Save draft").click()
    await expect(first.get_by_role("button", name="Save draft")).to_be_disabled()
    await second.get_by_role("button", name="Save draft").click()
    await second.get_by_role("button", name="Save mine over theirs").click()
    await second.get_by_role("dialog").get_by_role("button", name="Save mine").click()
    await expect(second.get_by_role("status")).to_contain_text("saved")
    await first.reload()
    await expect(first.get_by_label("Title")).to_have_value("Mine")


async def test_saved_twice_at_once(open_console: Any, persona: str) -> None:
    """Two presses of the key are one saving, not two people."""
    page = await open_console(path=f"/personas/{persona}")
    await page.get_by_label("Title").fill("In a hurry")
    press = "dispatchEvent(new KeyboardEvent('keydown', {key: 's', ctrlKey: true, bubbles: true}))"
    await page.evaluate(f"document.body.{press}; document.body.{press}")
    await expect(page.get_by_role("status")).to_contain_text("The draft is saved.")
    await expect(page.get_by_role("main")).not_to_contain_text("Somebody else")


async def test_unsaved_text(open_console: Any, persona: str) -> None:
    """Leaving a draft that is not saved needs a word of the person."""
    page = await open_console(path=f"/personas/{persona}")
    questions: list[str] = []

    async def stay(dialog: Any) -> None:
        questions.append(dialog.message)
        await dialog.dismiss()

    page.on("dialog", stay)
    await page.get_by_label("Title").fill("Not saved")
    await page.get_by_role("link", name="Voices").click()
    await expect(page.get_by_label("Title")).to_have_value("Not saved")
    assert "unsaved" in questions[0]


async def test_keyboard(open_console: Any) -> None:
    """The whole console without a mouse: log-in, letters, search, dialogs, the skip link."""
    page = await open_console()
    press = page.keyboard.press
    await asyncio.gather(press("g"), press("p"))  # as fast as a person
    await expect(page.get_by_role("heading", name="Personas", level=1)).to_be_focused()
    await press("Tab")
    await expect(page.get_by_role("button", name="New persona")).to_be_focused()
    await press("Enter")
    await expect(page.get_by_role("dialog").get_by_label("Begin with")).to_be_focused()
    await press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("button", name="New persona")).to_be_focused()
    await asyncio.gather(press("g"), press("c"))  # as fast as a person
    await expect(page.get_by_role("heading", name="Calls", level=1)).to_be_visible()
    await press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("g p")
    await expect(page.get_by_role("searchbox")).to_have_value("g p")
    await page.reload()
    await expect(page.get_by_role("main").get_by_role("heading", level=1)).to_be_visible()
    await page.evaluate("document.activeElement.blur()")
    await press("?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()


async def test_viewer(demo: Any, open_console: Any, persona: str) -> None:
    """A viewer reads everything but the keys, and is offered no change."""
    made = demo.ask("POST", "/v1/api_keys", {"name": f"viewer {persona}", "role": "viewer"})
    page = await open_console(made["secret"], f"/personas/{persona}")
    await expect(page.get_by_role("button", name="Publish …")).to_be_disabled()
    await expect(page.get_by_label("Greeting")).to_be_disabled()
    for entry, change in (
        ("Numbers", "Add a number"),
        ("Routes", "New route"),
        ("Voices", "Upload a voice"),
    ):
        await page.get_by_role("link", name=entry, exact=True).click()
        await expect(page.get_by_role("button", name=change)).to_be_disabled()
    await page.get_by_role("link", name="API keys").click()
    await expect(page.get_by_role("main")).to_contain_text("Only admins see the keys.")


async def test_session_is_over(demo: Any, open_console: Any) -> None:
    """A key that is revoked shows the door at the next step; logging out does, too.

    The door stands still while somebody types, and behind it everything is as it was.
    """
    made = demo.ask("POST", "/v1/api_keys", {"name": "leaves soon", "role": "admin"})
    page = await open_console(made["secret"])
    demo.ask("DELETE", f"/v1/api_keys/{made['id']}")
    await page.evaluate("import('/admin/static/parts/feedback.js').then((m) => m.toast('Hello'))")
    await page.get_by_role("link", name="Personas").click()
    key = page.get_by_label("API key")
    await key.fill(demo.secret)
    await page.evaluate(f"import('{CORE}/api.js').then((m) => m.events.dispatchEvent({REFUSED}))")
    await expect(key).to_have_value(demo.secret)
    await key.press("Enter")
    await expect(page.get_by_role("heading", name="Personas", level=1)).to_be_visible()
    await page.evaluate("import('/admin/static/parts/feedback.js').then((m) => m.toast('Welcome'))")
    await expect(page.get_by_text("Welcome", exact=True)).to_be_visible()
    page = await open_console()
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("API key")).to_be_visible()


async def test_themes(open_console: Any) -> None:
    """The system's theme at first, another one by a button, kept for the next time."""
    page = await open_console(color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    assert await page.evaluate(ground) == SLATE
    await page.get_by_role("button", name="Theme: system").click()
    assert await page.evaluate(ground) != SLATE
    await page.reload()
    await page.get_by_role("button", name="Theme: light").click()
    assert await page.evaluate(ground) == SLATE


async def test_small_screen(open_console: Any, album: Any) -> None:
    """On a telephone the menu opens on demand, and closes when it has led somewhere."""
    page = await open_console(viewport={"width": 390, "height": 800})
    await expect(page.get_by_role("link", name="Voices")).to_be_hidden()
    await page.get_by_role("button", name="Menu").click()
    await page.screenshot(path=album / "small-menu.png")
    await page.get_by_role("link", name="Voices").click()
    await expect(page.get_by_role("heading", name="Voices", level=1)).to_be_visible()
    await expect(page.get_by_role("link", name="Calls", exact=True)).to_be_hidden()


async def test_unknown_address(open_console: Any) -> None:
    """Addresses that lead nowhere say so."""
    page = await open_console(path="/nowhere/at/all")
    await expect(page.get_by_role("heading", name="Not found")).to_be_visible()
    await page.goto(page.url.split("/admin")[0] + "/admin/personas/nobody_here")
    await expect(page.get_by_role("main")).to_contain_text("nobody_here")
