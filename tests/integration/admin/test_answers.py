"""What every answer carries: a request id, what is left of the rate, and the right headers."""

from tests.integration.admin.conftest import Admin


async def test_request_ids(admin: Admin) -> None:
    """One of a proxy's is kept if it is harmless; every other request gets a fresh one."""
    given = {"X-Request-Id": "edge-0123456789"}
    kept = await admin.http.get("/v1/calls", headers=given)
    assert kept.headers["X-Request-Id"] == "edge-0123456789"
    seen = set()
    for bad in ("short", "x" * 65, "with space 123", "new\tline-12345"):
        answer = await admin.http.get("/v1/nothing", headers={"X-Request-Id": bad})
        assert answer.status_code == 404
        seen.add(answer.headers["X-Request-Id"])
    assert len(seen) == 4
    assert all(one.startswith("req_") for one in seen)


async def test_what_is_left_of_the_rate(admin: Admin) -> None:
    """Goes down by one a request, and comes back within a minute."""
    first, second = [await admin.http.get("/v1/overview") for _ in range(2)]
    assert first.headers["RateLimit-Limit"] == "1200"
    left = [int(one.headers["RateLimit-Remaining"]) for one in (first, second)]
    assert left[0] - left[1] == 1
    assert 0 <= int(second.headers["RateLimit-Reset"]) <= 60
    stranger = await admin.acting("wrong").get("/v1/overview")
    assert "RateLimit-Limit" not in stranger.headers


async def test_methods_that_an_address_takes(admin: Admin) -> None:
    """All of them, though each has a route of its own."""
    answer = await admin.http.put("/v1/personas", json={})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert "see the header Allow" in answer.json()["detail"]
    answer = await admin.http.put("/v1/numbers/x", json={})
    assert answer.headers["Allow"] == "DELETE, GET, PATCH"


async def test_how_to_get_in(admin: Admin) -> None:
    """A 401 says by which scheme."""
    for secret in ("", "wrong"):
        answer = await admin.acting(secret).get("/v1/calls")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="admin"'
