"""A stranger's first hour with the console, from the first log-in to the first rollback."""

import asyncio
import re
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from personas.library import SHIPPED
from tests.e2e.admin.demo import Demo, started

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

NUMBER = "+15550200"
CALL_MAX_S = "40"
WORDS = re.compile(r"\w+\W+\w+")  # which ones, depends on the engine


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """A demo that nobody has used yet."""
    with started(tmp_path) as demo:
        yield demo


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Some seconds of speech that no voice has yet."""
    path = tmp_path / "nora.wav"
    with wave.open(str(SHIPPED / "voices" / "joe.wav")) as source, wave.open(str(path), "w") as cut:
        cut.setparams(source.getparams())
        cut.writeframes(source.readframes(round(4.2 * source.getframerate())))
    return path


class Visit:
    """A person at the console.

    Attributes:
        page: of the browser.
        console: main part of the page.
    """

    def __init__(self, page: Any, album: Path) -> None:
        self.page = page
        self.console = page.get_by_role("main")
        self._album = album
        self._shots = 0

    async def shoot(self, name: str) -> None:
        """Keeps a picture of the whole page."""
        self._shots += 1
        file = self._album / f"{self._shots:02d}-{name}.png"
        await self.page.screenshot(path=file, full_page=True, animations="disabled")

    async def open(self, entry: str) -> None:
        """Goes to a page by the menu."""
        menu = self.page.get_by_role("navigation", name="Main")
        await menu.get_by_role("link", name=entry, exact=True).click()
        await expect(self.heading(entry)).to_be_visible()

    def heading(self, name: str) -> Any:
        """The page's heading."""
        return self.console.get_by_role("heading", name=name, level=1, exact=True)

    async def press(self, name: str) -> None:
        """Presses a button of the page."""
        await self.console.get_by_role("button", name=name, exact=True).click()

    def dialog(self) -> Any:
        """The open dialog."""
        return self.page.get_by_role("dialog")

    async def agree(self, action: str) -> None:
        """Presses a dialog's button; the dialog closes by that."""
        await self.dialog().get_by_role("button", name=action, exact=True).click()
        await expect(self.dialog()).to_have_count(0)


async def test_first_hour(demo: Any, open_console: Any, album: Path, clip: Path) -> None:
    """Persona, voice, draft call, publication, number, simulation, a call, and back again."""
    visit = Visit(await open_console(secret=""), album)
    await log_in(visit, demo.secret)
    await create_persona(visit)
    await upload_voice(visit, clip)
    await write_draft(visit)
    await talk_to_draft(visit, await open_console())
    await publish(visit, "The first one", "This is the first version.")
    await add_number(visit)
    await simulate(visit, "version 1")
    await publish_again(visit)
    await take_a_call(visit, demo)
    await roll_back(visit)
    await simulate(visit, "version 1")
    await see_the_rest(visit)


