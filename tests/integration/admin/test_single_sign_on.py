"""People log in at a real OpenID provider: who gets in as what, and what is turned away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import text

from callcenter.admin.security import people
from tests import oidc
from tests.integration.admin.conftest import Admin, Filled, serving
from tests.oidc import Provider

HOME = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """One for all tests that do not stop it."""
    with oidc.provider(HOME) as running:
        yield running


@asynccontextmanager
async def app_of(
    filled: Filled, redis_url: str, provider: Provider, **more: Any
) -> AsyncIterator[Admin]:
    """An admin app whose people log in there."""
    async with serving(filled.url, redis_url, filled.secret, **provider.settings(**more)) as admin:
        yield admin


@pytest.fixture
async def app(sqlite: Filled, redis_url: str, provider: Provider) -> AsyncIterator[Admin]:
    """The same on SQLite."""
    async with app_of(sqlite, redis_url, provider) as admin:
        yield admin


@pytest.fixture
async def either_app(
    any_database: Filled, redis_url: str, provider: Provider
) -> AsyncIterator[Admin]:
    """The same on each kind of database."""
    async with app_of(any_database, redis_url, provider) as admin:
        yield admin


def a_browser(admin: Admin) -> httpx.AsyncClient:
    """Somebody's browser, before they log in."""
    return httpx.AsyncClient(transport=admin.http._transport, base_url="http://admin")


async def log_in(
    browser: httpx.AsyncClient, provider: Provider, person: str, how: str = ""
) -> httpx.Response:
    """Begins, goes to the provider and comes back; the answer to the way back."""
    begun = await browser.get(f"/admin/oidc/start{how}")
    assert begun.status_code == 303, begun.text
    back = await provider.visit(begun.headers["Location"], person)
    return await browser.get(back.removeprefix(HOME))


def problem_of(answer: httpx.Response) -> str:
    """The code that the log-in page shows in words."""
    place = answer.headers["Location"]
    assert place.startswith("/admin?problem="), place
    return place.partition("=")[2]


async def test_a_person_gets_in(either_app: Admin, provider: Provider) -> None:
    """With their role, under their e-mail address, to where they wanted to go; and leaves again."""
    browser = a_browser(either_app)
    answer = await log_in(browser, provider, "ann", "?next=/calls%3Fq%3D1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/calls?q=1")
    cookies = answer.headers.get_list("set-cookie")
    assert any("HttpOnly" in one and "SameSite=strict" in one for one in cookies)
    who = (await browser.get("/v1/session")).json()
    assert (who["name"], who["role"], who["kind"]) == ("ann@example.com", "admin", "person")
    token = {"X-CSRF-Token": who["csrf_token"]}
    number = {"name": "+15550177", "title": "Ann's"}
    assert (await browser.post("/v1/numbers", json=number, headers=token)).status_code == 201
    event = (await browser.get("/v1/audit?kind=number")).json()["items"][0]
    assert (event["actor"], event["actor_kind"]) == ("ann@example.com", "person")
    assert event["actor_id"].startswith("per_")
    leave = urlsplit(who["log_out_url"])
    assert leave.path == "/session/end"
    assert parse_qs(leave.query)["post_logout_redirect_uri"] == [f"{HOME}/admin"]
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(who["log_out_url"])).status_code == 200
    assert (await browser.delete("/v1/session", headers=token)).status_code == 204
    assert (await browser.get("/v1/session")).status_code == 401


async def test_a_person_has_the_provider_s_role(either_app: Admin, provider: Provider) -> None:
    """Of the roles that the claim holds; another one at the next log-in counts at once."""
    browser = a_browser(either_app)
    await log_in(browser, provider, "oskar")
    who = (await browser.get("/v1/session")).json()
    assert who["role"] == "operator"
    assert (await browser.get("/v1/audit")).status_code == 403
    other = a_browser(either_app)
    await log_in(other, provider, "oskar")
    async with either_app.parts.database.writing() as db:
        person = await people.put_down(
            db, provider.issuer, "oskar", "oskar@example.com", "viewer", _now()
        )
    assert person.id.startswith("per_")
    for one in (browser, other):
        assert (await one.get("/v1/session")).json()["role"] == "viewer"


