"""Sessions, fresh log-ins, the first admin's key, and the traces of what is refused."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import text

from callcenter.admin import program
from callcenter.admin.security.sessions import COOKIE
from callcenter.admin.store.database import Database
from callcenter.records.journal import Journal
from tests.integration.admin.conftest import (
    Admin,
    Filled,
    serving,
)
from tests.integration.admin.test_calls import until


async def a_browser(admin: Admin, secret: str = "") -> httpx.AsyncClient:
    """Somebody's browser, logged in by a key; it sends the CSRF token."""
    browser = httpx.AsyncClient(
        transport=admin.http._transport,
        base_url="http://admin",
        headers={"User-Agent": "Mozilla/5.0 (X11; Linux) Firefox/130.0"},
    )
    answer = await browser.post("/v1/session", json={"secret": secret or admin.secret})
    assert answer.status_code == 201, answer.text
    browser.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
    return browser


async def move(admin: Admin, column: str, minutes: int) -> None:
    """Moves a moment of all sessions into the past."""
    statement = f"UPDATE sessions SET {column} = {column} - {minutes * 60_000}"  # noqa: S608
    async with admin.parts.database.writing() as db:
        await db.execute(text(statement))


async def refused(admin: Admin, kind: str) -> list[dict[str, object]]:
    """What the audit log says of refusals of a kind."""
    await admin.parts.housekeeper.put_refusals_down(datetime.now(UTC))
    found = await admin.http.get(f"/v1/audit?kind=access&name={kind}")
    items: list[dict[str, object]] = found.json()["items"]
    return items


# --- sessions -------------------------------------------------------------------------------------


async def test_a_session_ends_when_its_person_is_away(either_admin: Admin) -> None:
    """After the idle time; a page that looks again by itself does not count, a person does."""
    browser = await a_browser(either_admin)
    await move(either_admin, "last_seen_at", 59)
    by_itself = {"X-Unattended": "true"}
    assert (await browser.get("/v1/calls", headers=by_itself)).status_code == 200
    await move(either_admin, "last_seen_at", 2)
    assert (await browser.get("/v1/calls")).status_code == 401
    again = await a_browser(either_admin)
    await move(either_admin, "last_seen_at", 59)
    assert (await again.get("/v1/calls")).status_code == 200
    await move(either_admin, "last_seen_at", 59)
    assert (await again.get("/v1/calls")).status_code == 200


async def test_a_session_ends_after_twelve_hours(admin: Admin) -> None:
    """Whatever its person does."""
    browser = await a_browser(admin)
    await move(admin, "expires_at", 12 * 60)
    assert (await browser.get("/v1/calls")).status_code == 401


async def test_sessions_are_listed_and_ended(either_admin: Admin) -> None:
    """One's own; an admin sees everybody's; ending one shuts it out at once."""
    secret = await either_admin.key("viewer", "Vera")
    here, there = [await a_browser(either_admin, secret) for _ in range(2)]
    boss = await a_browser(either_admin)
    mine = (await here.get("/v1/sessions")).json()["items"]
    assert [(one["owner"], one["kind"], one["current"]) for one in mine] == [
        ("Vera", "key", False),
        ("Vera", "key", True),
    ]
    assert "Firefox" in mine[0]["agent"]
    assert (await here.get("/v1/sessions?everyone=true")).status_code == 403
    everybody = (await boss.get("/v1/sessions?everyone=true")).json()["items"]
    assert {one["owner"] for one in everybody} == {"Vera", "tests"}
    (of_boss,) = [one["id"] for one in everybody if one["owner"] == "tests"]
    assert (await here.delete(f"/v1/sessions/{of_boss}")).status_code == 404
    assert (await here.delete(f"/v1/sessions/{mine[0]['id']}")).status_code == 204
    assert (await there.get("/v1/calls")).status_code == 401
    assert (await here.get("/v1/calls")).status_code == 200
    assert (await here.delete("/v1/sessions?everyone=true")).status_code == 403
    assert (await boss.delete("/v1/sessions?everyone=true")).json() == {"ended": 1}
    assert (await here.get("/v1/calls")).status_code == 401
    assert (await boss.get("/v1/calls")).status_code == 200


