"""Numbers, routes, schedules and the rest: what leads nowhere is refused."""

import asyncio
import base64
import threading

import httpx
import pytest

from callcenter.admin.bundle import Bundle
from callcenter.admin.security.gate import PREPARED_AT_ONCE
from tests.integration.admin.conftest import Admin, Filled, serving

VOICE = """voices: [{{name: v, title: v, gender: female, language: en, licence: x, source: "",
transcript: "", consent: null, clip: "{clip}"}}]"""

BANK = {"kind": "personas", "personas": [{"persona": "bank"}]}
NINE_TO_FIVE = {"days": ["monday", "friday"], "opens": "09:00", "closes": "17:00"}


async def make(admin: Admin, plural: str, **document) -> dict:
    """Creates a document."""
    response = await admin.http.post(f"/v1/{plural}", json={"title": "x", **document})
    assert response.status_code == 201, response.text
    return response.json()


async def test_a_story_of_opening_hours(either_admin: Admin) -> None:
    """A number, hours, a route for each state; the simulator says which one and why."""
    http = either_admin.http
    hours = await make(
        either_admin, "schedules", name="hours", time_zone="Europe/Berlin", weekly=[NINE_TO_FIVE]
    )
    await make(either_admin, "numbers", name="+15550150")
    day = {"called": "+15550150", "schedule": "hours"}
    await make(either_admin, "routes", name="day", priority=1, match=day, target=BANK)
    closed = {"kind": "message", "text": "We are closed."}
    await make(either_admin, "routes", name="night", priority=2, target=closed)
    for at, route in (("2026-11-23T10:00:00Z", "day"), ("2026-11-24T10:00:00Z", "night")):
        asked = {"called": "+15550150", "at": at}
        found = (await http.post("/v1/routes:simulate", json=asked)).json()
        assert found["route"] == route
        assert found["steps"]
    tag = {"If-Match": f'"{hours["revision"]}"'}
    response = await http.patch("/v1/schedules/hours", json={"force": "open"}, headers=tag)
    assert response.status_code == 200
    found = (await http.post("/v1/routes:simulate", json=asked)).json()
    assert found["route"] == "day"
    assert (await http.patch("/v1/schedules/hours", json={}, headers=tag)).status_code == 412


@pytest.mark.parametrize(
    ("plural", "document", "words"),
    [
        ("schedules", {"name": "never", "time_zone": "UTC"}, "never opens"),
        ("schedules", {"name": "mars", "time_zone": "Mars/Base"}, "time zone of the IANA list"),
        ("numbers", {"name": "12345"}, "Write the number with its country code"),
        ("numbers", {"name": "+15550151", "persona": "nobody"}, "no persona 'nobody'"),
        ("numbers", {"name": "+15550151", "route": "nowhere"}, "no route 'nowhere'"),
        ("routes", {"name": "r", "target": BANK, "match": {"called": "+1999*"}}, "no number fits"),
        ("routes", {"name": "r", "target": BANK, "match": {"schedule": "s"}}, "no schedule 's'"),
        ("routes", {"name": "r", "target": {"kind": "transfer", "to": "x"}}, "/target/"),
        ("trunks", {"name": "t", "kind": "sip", "addresses": ["300.1.1.1"]}, "300.1.1.1"),
        ("limits", {"name": "l", "scope": "all", "subject": "x", "max_concurrent": 1}, "subject"),
    ],
)
async def test_what_leads_nowhere_is_refused(admin: Admin, plural, document, words) -> None:
    """With the place and the reason."""
    response = await admin.http.post(f"/v1/{plural}", json={"title": "x", **document})
    assert response.status_code == 422, response.text
    assert words in response.text


async def test_a_route_behind_one_that_takes_everything(admin: Admin) -> None:
    """It could never be reached."""
    await make(admin, "routes", name="all", priority=1, target=BANK)
    body = {"name": "late", "title": "x", "priority": 2, "target": BANK}
    response = await admin.http.post("/v1/routes", json=body)
    assert "route all comes first" in response.json()["detail"]
    assert (await admin.http.post("/v1/routes", json={**body, "priority": 0})).status_code == 201


async def test_a_schedule_in_use_is_neither_deleted_nor_renamed(admin: Admin) -> None:
    """The answer names the route."""
    hours = await make(admin, "schedules", name="h", time_zone="UTC", weekly=[NINE_TO_FIVE])
    await make(admin, "routes", name="r", match={"schedule": "h"}, target=BANK)
    tag = {"If-Match": f'"{hours["revision"]}"'}
    for response in (
        await admin.http.delete("/v1/schedules/h", headers=tag),
        await admin.http.patch("/v1/schedules/h", json={"name": "g"}, headers=tag),
    ):
        assert response.status_code == 409
        assert response.json()["users"] == ["route r"]