async def test_nobody_without_a_role(app: Admin, provider: Provider) -> None:
    """The provider knows them; they do not get in, and that leaves a trace."""
    browser = a_browser(app)
    assert problem_of(await log_in(browser, provider, "nick")) == "no_role"
    assert (await browser.get("/v1/session")).status_code == 401
    await app.parts.housekeeper.put_refusals_down(_now())
    refused = (await app.http.get("/v1/audit?kind=access&name=single_sign_on")).json()["items"]
    assert refused[0]["after"]["count"] == 1


async def test_a_person_named_like_the_program(app: Admin, provider: Provider) -> None:
    """Is told apart by name, too."""
    browser = a_browser(app)
    await log_in(browser, provider, "system")
    assert (await browser.get("/v1/session")).json()["name"] == "system (person)"


async def test_an_admin_who_gets_in_ends_the_first_key(
    sqlite: Filled, redis_url: str, provider: Provider
) -> None:
    """It was only there to open the door."""
    async with app_of(sqlite, redis_url, provider) as admin:
        first = admin.acting(sqlite.first_secret)
        assert (await first.get("/v1/session")).status_code == 200
        await log_in(a_browser(admin), provider, "vera")
        assert (await first.get("/v1/session")).status_code == 200
        await log_in(a_browser(admin), provider, "ann")
        assert (await first.get("/v1/session")).status_code == 401


async def test_only_some_domains(sqlite: Filled, redis_url: str, provider: Provider) -> None:
    """Others are turned away, whatever their role."""
    more = {"oidc_email_domains": "example.com"}
    async with app_of(sqlite, redis_url, provider, **more) as admin:
        assert problem_of(await log_in(a_browser(admin), provider, "vera")) == "wrong_domain"
        answer = await log_in(a_browser(admin), provider, "ann")
        assert answer.headers["Location"] == "/admin/"


async def test_answers_of_other_log_ins(app: Admin, provider: Provider) -> None:
    """Another browser's, an earlier one of the same, one used already, one with a changed state."""
    mine, theirs = a_browser(app), a_browser(app)
    begun = await theirs.get("/admin/oidc/start")
    back = (await provider.visit(begun.headers["Location"], "ann")).removeprefix(HOME)
    assert problem_of(await mine.get(back)) == "other_state"  # log-in CSRF
    await mine.get("/admin/oidc/start")
    assert problem_of(await mine.get(back)) == "other_state"
    good = theirs.cookies["callcenter_login"]
    changed = back.replace("state=", "state=x")
    assert problem_of(await theirs.get(changed)) == "other_state"
    theirs.cookies.set("callcenter_login", good[:-2] + "AA")
    assert problem_of(await theirs.get(back)) == "other_state"
    theirs.cookies.clear()
    theirs.cookies.set("callcenter_login", good)
    assert (await theirs.get(back)).headers["Location"] == "/admin/"
    theirs.cookies.set("callcenter_login", good)
    assert problem_of(await theirs.get(back)) == "bad_answer"  # the code was used


async def test_refused_at_the_provider(app: Admin, provider: Provider) -> None:
    """Its error is told in our words; what it says is not repeated."""
    browser = a_browser(app)
    begun = await browser.get("/admin/oidc/start")
    state = parse_qs(urlsplit(begun.headers["Location"]).query)["state"][0]
    said = f"/admin/oidc/callback?error=access_denied&error_description=<b>&state={state}"
    assert problem_of(await browser.get(said)) == "denied"


async def test_the_way_back_stays_in_the_console(app: Admin, provider: Provider) -> None:
    """A log-in leads to no other site."""
    for place in ("//evil.example", "https://evil.example", "/%0d%0aSet-Cookie:x", "/\\evil"):
        answer = await log_in(a_browser(app), provider, "vera", f"?next={place}")
        assert answer.headers["Location"].startswith("/admin/")
        assert "evil" not in urlsplit(answer.headers["Location"]).netloc


@pytest.mark.computes_on_loop("it waits for the provider's process")
async def test_tokens_that_are_not_good(sqlite: Filled, redis_url: str) -> None:
    """With another nonce, and past their time."""
    with oidc.provider(HOME, wrongNonce=True) as provider:
        async with app_of(sqlite, redis_url, provider, oidc_clock_skew_s=0) as admin:
            assert problem_of(await log_in(a_browser(admin), provider, "ann")) == "bad_answer"
            provider.stop()
            provider.start(kid="second", idToken_s=1, slowToken_ms=2_500)
            assert problem_of(await log_in(a_browser(admin), provider, "ann")) == "bad_answer"
            await admin.parts.housekeeper.put_refusals_down(_now())
            refused = (await admin.http.get("/v1/audit?kind=access")).json()["items"]
            assert "ExpiredTokenError" in str(refused)


