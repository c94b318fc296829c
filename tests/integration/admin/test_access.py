"""Who may do what: keys, sessions, roles, rate limits, and the audit log of every write."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from callcenter.admin.program import description
from callcenter.admin.security.sessions import COOKIE
from tests.integration.admin.conftest import Admin, Filled

WRITES = ("post", "put", "patch", "delete")
READ_ONLY_POSTS = {"/v1/personas:validate", "/v1/personas:preview", "/v1/routes:simulate"}
OWN_SESSION = "/v1/session"


def operations() -> list[tuple[str, str, str]]:
    """Method, path and least role of every operation of the API."""
    return [
        (method, path, operation.get("x-role", "viewer" if method == "get" else "admin"))
        for path, methods in description()["paths"].items()
        for method, operation in methods.items()
    ]


async def everything(admin: Admin) -> str:
    """All of the configuration, the keys and the number of audit events."""
    keys = (await admin.http.get("/v1/api_keys?limit=200")).json()["items"]
    names = sorted(f"{key['name']} {key['revoked_at']}" for key in keys)
    audit = (await admin.http.get("/v1/audit?limit=200")).json()["items"]
    audit = [event for event in audit if event["action"] != "refuse"]
    return (await admin.http.get("/v1/export")).text + str(names) + str(len(audit))


@pytest.mark.timeout(60)
async def test_a_viewer_can_change_nothing(either_admin: Admin) -> None:
    """Every operation that writes, of the whole API, refuses the key; nothing has changed."""
    viewer = either_admin.acting(await either_admin.key("viewer"))
    before = await everything(either_admin)
    refused = 0
    for method, path, _ in operations():
        if method not in WRITES or path in READ_ONLY_POSTS or path.startswith(OWN_SESSION):
            continue
        url = path.format(reference="bank", number=1, call_id="x", delivery="x")
        response = await viewer.request(method, url, json={}, headers={"If-Match": "*"})
        assert (response.status_code, response.json()["code"]) == (403, "role_too_low"), url
        refused += 1
    assert refused > 35
    assert await everything(either_admin) == before


@pytest.mark.timeout(60)
async def test_nobody_gets_in_without_a_key(admin: Admin) -> None:
    """Every operation but the log-in says 401."""
    stranger = httpx.AsyncClient(transport=admin.http._transport, base_url="http://admin")
    for method, path, role in operations():
        if role != "public":
            response = await stranger.request(method, path.format(
                reference="x", number=1, call_id="x", delivery="x"))  # fmt: skip
            assert response.status_code == 401, path


async def test_an_operator_runs_the_floor(admin: Admin) -> None:
    """Hours and trials are an operator's, personas and keys are not."""
    operator = admin.acting(await admin.key("operator"))
    hours = {"name": "h", "title": "x", "time_zone": "UTC", "force": "open"}
    assert (await operator.post("/v1/schedules", json=hours)).status_code == 201
    assert (await operator.post("/v1/personas/bank/trials", json={})).status_code == 201
    assert (await operator.post("/v1/personas/bank/publish", json={})).status_code == 403
    assert (await operator.get("/v1/api_keys")).status_code == 403


@pytest.mark.timeout(30)
async def test_every_write_is_in_the_audit_log(either_admin: Admin) -> None:
    """With its actor, and what was there before and after."""
    http = either_admin.acting(await either_admin.key("admin", "Ann"))
    number = {"name": "+15550190", "title": "Desk", "persona": "bank"}
    await http.post("/v1/numbers", json=number)
    await http.patch("/v1/numbers/+15550190", json={"title": "New"}, headers={"If-Match": "*"})
    await http.delete("/v1/numbers/+15550190", headers={"If-Match": "*"})
    await http.post("/v1/personas/bank/publish", json={})
    await http.post("/v1/voices/clara/consent/revoke", json={"why": "asked to"})
    key = (await http.post("/v1/api_keys", json={"name": "Bob", "role": "viewer"})).json()
    await http.delete(f"/v1/api_keys/{key['id']}")
    events = (await http.get("/v1/audit?actor=Ann")).json()["items"]
    assert [(event["action"], event["object_name"]) for event in reversed(events)] == [
        ("create", "+15550190"),
        ("update", "+15550190"),
        ("delete", "+15550190"),
        ("publish", "bank"),
        ("revoke", "clara"),
        ("create", "Bob"),
        ("revoke", "Bob"),
    ]
    update = events[-2]
    assert (update["before"]["title"], update["after"]["title"]) == ("Desk", "New")
    assert key["secret"] not in str(events)