async def test_lists_come_in_pages(admin: Admin) -> None:
    """Every item once, whatever the size of a page."""
    for index in range(5):
        await make(admin, "numbers", name=f"+1555016{index}")
    seen, cursor = [], ""
    while cursor is not None:
        page = await admin.http.get("/v1/numbers", params={"limit": 2, "cursor": cursor})
        seen += [item["name"] for item in page.json()["items"]]
        cursor = page.json()["next_cursor"]
    assert seen == [f"+1555016{index}" for index in range(5)]
    assert (await admin.http.get("/v1/numbers?cursor=!!")).json()["code"] == "bad_cursor"


HOSTILE = "'; DROP TABLE documents; -- <script>alert(1)</script> ${7*7} {{x}} \u202e%s\\"


async def test_hostile_text_is_only_text(either_admin: Admin) -> None:
    """SQL and HTML come back as they went in, as JSON, and nothing else happened."""
    http = either_admin.http
    number = await make(either_admin, "numbers", name="+15550170", title=HOSTILE)
    assert number["title"] == HOSTILE
    shown = await http.get("/v1/numbers/+15550170")
    assert shown.json()["title"] == HOSTILE
    assert shown.headers["Content-Type"] == "application/json"
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("/v1/calls", "/v1/audit"):
        for name in ("q", "actor", "name", "persona"):
            response = await http.get(path, params={name: HOSTILE[:60]})
            assert response.status_code == 200, response.text
    refused = await http.get("/v1/calls", params={"outcome": HOSTILE[:60]})
    assert refused.json()["errors"] == [
        {
            "pointer": "/query/outcome",
            "detail": "Choose one of: answered, transferred, abandoned, rejected_capacity, "
            "rejected or failed.",
        }
    ]
    assert (await http.get(f"/v1/routes/{HOSTILE[:20]}")).status_code == 404
    assert (await http.get("/v1/personas/bank")).status_code == 200


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
async def test_text_that_no_database_takes(admin: Admin, text: str) -> None:
    """NUL and half a surrogate pair are refused before they reach one."""
    body = f'{{"name": "+15550171", "title": "{text.encode("unicode_escape").decode()}"}}'
    body = body.replace("\\x00", "\\u0000")
    response = await admin.http.post(
        "/v1/numbers", content=body, headers={"Content-Type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (400, "bad_text")


async def test_a_bundle_out_and_in(
    either_admin: Admin, other_database: Filled, redis_url: str
) -> None:
    """Imported where it comes from, it changes nothing; elsewhere it makes what is not there."""
    await make(either_admin, "schedules", name="h", time_zone="UTC", weekly=[NINE_TO_FIVE])
    await make(either_admin, "numbers", name="+15550180")
    match = {"called": "+15550180", "schedule": "h"}
    await make(either_admin, "routes", name="r", match=match, target=BANK)
    text = (await either_admin.http.get("/v1/export")).text
    yaml = {"Content-Type": "application/yaml"}
    same = await either_admin.http.put("/v1/import", content=text, headers=yaml)
    assert (same.json()["created"], same.json()["updated"]) == (0, 0), same.text
    async with serving(other_database.url, redis_url, other_database.secret) as other:
        made = await other.http.put("/v1/import", content=text, headers=yaml)
        assert made.json()["created"] == 3, made.text
        assert (await other.http.get("/v1/export")).text == text


@pytest.mark.parametrize(
    "text",
    [
        *("a: &a [1]\nb: *a", "version: 9", "[", "!!python/object:os.system {}", "voices: 1"),
        *("a: " + "[" * 100_000, "a: " + "[" * 50 + "]" * 50, "a: [" + "1," * 110_000 + "1]"),
        VOICE.format(clip="no base64"),
        VOICE.format(clip=base64.b64encode(b"no audio").decode()),
    ],
)
async def test_a_bad_bundle_changes_nothing(admin: Admin, text: str) -> None:
    """All of it or nothing."""
    yaml = {"Content-Type": "application/yaml"}
    response = await admin.http.put("/v1/import", content=text, headers=yaml)
    assert response.status_code == 422, response.text


async def test_a_large_bundle_holds_nobody_up(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others write while it is read; one more than may be read at once is refused in words."""
    reading, go_on = threading.Semaphore(0), threading.Event()

    def slow(text: str) -> Bundle:
        reading.release()
        go_on.wait(20)
        return Bundle()

    monkeypatch.setattr("callcenter.admin.api.bundle.bundle.read", slow)
    yaml = {"Content-Type": "application/yaml"}

    def put() -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(admin.http.put("/v1/import", content="x: 1", headers=yaml))

    under_way = [put() for _ in range(PREPARED_AT_ONCE)]
    for _ in under_way:
        await asyncio.to_thread(reading.acquire)
    async with asyncio.timeout(5):
        await make(admin, "numbers", name="+15550199")
        refused = await put()
    assert (refused.status_code, refused.json()["code"]) == (429, "files_are_read")
    go_on.set()
    assert {answer.status_code for answer in await asyncio.gather(*under_way)} == {200}