@pytest.mark.computes_on_loop("it waits for the provider's process")
async def test_the_provider_s_keys_change(sqlite: Filled, redis_url: str) -> None:
    """The next log-in reads the new ones."""
    with oidc.provider(HOME) as provider:
        async with app_of(sqlite, redis_url, provider) as admin:
            first = await log_in(a_browser(admin), provider, "ann")
            assert first.headers["Location"] == "/admin/"
            provider.stop()
            provider.start(kid="second")
            second = await log_in(a_browser(admin), provider, "ann")
            assert second.headers["Location"] == "/admin/"


@pytest.mark.computes_on_loop("it waits for the provider's process")
async def test_the_provider_is_down(sqlite: Filled, redis_url: str) -> None:
    """Said in words; keys and sessions that are there go on; it comes back by itself."""
    with oidc.provider(HOME) as provider:
        async with app_of(sqlite, redis_url, provider) as admin:
            browser = a_browser(admin)
            provider.stop()
            down = await browser.get("/admin/oidc/start")
            assert problem_of(down) == "unavailable"
            again, *_ = await asyncio.gather(*[browser.get("/admin/oidc/start") for _ in range(20)])
            assert problem_of(again) == "unavailable"
            assert (await admin.http.get("/v1/session")).status_code == 200
            provider.start()
            admin.parts.door.provider._app._failed_at = float("-inf")  # 5 s later
            answer = await log_in(browser, provider, "ann")
            assert answer.headers["Location"] == "/admin/"
            begun = await browser.get("/admin/oidc/start")
            back = await provider.visit(begun.headers["Location"], "ann")
            provider.stop()
            assert problem_of(await browser.get(back.removeprefix(HOME))) == "unavailable"
            assert (await browser.get("/v1/session")).status_code == 200


async def test_a_fresh_log_in(app: Admin, provider: Provider) -> None:
    """An old session changes no key; after the provider has asked anew, it does."""
    browser = a_browser(app)
    await log_in(browser, provider, "ann")
    await _age_sessions(app)
    token = {"X-CSRF-Token": (await browser.get("/v1/session")).json()["csrf_token"]}
    body = {"name": "wallboard", "role": "viewer"}
    refused = await browser.post("/v1/api_keys", json=body, headers=token)
    assert (refused.status_code, refused.json()["code"]) == (403, "log_in_again")
    confirm = await browser.post("/v1/session:confirm", json={"secret": "x"}, headers=token)
    assert (confirm.status_code, confirm.json()["code"]) == (409, "other_way")
    await log_in(browser, provider, "ann", "?fresh")
    token = {"X-CSRF-Token": (await browser.get("/v1/session")).json()["csrf_token"]}
    assert (await browser.post("/v1/api_keys", json=body, headers=token)).status_code == 201
    open_ones = (await browser.get("/v1/sessions")).json()["items"]
    assert [session["current"] for session in open_ones] == [True]  # the old one has ended


async def test_keys_may_be_for_programs_only(
    sqlite: Filled, redis_url: str, provider: Provider
) -> None:
    """The console takes none then; programs go on with theirs."""
    async with app_of(sqlite, redis_url, provider, admin_key_login=False) as admin:
        answer = await a_browser(admin).post("/v1/session", json={"secret": admin.secret})
        assert (answer.status_code, answer.json()["code"]) == (403, "key_login_off")
        assert (await admin.http.get("/v1/session")).status_code == 200


async def test_too_many_log_ins_from_one_address(
    sqlite: Filled, redis_url: str, provider: Provider
) -> None:
    """The provider is not asked for everybody's pleasure."""
    async with app_of(sqlite, redis_url, provider) as admin:
        browser = a_browser(admin)
        seen = [(await browser.get("/admin/oidc/start")).status_code for _ in range(62)]
        assert seen == [303] * 60 + [429] * 2


async def _age_sessions(app: Admin) -> None:
    """All log-ins were an hour ago."""
    async with app.parts.database.writing() as db:
        await db.execute(text("UPDATE sessions SET authenticated_at = authenticated_at - 3600000"))


def _now() -> datetime:
    return datetime.now(UTC)