async def log_in(visit: Visit, secret: str) -> None:
    """A wrong key is refused in words; the printed one opens."""
    key = visit.page.get_by_label("API key")
    await key.fill("pcc_nobody")
    await key.press("Enter")
    await expect(visit.page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
    await visit.shoot("log-in")
    await key.fill(secret)
    await key.press("Enter")
    await expect(visit.heading("Overview")).to_be_visible()
    await expect(visit.console.get_by_text("of 4, on 1 worker")).to_be_visible()


async def create_persona(visit: Visit) -> None:
    """From a template, under a name of one's own."""
    await visit.open("Personas")
    await visit.shoot("personas")
    await visit.press("New persona")
    dialog = visit.dialog()
    await dialog.get_by_label("Begin with").select_option("hotel")
    await dialog.get_by_label("Title").fill("Night desk")
    await dialog.get_by_label("Name").fill("Night Desk")
    await dialog.get_by_role("button", name="Create").click()
    await expect(dialog.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    await visit.shoot("new-persona-refused")
    await dialog.get_by_label("Name").fill("night_desk")
    await visit.agree("Create")
    await expect(visit.heading("Night desk")).to_be_visible()


async def upload_voice(visit: Visit, clip: Path) -> None:
    """A clip becomes a voice; it may speak once the consent is put down."""
    await visit.open("Voices")
    await visit.press("Upload a voice")
    dialog = visit.dialog()
    await dialog.get_by_label("Clip").set_input_files(clip)
    await dialog.get_by_label("Title").fill("Nora, calm")
    await dialog.get_by_label("Name").fill("nora")
    await visit.shoot("upload")
    await visit.agree("Upload")
    await expect(visit.heading("Nora, calm")).to_be_visible()
    await expect(visit.console).to_contain_text("no record of consent")
    await expect(visit.console.locator(".wave rect").first).to_be_attached()
    played_s = await visit.console.locator("audio").evaluate(PLAY)
    assert played_s == pytest.approx(4.2, abs=0.2)
    await visit.press("Record consent")
    await dialog.get_by_label("Speaker").fill("Nora Example")
    await dialog.get_by_role("button", name="Record consent", exact=True).click()
    await expect(dialog).to_contain_text("where the signed document is kept")
    await dialog.get_by_label("Where the signed document is kept").fill("Cabinet 3, folder N")
    await visit.agree("Record consent")
    await expect(visit.console.get_by_text("usable", exact=True)).to_be_visible()
    await visit.shoot("voice")
    await visit.open("Voices")
    await visit.shoot("voices")


PLAY = """async (player) => {
  await player.play();
  player.pause();
  return player.duration;
}"""


async def write_draft(visit: Visit) -> None:
    """The check follows the typing: an unknown name, a prompt over budget, and a good one."""
    await visit.open("Personas")
    await visit.console.get_by_role("link", name="Night desk").click()
    role = visit.console.get_by_role("textbox", name="Role")
    written = await role.input_value()
    await expect(visit.console).to_contain_text("This can be published.")
    await role.fill(f"{written} Greet {{{{nobody}}}}.")
    await expect(visit.console).to_contain_text("{{nobody}} is not defined")
    await role.fill(f"{written} {'Always be very kind to every single caller. ' * 40}")
    await expect(visit.console).to_contain_text("shorten role_text")
    await visit.shoot("editor-over-budget")
    await role.fill(written.replace("hotel", "hotel at night"))
    await visit.console.get_by_label("Voice").select_option("nora")
    await expect(visit.console).to_contain_text("This can be published.")
    await visit.page.keyboard.press("Control+s")
    await expect(visit.page.get_by_role("status")).to_contain_text("The draft is saved.")


async def talk_to_draft(visit: Visit, second: Any) -> None:
    """A call to the draft in this browser: it talks, its words are shown, a second page sees it."""
    await visit.press("Call the draft")
    phone = visit.page.locator("personaplex-call")
    await expect(phone).to_have_attribute("state", "talking")
    await expect(phone.locator(".captions")).to_contain_text(WORDS)
    await visit.shoot("editor-test-call")
    row = second.get_by_role("row").filter(has_text="Night desk (draft)")
    await row.get_by_role("link").first.click()
    await expect(second.get_by_role("button", name="Hang up", exact=True)).to_be_visible()
    await expect(second.get_by_role("button", name="Transfer", exact=True)).to_have_count(0)
    await phone.locator("[data-do=hang_up]").click()
    await expect(phone).to_have_attribute("state", "ended")


async def publish(visit: Visit, comment: str, shown: str) -> None:
    """What differs is shown before it counts."""
    await visit.press("Publish …")
    dialog = visit.dialog()
    await expect(dialog).to_contain_text(shown)
    await dialog.get_by_label("Comment").fill(comment)
    await visit.shoot("publish")
    await visit.agree("Publish")
    await expect(visit.console.locator(".versions")).to_contain_text(comment)


async def add_number(visit: Visit) -> None:
    """A number that leads to the persona, in a common spelling."""
    await visit.open("Numbers")
    await visit.press("Add a number")
    dialog = visit.dialog()
    await dialog.get_by_label("Number").fill("+1 (555) 02-00")
    await dialog.get_by_label("Title").fill("Night line")
    await dialog.get_by_label("Persona").select_option("night_desk")
    await visit.shoot("new-number")
    await visit.agree("Create")
    await expect(visit.console.get_by_text(NUMBER)).to_be_visible()
    await visit.shoot("numbers")


async def simulate(visit: Visit, version: str) -> None:
    """The simulator says who would answer the number, and why."""
    await visit.open("Routes")
    await visit.console.get_by_label("Called number").fill(NUMBER)
    await visit.press("Simulate")
    await expect(visit.console).to_contain_text(f"answered by night_desk, {version}")
    await expect(visit.console).to_contain_text(f"number {NUMBER} is answered by persona")
    await visit.shoot("simulator")


async def publish_again(visit: Visit) -> None:
    """A second version, with what differs in words."""
    await visit.open("Personas")
    await visit.console.get_by_role("link", name="Night desk").click()
    greeting = visit.console.get_by_label("Greeting")
    await greeting.fill("Good evening, {{guest}}. How can I help?")
    await expect(visit.console).to_contain_text("{{guest}} is not defined")
    await greeting.fill("Good evening, {{company}}, this is {{agent_name}}. How can I help?")
    await expect(visit.console).to_contain_text("This can be published.")
    await publish(visit, "A warmer greeting", "What differs from version 1")
    await visit.shoot("editor-two-versions")


async def take_a_call(visit: Visit, demo: Any) -> None:
    """The number is called: the call is seen live, hung up from here, and read afterwards."""
    options = ("--wav", str(SHIPPED / "voices" / "joe.wav"), "--max-s", CALL_MAX_S)
    calling = asyncio.create_task(demo.call(NUMBER, *options))
    await visit.open("Overview")
    row = visit.console.get_by_role("row").filter(has_text="Night desk v2")
    await expect(row).to_be_visible()
    await expect(row).to_contain_text("live")
    await visit.shoot("overview-live")
    await row.get_by_role("link").first.click()
    persona = visit.console.get_by_role("link", name="Night desk")
    await persona.evaluate("(link) => { window.link = link; }")
    await expect(visit.console.locator(".said time").first).to_be_attached()
    await expect(visit.console.locator(".lane[data-party=agent] i").first).to_be_attached()
    caller = visit.console.locator(".lane[data-party=caller] i").first
    await expect(caller).to_be_attached()
    assert await visit.page.evaluate("window.link.isConnected")  # or nobody could press it
    await visit.shoot("call-live")
    await visit.press("Transfer")
    await visit.dialog().get_by_label("Number").fill("the front desk")
    await visit.dialog().get_by_role("button", name="Transfer").click()
    await expect(visit.dialog().get_by_label("Number")).to_have_attribute("aria-invalid", "true")
    await visit.shoot("transfer-refused")
    await visit.dialog().get_by_role("button", name="Cancel").click()
    await visit.press("Hang up")
    await visit.agree("Hang up")
    result = await calling
    assert result["status"] == "ended_by_server"
    await expect(visit.console.locator(".timeline")).to_contain_text("The call ended")
    await expect(visit.console.get_by_text("Length", exact=True)).to_be_visible()
    await expect(visit.console.get_by_role("button", name="Hang up")).to_have_count(0)
    await visit.shoot("call-ended")
    await find_call(visit, result["call_sid"])


async def find_call(visit: Visit, call_id: str) -> None:
    """The search finds it by its id and by a part of the caller's number."""
    await visit.open("Calls")
    search = visit.console.get_by_role("searchbox", name="Search calls")
    await search.fill("50055500")
    await expect(visit.console.get_by_text("Night desk (draft)")).to_have_count(0)
    await expect(visit.console.get_by_text("Night desk v2")).to_be_visible()
    await visit.shoot("calls")
    await search.fill("no such call")
    await expect(visit.console).to_contain_text("No calls match")
    await search.fill(call_id[:12])
    await visit.console.get_by_role("row").filter(has_text="Night desk").get_by_role("link").click()
    await expect(visit.console.locator(".timeline")).to_contain_text("The agent’s first sound")


async def roll_back(visit: Visit) -> None:
    """One press, one question, and version 1 answers."""
    await visit.open("Personas")
    await visit.console.get_by_role("link", name="Night desk").click()
    await visit.press("Roll back")
    await visit.agree("Roll back")
    first = visit.console.locator(".versions li").filter(has_text="Version 1")
    await expect(first).to_contain_text("answers calls")
    await visit.shoot("editor-rolled-back")


async def see_the_rest(visit: Visit) -> None:
    """Opening hours, a route on them, a key, a trunk; and every other page."""
    await write_schedule(visit)
    await write_route(visit)
    await make_key(visit)
    for entry in ("Trunks", "Limits", "Webhooks", "Audit log", "Workers", "Overview"):
        await visit.open(entry)
        await visit.page.wait_for_load_state("networkidle")
        await visit.shoot(entry.lower().replace(" ", "-"))
    await drain(visit)


async def write_schedule(visit: Visit) -> None:
    """One that never opens is refused; a week's hours are drawn as they are typed."""
    await visit.open("Schedules")
    await visit.press("New schedule")
    await visit.console.get_by_label("Title").first.fill("Office hours")
    await visit.console.get_by_label("Name").fill("office_hours")
    await visit.console.get_by_label("Time zone").fill("Europe/Berlin")
    await visit.press("Remove hours 1")
    await visit.press("Save")
    await expect(visit.console).to_contain_text("this schedule never opens")
    await visit.press("Add hours")
    for day in ("monday", "tuesday", "friday"):
        await visit.console.get_by_role("checkbox", name=day).check()
    await visit.console.get_by_label("Closes").fill("18:30")
    await visit.press("Add a holiday")
    await visit.console.get_by_label("Date of holiday 1").fill("2027-01-01")
    await visit.console.get_by_role("textbox", name="Title").nth(1).fill("New Year")
    await visit.shoot("schedule")
    await visit.press("Save")
    await expect(visit.heading("Office hours")).to_be_visible()
    await visit.open("Schedules")
    await visit.shoot("schedules")


async def write_route(visit: Visit) -> None:
    """After hours, callers hear a message; with an overflow to a person."""
    await visit.open("Routes")
    await visit.press("New route")
    await visit.console.get_by_label("Title").fill("After hours")
    await visit.console.get_by_label("Name").fill("after_hours")
    await visit.console.get_by_label("Schedule").select_option("office_hours")
    await visit.console.get_by_label("must be").select_option("closed")
    await visit.console.get_by_label("Persona", exact=True).select_option("night_desk")
    await visit.press("Add an overflow")
    await visit.console.get_by_label("Message").fill("We are closed. Please call tomorrow.")
    await visit.shoot("route")
    await visit.press("Save")
    await expect(visit.heading("After hours")).to_be_visible()
    await visit.open("Routes")
    await expect(visit.console).to_contain_text("office_hours is closed")
    await visit.shoot("routes")


async def make_key(visit: Visit) -> None:
    """The secret is shown once."""
    await visit.open("API keys")
    await visit.press("New key")
    await visit.dialog().get_by_label("Who or what uses it").fill("Wallboard")
    await visit.dialog().get_by_role("button", name="Create").click()
    await expect(visit.dialog().get_by_text("pcc_")).to_be_visible()
    await visit.shoot("new-key")
    await visit.agree("Close")
    await expect(visit.console.get_by_text("Wallboard")).to_be_visible()
    await visit.shoot("keys")


async def drain(visit: Visit) -> None:
    """A worker that is drained takes no new call; last of all, since the demo has only one."""
    await visit.open("Workers")
    await visit.press("Drain")
    await visit.agree("Drain")
    left = re.compile("draining|No worker has registered")  # without a call it leaves at once
    await expect(visit.console).to_contain_text(left)
    await visit.shoot("workers-draining")