async def test_all_others_of_mine_end(admin: Admin) -> None:
    """And nobody else's."""
    secret = await admin.key("operator")
    here, there, other = (
        await a_browser(admin, secret),
        await a_browser(admin, secret),
        await a_browser(admin),
    )
    assert (await here.delete("/v1/sessions")).json() == {"ended": 1}
    assert [(await one.get("/v1/calls")).status_code for one in (here, there, other)] == [
        200,
        401,
        200,
    ]


async def test_keys_and_trunks_need_a_fresh_log_in(either_admin: Admin) -> None:
    """Of a session; a program's key needs none."""
    browser = await a_browser(either_admin)
    await move(either_admin, "authenticated_at", 16)
    body = {"name": "wallboard", "role": "viewer"}
    for method, path in (
        ("POST", "/v1/api_keys"),
        ("DELETE", "/v1/api_keys/x"),
        ("POST", "/v1/trunks"),
        ("PATCH", "/v1/trunks/twilio"),
        ("DELETE", "/v1/trunks/twilio"),
        ("PUT", "/v1/import"),
    ):
        answer = await browser.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "log_in_again"), path
    other = {"secret": await either_admin.key("admin")}
    wrong = await browser.post("/v1/session:confirm", json=other)
    assert (wrong.status_code, wrong.json()["code"]) == (401, "unauthorized")
    mine = {"secret": either_admin.secret}
    assert (await browser.post("/v1/session:confirm", json=mine)).status_code == 204
    assert (await browser.post("/v1/api_keys", json=body)).status_code == 201
    assert (await either_admin.http.post("/v1/session:confirm", json=mine)).status_code == 409


async def test_cookies_over_https(sqlite: Filled, redis_url: str) -> None:
    """No other host can have set them, and browsers are told to use nothing but https."""
    more = {"admin_secure_cookies": True}
    async with serving(sqlite.url, redis_url, sqlite.secret, **more) as admin:
        browser = httpx.AsyncClient(transport=admin.http._transport, base_url="https://admin")
        answer = await browser.post("/v1/session", json={"secret": admin.secret})
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith(f"__Host-{COOKIE}=")
        for part in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
            assert part in cookie
        assert "Domain" not in cookie
        assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]
        assert (await browser.get("/v1/session")).status_code == 200
        plain = browser.cookies[f"__Host-{COOKIE}"]
        browser.cookies.clear()
        browser.cookies.set(COOKIE, plain)  # a name that any page of the domain could set
        assert (await browser.get("/v1/session")).status_code == 401


