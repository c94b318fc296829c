"""What the overview warns of, and what it does not."""

from datetime import UTC, datetime, timedelta

from callcenter.admin.store import calls
from callcenter.records.journal import Entry
from tests.integration.admin.conftest import Admin


async def codes(admin: Admin) -> dict[str, str]:
    """The alerts' texts by their codes."""
    overview = (await admin.http.get("/v1/overview")).json()
    return {alert["code"]: alert["text"] for alert in overview["alerts"]}


async def test_a_consent_that_ends_soon(admin: Admin) -> None:
    """Is told of while there is time; when it is over, who cannot answer is."""
    for days, code in ((60, ""), (5, "consent_ends"), (-1, "voice_blocked")):
        until = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        consent = {"kind": "synthetic", "subject": "x", "scope": "x", "expires_at": until,
                   "granted_at": "2026-01-01T00:00:00Z"}  # fmt: skip
        tag = {"If-Match": "*"}
        put = await admin.http.put("/v1/voices/clara/consent", json=consent, headers=tag)
        assert put.status_code == 200, put.text
        found = await codes(admin)
        assert {"consent_ends", "voice_blocked"} & found.keys() == ({code} if code else set())
        assert "clara" in found.get(code, "clara")
    assert "cannot answer: the consent for voice clara has expired" in found["voice_blocked"]


async def test_calls_that_fail(either_admin: Admin) -> None:
    """Three of a few are bad luck, the fourth one is an alert."""
    now_s = datetime.now(UTC).timestamp()
    failed = {"outcome": "failed", "code": "lost", "duration_s": 1.0}
    for number in range(4):
        assert "calls_fail" not in await codes(either_admin)
        async with either_admin.parts.database.writing() as db:
            entry = Entry(f"CA{number}", now_s, "call_ended", failed)
            await calls.put_down(db, [(f"{number}-0", entry)])
    assert (await codes(either_admin))["calls_fail"] == "4 of 4 calls failed in the last hour"


async def test_a_pool_without_a_worker(admin: Admin) -> None:
    """Nobody would answer."""
    assert "has no worker" in (await codes(admin))["no_worker"]


async def test_the_slow_end(either_admin: Admin) -> None:
    """95 of 100 calls were faster; the mean says nothing of the others."""
    now_s = datetime.now(UTC).timestamp()
    async with either_admin.parts.database.writing() as db:
        entries = []
        for number in range(100):
            call_id, setup_s = f"CA{number}", (number + 1) / 100
            gap = {"kind": "TurnGap", "gap_s": setup_s * 2}
            entries.append(Entry(call_id, now_s - 5, "session_ready", {"setup_s": setup_s}))
            entries.append(Entry(call_id, now_s - 5, "turn", gap))
        await calls.put_down(db, [(f"{at}-0", entry) for at, entry in enumerate(entries)])
    overview = (await either_admin.http.get("/v1/overview?hours=1")).json()
    assert (overview["setup_p95_s"], overview["turn_gap_p95_s"]) == (0.95, 1.9)
    last = overview["points"][-1]
    assert (last["setup_p95_s"], last["turn_gap_p95_s"], last["calls"]) == (0.95, 1.9, 100)
    assert overview["points"][0]["setup_p95_s"] is None


async def test_the_first_steps(admin: Admin) -> None:
    """Each is done when it is; nobody has called a new installation."""

    async def steps() -> dict[str, bool]:
        found: dict[str, bool] = (await admin.http.get("/v1/overview")).json()["first_steps"]
        return found

    assert (await steps())["call"] is False
    async with admin.parts.database.writing() as db:
        at_s = datetime.now(UTC).timestamp()
        await calls.put_down(db, [("1-0", Entry("CA1", at_s, "call_announced", {}))])
    assert (await steps())["call"] is True
