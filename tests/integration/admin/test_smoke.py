"""x"""

import pytest


@pytest.mark.timeout(60)
async def test_it(either_admin) -> None:
    """x."""
    h = either_admin.http
    for p in [
        "/v1/personas",
        "/v1/voices",
        "/v1/overview",
        "/v1/workers",
        "/v1/pools",
        "/v1/calls",
        "/v1/numbers",
        "/v1/audit",
        "/v1/api_keys",
        "/v1/templates",
        "/v1/schemas/persona",
        "/v1/session",
        "/v1/export",
    ]:
        r = await h.get(p)
        assert r.status_code == 200, (p, r.text)
    r = await h.get("/v1/personas/bank")
    print(r.headers)
    b = r.json()
    d = b["draft"]
    d["facts"]["company"] = "Another Bank"
    r2 = await h.put("/v1/personas/bank/draft", json=d, headers={"If-Match": r.headers["etag"]})
    assert r2.status_code == 200, r2.text
    r3 = await h.put("/v1/personas/bank/draft", json=d, headers={"If-Match": r.headers["etag"]})
    assert r3.status_code == 412, r3.text
    r = await h.post("/v1/personas/bank/publish", json={})
    assert r.status_code == 200, r.text
    assert r.json()["published"] == 2
    r = await h.get("/v1/personas/bank/diff?before=1&after=2")
    assert len(r.json()) == 1
    r = await h.post("/v1/personas/bank/rollback", json={})
    assert r.json()["published"] == 1, r.text
    r = await h.post("/v1/numbers", json={"name": "+15550100", "title": "x", "persona": "bank"})
    assert r.status_code == 201, r.text
    r = await h.post("/v1/routes:simulate", json={"called": "+15550100"})
    assert r.json()["answered"], r.text
    r = await h.get("/v1/overview")
    assert r.json()["published_revision"] == r.json()["revision"]
    y = (await h.get("/v1/export")).text
    r = await h.put("/v1/import", content=y, headers={"Content-Type": "application/yaml"})
    assert r.status_code == 200, r.text
    assert r.json()["updated"] == 0 and r.json()["created"] == 0