@pytest.mark.parametrize("path", ["/v1/session", "/admin", "/admin/static/main.js", "/healthz"])
async def test_headers_of_every_answer(admin: Admin, path: str) -> None:
    """Nothing frames it, nothing guesses its type, no window of another site holds on to it."""
    headers = (await admin.http.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Strict-Transport-Security" not in headers  # a trial without https


async def test_metrics_are_not_on_the_public_port(admin: Admin) -> None:
    """They have a port of their own."""
    assert (await admin.http.get("/metrics")).status_code == 404
    with program.metrics_page("127.0.0.1", 0):
        pass


# --- live streams ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["key revoked", "session ended", "key revoked, by session"])
async def test_a_watcher_is_shut_out(admin: Admin, how: str, monkeypatch) -> None:
    """Within a few seconds, also while nothing is said."""
    monkeypatch.setattr("callcenter.admin.api.calls.LOOK_EVERY_S", 0.1)
    journal = Journal(admin.parts.redis)
    call = f"live-{how.replace(' ', '-')}"
    journal.note(call, "call_announced", {})
    assert await journal.flush()
    secret = await admin.key("viewer", "leaver")
    watcher = await a_browser(admin, secret) if "session" in how else admin.acting(secret)
    await until(admin, call, "ringing")
    watching = asyncio.create_task(watcher.get(f"/v1/calls/{call}/stream"))
    await asyncio.sleep(0.5)
    assert not watching.done()
    if how == "session ended":
        await admin.http.delete("/v1/sessions?everyone=true")
    else:
        await admin.http.delete("/v1/api_keys/leaver")
    answer = await asyncio.wait_for(watching, 5)
    assert "event: end" not in answer.text  # the call goes on: browsers ask again, and hear why
    assert (await watcher.get(f"/v1/calls/{call}/stream")).status_code == 401


async def test_a_trial_s_number_stays_with_who_made_it(admin: Admin) -> None:
    """Whoever knows it may call the draft: lists, events and the audit log do not tell."""
    called = (await admin.http.post("/v1/personas/bank/trials")).json()["called"]
    journal = Journal(admin.parts.redis)
    journal.note("tried", "call_announced", {"called": called})
    assert await journal.flush()
    await until(admin, "tried", "ringing")
    for path in ("/v1/calls/tried", "/v1/calls/tried/events", "/v1/audit?limit=200"):
        assert called not in (await admin.http.get(path)).text
    assert (await admin.http.get("/v1/calls/tried")).json()["called"] == "trial-"


# --- traces ---------------------------------------------------------------------------------------


async def test_refusals_are_in_the_audit_log(either_admin: Admin) -> None:
    """One entry for many of one kind; who it was where that is known; no secret."""
    guess = "pcc_abcdefgh_" + "x" * 43
    stranger = either_admin.acting(guess)
    for _ in range(12):
        await stranger.get("/v1/calls")
        await stranger.post("/v1/session", json={"secret": guess})
    viewer = either_admin.acting(await either_admin.key("viewer", "Vera"))
    for _ in range(3):
        await viewer.get("/v1/audit")
    browser = await a_browser(either_admin)
    del browser.headers["X-CSRF-Token"]
    await browser.post("/v1/numbers", json={"name": "+15550166", "title": "x"})
    (guessed,) = await refused(either_admin, "bad_key")
    assert guessed["after"]["count"] == 12
    assert guessed["after"]["last"] == "pcc_abcdefgh"
    assert guessed["actor_kind"] == "nobody"
    assert guessed["address"] == "127.0.0.1"
    (logged_in,) = await refused(either_admin, "bad_login")
    assert logged_in["after"]["count"] == 12
    (limited,) = await refused(either_admin, "rate_limited")
    assert limited["after"]["count"] == 14
    (lowly,) = await refused(either_admin, "role_too_low")
    assert (lowly["actor"], lowly["actor_kind"], lowly["after"]["count"]) == ("Vera", "key", 3)
    assert lowly["after"]["last"] == "GET /v1/audit"
    (forged,) = await refused(either_admin, "csrf")
    assert forged["actor"] == "tests"
    assert "x" * 43 not in (await either_admin.http.get("/v1/audit?limit=200")).text


async def test_refusals_survive_a_database_that_is_away(admin: Admin, monkeypatch) -> None:
    """They are written when it is back; the loop goes on."""
    await admin.acting("guessed").get("/v1/calls")

    def away(self):
        raise OSError("away")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "writing", away)
        with pytest.raises(OSError, match="away"):
            await admin.parts.housekeeper.put_refusals_down(datetime.now(UTC))
    (entry,) = await refused(admin, "bad_key")
    assert entry["after"]["count"] == 1


async def test_who_acts_is_told_by_id(admin: Admin) -> None:
    """The program's own entries have another kind than a key's, whatever its name."""
    made = (await admin.http.post("/v1/api_keys", json={"name": "Ann", "role": "admin"})).json()
    ann = admin.acting(made["secret"])
    await ann.post("/v1/numbers", json={"name": "+15550167", "title": "x"})
    entry = (await admin.http.get(f"/v1/audit?actor_id={made['id']}")).json()["items"][0]
    assert (entry["actor"], entry["actor_kind"], entry["object_kind"]) == ("Ann", "key", "number")
    own = (await admin.http.get("/v1/audit?actor=system")).json()["items"][0]
    assert (own["actor_kind"], own["actor_id"]) == ("system", "")


@pytest.mark.parametrize("name", ["system", "SYSTEM", "first admin", "sys\u200btem", " x"])
async def test_names_that_no_key_has(admin: Admin, name: str) -> None:
    """422, with the reason."""
    answer = await admin.http.post("/v1/api_keys", json={"name": name, "role": "admin"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/body/name")