async def test_the_audit_log_cannot_be_changed(either_admin: Admin) -> None:
    """Not even by this program: the database itself refuses."""
    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit"):
        with pytest.raises(DBAPIError, match="append-only"):
            async with either_admin.parts.database.writing() as db:
                await db.execute(text(statement))


async def test_a_session_needs_its_csrf_token(admin: Admin) -> None:
    """The cookie alone reads; to write, the header is needed; logged out, it is over."""
    browser = httpx.AsyncClient(transport=admin.http._transport, base_url="http://admin")
    login = await browser.post("/v1/session", json={"secret": admin.secret})
    assert login.status_code == 201
    cookie = login.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert (await browser.get("/v1/personas")).status_code == 200
    number = {"name": "+15550191", "title": "x"}
    refused = await browser.post("/v1/numbers", json=number)
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
    who = (await browser.get("/v1/session")).json()
    assert who["csrf_token"] == login.json()["csrf_token"]
    token = {"X-CSRF-Token": who["csrf_token"]}
    assert (await browser.post("/v1/numbers", json=number, headers=token)).status_code == 201
    kept = browser.cookies[COOKIE]
    assert (await browser.delete("/v1/session", headers=token)).status_code == 204
    browser.cookies.set(COOKIE, kept)
    assert (await browser.get("/v1/personas")).status_code == 401


async def test_a_revoked_key_ends_its_sessions(admin: Admin) -> None:
    """At once."""
    secret = await admin.key("admin", "leaver")
    browser = httpx.AsyncClient(transport=admin.http._transport, base_url="http://admin")
    await browser.post("/v1/session", json={"secret": secret})
    assert (await browser.get("/v1/personas")).status_code == 200
    assert (await admin.http.delete("/v1/api_keys/leaver")).status_code == 204
    assert (await browser.get("/v1/personas")).status_code == 401
    assert (await admin.acting(secret).get("/v1/personas")).status_code == 401


async def test_the_last_admin_stays(admin: Admin) -> None:
    """Nobody locks everybody out."""
    response = await admin.http.delete("/v1/api_keys/tests")
    assert (response.status_code, response.json()["code"]) == (409, "last_admin")


async def test_a_key_expires(admin: Admin) -> None:
    """And is not made for the past."""
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    body = {"name": "old", "role": "viewer", "expires_at": past}
    assert (await admin.http.post("/v1/api_keys", json=body)).status_code == 422
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    key = (await admin.http.post("/v1/api_keys", json={**body, "expires_at": soon})).json()
    assert (await admin.acting(key["secret"]).get("/v1/calls")).status_code == 200
    async with admin.parts.database.writing() as db:
        await db.execute(text("UPDATE api_keys SET expires_at = 1 WHERE name = 'old'"))
    assert (await admin.acting(key["secret"]).get("/v1/calls")).status_code == 401


async def test_guessing_is_slowed_down(admin: Admin) -> None:
    """After ten failures an address has to wait, but who has a key is not locked out."""
    stranger = admin.acting("pcc_aaaaaaaa_" + "x" * 43)
    seen = [(await stranger.get("/v1/personas")).status_code for _ in range(12)]
    assert seen == [401] * 10 + [429] * 2
    waits = await stranger.post("/v1/session", json={"secret": "x"})
    assert (waits.status_code, waits.headers["Retry-After"]) == (429, "60")
    assert (await admin.http.get("/v1/personas")).status_code == 200


def test_secrets_are_not_stored(filled_sqlite: Filled) -> None:
    """The database holds hashes only."""
    stored = Path(filled_sqlite.url.removeprefix("sqlite:///")).read_bytes()
    assert filled_sqlite.secret.encode() not in stored
    assert filled_sqlite.secret[:12].removeprefix("pcc_").encode() in stored
