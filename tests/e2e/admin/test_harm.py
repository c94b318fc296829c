"""Markup and SQL in every text field stay text, on every page that shows them."""

import wave
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from personas.library import SHIPPED
from tests.e2e.admin.steps import go

pytestmark = [pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="session")]

EVIL = """<img src=x onerror="window.harmed=1"><script>harmed=1</script>'; DROP TABLE calls; --"""


@pytest.fixture(scope="module")
def evil_things(demo: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One of everything whose texts are hostile."""
    written = {
        "trunks": {"kind": "sip"},
        "limits": {"scope": "all", "max_concurrent": 1_000},
        "schedules": {"time_zone": "UTC", "weekly": [], "force": "open"},
        "webhooks": {"url": "http://127.0.0.1:9/<b>'", "events": ["call.ended"], "enabled": False},
    }
    for kind, fields in written.items():
        demo.ask("POST", f"/v1/{kind}", {"name": "evil", "title": EVIL, **fields})
    target = {"kind": "message", "text": EVIL}
    match = {"caller": "<b>'*", "headers": {"<i>": "<u>\"'*"}}
    route = {"name": "evil", "title": EVIL, "priority": 9, "match": match, "target": target}
    demo.ask("POST", "/v1/routes", route)
    number = {"name": "+15550299", "title": EVIL, "route": "evil"}
    demo.ask("POST", "/v1/numbers", number)
    demo.ask("POST", "/v1/api_keys", {"name": EVIL[:120], "role": "viewer"})
    _persona(demo)
    _voice(demo, tmp_path_factory.mktemp("evil") / "clip.wav")


def _persona(demo: Any) -> None:
    start = {"template": "hotel", "name": "evil", "title": EVIL[:120], "labels": ["<b>label</b>"]}
    draft = demo.ask("POST", "/v1/personas", start)["draft"]
    draft["greeting"] = f"{{{{company}}}} {EVIL}"[:300]
    demo.ask("PATCH", "/v1/personas/evil", {"draft": draft})
    demo.ask("POST", "/v1/personas/evil/publish", {"comment": EVIL})


def _voice(demo: Any, path: Path) -> None:
    with wave.open(str(SHIPPED / "voices" / "joe.wav")) as source, wave.open(str(path), "w") as cut:
        cut.setparams(source.getparams())
        cut.writeframes(source.readframes(3 * source.getframerate()))
    fields = {"name": "evil", "title": EVIL[:120], "gender": "neutral", "source": EVIL}
    fields |= {"licence": EVIL, "transcript": EVIL}
    demo.ask("POST", "/v1/voices", None, data=fields, files={"file": path.read_bytes()})
    consent = {
        "kind": "synthetic",
        "subject": EVIL,
        "scope": EVIL,
        "granted_at": "2026-01-01T00:00Z",
    }
    demo.ask("PUT", "/v1/voices/evil/consent", consent)
    demo.ask("POST", "/v1/voices/evil/consent/revoke", {"why": EVIL})


PAGES = [
    "",
    "/personas",
    "/personas/evil",
    "/voices",
    "/voices/evil",
    "/numbers",
    "/routes",
    "/routes/evil",
    "/schedules",
    "/schedules/evil",
    "/trunks",
    "/limits",
    "/keys",
    "/webhooks",
    "/audit",
]


@pytest.mark.usefixtures("evil_things")
async def test_text_stays_text(demo: Any, open_console: Any) -> None:
    """No page runs it or turns it into elements; where a page shows it, it shows it whole."""
    page = await open_console()
    for path in PAGES:
        await go(page, path or "/")
        assert await page.evaluate("window.harmed") is None, path
        assert await page.locator("main img, main script, main b:not(.lane b), main u").count() == 0
    await page.goto(f"{demo.admin}/admin/routes")
    await expect(page.get_by_role("main")).to_contain_text(EVIL)


@pytest.mark.usefixtures("evil_things")
async def test_calls_of_strangers(demo: Any, open_console: Any) -> None:
    """A caller's number is whatever the carrier says; search fields are whatever people type."""
    await demo.call("+15550100", "--caller", "<b>+1</b>'\"", "--max-s", "3")
    page = await open_console()
    search = "%'; DROP TABLE calls; -- <img src=x onerror=harmed=1>"
    await page.goto(f"{demo.admin}/admin/calls")
    await expect(page.get_by_role("main")).to_contain_text("<b>+1</b>")
    await page.get_by_role("link", name=":").first.click()
    await expect(page.get_by_role("main")).to_contain_text("<b>+1</b>")
    await page.goto(f"{demo.admin}/admin/calls")
    await page.get_by_role("searchbox").fill(search)
    await expect(page.get_by_role("main")).to_contain_text("No calls match")
    await page.reload()
    await expect(page.get_by_role("searchbox")).to_have_value(search)
    assert await page.evaluate("window.harmed") is None
    assert demo.ask("GET", "/v1/calls")["items"]


@pytest.mark.usefixtures("evil_things")
async def test_differences(demo: Any, open_console: Any) -> None:
    """Dialogs with what changed, with the deliveries and with the rendered prompt show text."""
    page = await open_console(path="/audit?kind=voice&name=evil")
    for index in range(3):
        await page.get_by_role("button", name="Changes").nth(index).click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("<")
        assert await dialog.locator("img, script").count() == 0
        await dialog.get_by_role("button", name="Close").click()
    assert await page.evaluate("window.harmed") is None


async def test_policy(demo: Any, open_console: Any) -> None:
    """The browser itself refuses inline scripts, evaluation and other hosts."""
    page = await open_console(lenient=True)
    refused = await page.evaluate(
        """async () => {
          const element = document.createElement("div");
          element.innerHTML = '<img src="x" onerror="window.harmed = 1">';
          document.body.append(element);
          const script = document.body.appendChild(document.createElement("script"));
          script.textContent = "window.harmed = 2";
          const elsewhere = await fetch("http://localhost:9/").then(() => "sent", () => "refused");
          await new Promise((resolve) => setTimeout(resolve, 200));
          return [window.harmed ?? "unharmed", elsewhere];
        }"""
    )
    assert refused == ["unharmed", "refused"]


FORMS = [  # where it is, what opens it, what sends it
    ("/numbers", "Add a number", "Create"),
    ("/trunks", "Add a trunk", "Create"),
    ("/limits", "Add a limit", "Create"),
    ("/webhooks", "Add a webhook", "Create"),
    ("/keys", "New key", ""),  # a key may be called anything: it would be made
    ("/voices", "Upload a voice", "Upload"),
    ("/personas", "New persona", "Create"),
    ("/voices/clara", "Edit", ""),
    ("/voices/clara", "Replace", ""),  # any words may stand there: it would be put down
    ("/personas/bank", "", "Save draft"),
    ("/routes/new", "", "Simulate"),
    ("/routes/new", "", "Save"),
    ("/schedules/new", "", "Save"),
    ("/calls", "", ""),
    ("/audit", "", ""),
]
FIELDS = "input:is([type=text], [type=search]):enabled, textarea:enabled"
ANSWER = "[aria-invalid=true], [role=alert], .steps li, .spoken"  # refused, or simulated


async def test_every_text_field(open_console: Any) -> None:
    """Whatever field it is typed into, it comes back as text or is refused in words."""
    page = await open_console()
    page.on("dialog", lambda question: question.accept())  # unsaved text may go
    walked = 0
    for address, opens, sends in FORMS:
        await go(page, address)
        if opens:
            await page.get_by_role("button", name=opens, exact=True).click()
        form = page.get_by_role("dialog" if opens else "main")
        for summary in await form.locator("details:not([open]) > summary").all():
            await summary.click()
        for field in await form.locator(FIELDS).all():
            await field.fill(EVIL)
            walked += 1
        if sends:
            await form.get_by_role("button", name=sends, exact=True).click()
            await expect(form.locator(ANSWER).first).to_be_visible()
        assert await page.locator(":is(main, dialog) :is(img, script)").count() == 0, address
        assert await page.evaluate("window.harmed") is None, address
        await page.keyboard.press("Escape")
    assert walked > 70
