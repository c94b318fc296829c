"""How fast is the history of calls: 10,000 calls in SQLite, lists and searches over HTTP.

Prints one JSON line: medians in ms of each question, and their ratios to that of an empty list,
which is the API's own cost. Run: python tests/bench/history.py
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta

import httpx
from sqlalchemy import insert

from callcenter.admin import program
from callcenter.admin.security.rates import RateLimits
from callcenter.admin.store import calls, tables
from callcenter.settings import AdminSettings

CALLS = 10_000
REPEATS = 25
QUESTIONS = {
    "empty": "persona=nobody",
    "latest": "",
    "full_page": "limit=200",
    "by_number": "q=5550177",
    "by_id": "q=CA00042",
    "no_hit": "q=zzzzzz",
    "persona_and_time": "persona=bank&since=2026-11-10T00:00:00Z&until=2026-11-12T00:00:00Z",
    "failed": "outcome=failed",
}


def rows() -> list[dict]:
    """Calls of the last twenty days."""
    draw, begin = random.Random(1), datetime(2026, 11, 1, tzinfo=UTC)
    return [
        {
            **calls._NOTHING,
            "id": f"CA{index:05d}{draw.getrandbits(64):016x}",
            "state": "ended",
            "started_at": begin + timedelta(seconds=172 * index),
            "ended_at": begin + timedelta(seconds=172 * index + 90),
            "trunk": "twilio",
            "called": f"+1555{draw.randrange(10**7):07d}",
            "caller": f"+1500{draw.randrange(10**7):07d}",
            "persona": draw.choice(["bank", "hotel", "clinic", "utility"]),
            "persona_version": "1",
            "outcome": draw.choices(["answered", "failed"], [95, 5])[0],
            "duration_s": 90.0,
            "setup_s": 0.5,
        }
        for index in range(CALLS)
    ]


async def measure(folder: str) -> dict[str, float]:
    """Medians in ms."""
    settings = AdminSettings.load(
        link_secret="x" * 32, admin_secret="x" * 32, database_url=f"sqlite:///{folder}/bench.db"
    )
    parts, shown = program.build(settings, RateLimits(10**6, 10**6)), list[str]()
    await program.prepare(parts, shown.append)
    async with parts.database.writing() as db:
        await db.execute(insert(tables.calls), rows())
    transport = httpx.ASGITransport(program.create_app(parts, shown.append))
    headers = {"Authorization": f"Bearer {shown[0]}"}
    medians = {}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://admin", headers=headers
    ) as http:
        for name, query in QUESTIONS.items():
            medians[name] = await median_ms(http, f"/v1/calls?{query}")
    await parts.database.close()
    return medians


async def median_ms(http: httpx.AsyncClient, url: str) -> float:
    """Of one question, asked again and again."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        response = await http.get(url)
        taken.append(1_000 * (time.perf_counter() - began))
        assert response.status_code == 200, response.text
    return round(statistics.median(taken), 2)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        medians = asyncio.run(measure(folder))
    ratios = {name: round(value / medians["empty"], 2) for name, value in medians.items()}
    slowest = max(medians.values())
    print(json.dumps({"calls": CALLS, "median_ms": medians, "ratio_to_empty": ratios,
                      "slowest_median_ms": slowest, "holds_100_ms": slowest <= 100}))  # fmt: skip
