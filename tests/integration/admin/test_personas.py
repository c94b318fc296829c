"""A persona's life: drafted, published, rolled back; on both kinds of databases."""

import asyncio

import pytest

from tests.integration.admin.conftest import Admin

pytestmark = pytest.mark.timeout(40)


async def draft_of(admin: Admin, name: str) -> tuple[dict, dict]:
    """A persona's draft, and the header that a change of it needs."""
    response = await admin.http.get(f"/v1/personas/{name}")
    return response.json()["draft"], {"If-Match": response.headers["ETag"]}


async def say(admin: Admin, name: str, greeting: str) -> dict:
    """Changes the greeting of a draft."""
    _, headers = await draft_of(admin, name)
    body = {"draft": {"greeting": greeting}}
    response = await admin.http.patch(f"/v1/personas/{name}", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


async def test_from_a_template_to_a_rollback(either_admin: Admin) -> None:
    """Created, published, changed, published, compared, rolled back; versions never change."""
    http = either_admin.http
    body = {"template": "hotel", "name": "seaside", "title": "Seaside hotel"}
    created = await http.post("/v1/personas", json=body)
    assert created.status_code == 201
    assert created.json()["published"] is None
    first = await http.post("/v1/personas/seaside/publish", json={"comment": "first"})
    assert first.json()["published"] == 1
    await say(either_admin, "seaside", "{{company}}, good morning, this is {{agent_name}}.")
    second = await http.post("/v1/personas/seaside/publish", json={"comment": "second"})
    assert second.json()["published"] == 2
    changes = (await http.get("/v1/personas/seaside/diff?before=1&after=2")).json()
    assert [change["pointer"] for change in changes] == ["/greeting"]
    back = await http.post("/v1/personas/seaside/rollback", json={})
    assert back.json()["published"] == 1
    again = await http.post("/v1/personas/seaside/rollback", json={})
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_roll_back")
    versions = (await http.get("/v1/personas/seaside/versions")).json()
    assert [(v["number"], v["comment"]) for v in versions] == [(2, "second"), (1, "first")]


async def test_an_unchanged_draft_makes_no_new_version(either_admin: Admin) -> None:
    """Publishing twice is publishing once."""
    for _ in range(2):
        response = await either_admin.http.post("/v1/personas/bank/publish", json={})
        assert response.json()["published"] == 1


async def test_two_admins_at_once(either_admin: Admin) -> None:
    """One of two changes on the same ETag is stored; the other one is told, not lost."""
    draft, headers = await draft_of(either_admin, "bank")

    async def change(greeting: str) -> int:
        body = {**draft, "greeting": f"{{{{company}}}}, {{{{agent_name}}}}. {greeting}"}
        response = await either_admin.http.put(
            "/v1/personas/bank/draft", json=body, headers=headers
        )
        return response.status_code

    assert sorted(await asyncio.gather(change("Hello."), change("Welcome."))) == [200, 412]


async def test_a_change_needs_a_tag(admin: Admin) -> None:
    """Without If-Match nobody knows what the change is based on."""
    response = await admin.http.patch("/v1/personas/bank", json={"labels": ["x"]})
    assert (response.status_code, response.json()["code"]) == (428, "if_match_required")


async def test_a_version_in_use_is_not_deleted(either_admin: Admin) -> None:
    """The answer names who uses it."""
    http = either_admin.http
    response = await http.delete("/v1/personas/bank/versions/1")
    assert response.status_code == 409
    assert response.json()["users"] == ["persona bank (published)"]
    await say(either_admin, "bank", "{{company}}, {{agent_name}}.")
    await http.post("/v1/personas/bank/publish", json={})
    target = {"kind": "personas", "personas": [{"persona": "bank", "version": 1}]}
    body = {"name": "old_bank", "title": "Old bank", "target": target}
    assert (await http.post("/v1/routes", json=body)).status_code == 201
    pinned = await http.delete("/v1/personas/bank/versions/1")
    assert pinned.json()["users"] == ["route old_bank"]
    route = await http.get("/v1/routes/old_bank")
    tag = {"If-Match": route.headers["ETag"]}
    assert (await http.delete("/v1/routes/old_bank", headers=tag)).status_code == 204
    assert (await http.delete("/v1/personas/bank/versions/1")).status_code == 204


async def test_a_persona_in_use_is_neither_deleted_nor_archived(admin: Admin) -> None:
    """A number leads to it."""
    number = {"name": "+15550199", "title": "Front desk", "persona": "hotel"}
    assert (await admin.http.post("/v1/numbers", json=number)).status_code == 201
    _, tag = await draft_of(admin, "hotel")
    for response in (
        await admin.http.delete("/v1/personas/hotel", headers=tag),
        await admin.http.post("/v1/personas/hotel/archive", json={}),
    ):
        assert response.status_code == 409
        assert response.json()["users"] == ["number +15550199"]


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"role_text": "You work for {{nobody}}."}, "is not defined"),
        ({"voice": "nobody"}, "there is no voice 'nobody'"),
        ({"limits": {"max_call_s": 1}}, "Use 10 or more"),
        ({"spelling": "x"}, "Unknown key"),
        ({"name": "other"}, "keeps its name"),
    ],
)
async def test_a_draft_that_cannot_be_used_is_refused(admin: Admin, patch, words) -> None:
    """With what is wrong and where."""
    _, tag = await draft_of(admin, "bank")
    response = await admin.http.patch("/v1/personas/bank", json={"draft": patch}, headers=tag)
    assert response.status_code == 422
    assert words in response.text
    assert response.json()["errors"][0]["pointer"]
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_an_editor_asks_while_one_types(admin: Admin) -> None:
    """Nothing is stored; the token count stands against the budget."""
    draft, _ = await draft_of(admin, "bank")
    good = (await admin.http.post("/v1/personas:validate", json={"content": draft})).json()
    assert good["valid"]
    assert 0 < good["prompt_tokens"] <= good["max_prompt_tokens"] == 300
    long = {**draft, "role_text": draft["role_text"] + " Very long words." * 100}
    _, tag = await draft_of(admin, "bank")
    refused = await admin.http.put("/v1/personas/bank/draft", json=long, headers=tag)
    assert refused.status_code == 422
    assert "text tokens, at most 300" in refused.text
    bad = (await admin.http.post("/v1/personas:validate", json={"content": long})).json()
    assert not bad["valid"]
    assert bad["prompt_tokens"] > 300
    shown = await admin.http.post(
        "/v1/personas:preview", json={"content": draft, "variables": {"customer_name": "Ann Lee"}}
    )
    assert "Ann Lee" in shown.json()["role_text"]


async def test_a_repeated_request_gets_the_same_answer(either_admin: Admin) -> None:
    """One persona, not two; another body under the same key is refused."""
    http = either_admin.http
    key = {"Idempotency-Key": "make-one"}
    body = {"template": "hotel", "name": "one"}
    first = await http.post("/v1/personas", json=body, headers=key)
    second = await http.post("/v1/personas", json=body, headers=key)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.json() == first.json()
    other = await http.post("/v1/personas", json={**body, "name": "two"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_trial_can_be_called_for_a_while(admin: Admin) -> None:
    """The draft answers under a made-up number, as the gateways' own code routes it."""
    await say(admin, "bank", "{{company}}, this is {{agent_name}} on trial.")
    trial = (await admin.http.post("/v1/personas/bank/trials", json={})).json()
    found = await admin.http.post("/v1/routes:simulate", json={"called": trial["called"]})
    assert found.json()["answered"]
    late = {"called": trial["called"], "at": "2190-01-01T00:00:00Z"}
    assert not (await admin.http.post("/v1/routes:simulate", json=late)).json()["answered"]
