"""A day of calls for the console to show, written as gateways' journal entries are."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

from callcenter.admin.store import calls
from callcenter.admin.store.database import Database
from callcenter.records.journal import Entry

CALLS = 48
DAY_S = 86_400.0
PERSONAS = ("bank", "hotel", "clinic", "utility")
TALKED = "CA0000talked"  # the call with something of every kind in it
LIVE = "0000live"  # one over SIP that has not ended
WORDS = (
    "Good morning, this is Julia. How may I help you?",
    "Of course. Your account has two cards, and the second one",
    "I have locked the first card. Is there anything else?",
)


async def write(database_url: str) -> None:
    """Writes the day that ends now."""
    draw, now_s = random.Random(7), time.time()
    entries = [entry for index in range(CALLS) for entry in _call(draw, index, now_s)]
    entries += _talk(now_s - 300.0)
    entries += _go_on(now_s - 30.0)
    database = Database(database_url)
    async with database.writing() as db:
        await calls.put_down(db, [(f"0-{index:08d}", one) for index, one in enumerate(entries)])
    await database.close()


def _call(draw: random.Random, index: int, now_s: float) -> Iterator[Entry]:
    call_id, at_s = f"CA{index:04d}{draw.getrandbits(64):016x}", now_s - DAY_S * draw.random()
    if index % 12 == 0:
        yield Entry(call_id, at_s, "call_refused", _refused(draw))
        return
    yield Entry(call_id, at_s, "call_announced", _announced(draw.choice(PERSONAS), draw))
    yield Entry(call_id, at_s, "session_ready", {"setup_s": draw.uniform(0.05, 0.4)})
    for _ in range(draw.randrange(4)):
        gap = {"kind": "TurnGap", "gap_s": draw.uniform(0.2, 1.1)}
        yield Entry(call_id, at_s + 5.0, "turn", gap)
    if draw.random() < 0.4:
        yield Entry(call_id, at_s + 6.0, "turn", {"kind": "BargeIn"})
        latency = {"kind": "Yielded", "latency_s": draw.uniform(0.1, 0.5)}
        yield Entry(call_id, at_s + 6.3, "turn", latency)
    length_s = draw.uniform(20.0, 240.0)
    end = ("failed", "lost") if draw.random() < 0.1 else ("answered", "hangup")
    yield Entry(call_id, at_s + length_s, "call_ended", _ended(*end, length_s))


def _talk(at_s: float) -> Iterator[Entry]:
    """Both talk, the caller barges in, the agent yields, once it does not."""
    happened: list[tuple[float, str, dict[str, Any]]] = [
        (0.0, "call_announced", _announced("bank", random.Random(1))),
        (0.1, "call_began", {"gateway_id": "gateway-1", "worker_id": "worker-1"}),
        (0.2, "session_ready", {"setup_s": 0.18}),
        (0.4, "first_sound", {"after_s": 0.21}),
        (9.0, "turn", {"kind": "TurnGap", "gap_s": 0.42}),
        (15.0, "turn", {"kind": "BargeIn"}),
        (15.3, "turn", {"kind": "Yielded", "latency_s": 0.31}),
        (24.0, "turn", {"kind": "MissedBargeIn"}),
        (31.0, "call_ended", _ended("answered", "hangup", 31.0)),
    ]
    for party, spans in {"agent": SPOKEN, "caller": ASKED}.items():
        for begin_s, end_s in spans:
            happened.append((begin_s, "speech", {"party": party, "speaking": True}))
            happened.append((end_s, "speech", {"party": party, "speaking": False}))
    for (begin_s, _), sentence in zip(SPOKEN, WORDS, strict=True):
        for place, word in enumerate(sentence.split()):
            happened.append((begin_s + 0.4 * place, "text", {"piece": f" {word}"}))
    for offset_s, kind, data in sorted(happened, key=lambda one: one[0]):
        yield Entry(TALKED, at_s + offset_s, kind, data)


def _go_on(at_s: float) -> Iterator[Entry]:
    sip = {**_announced("bank", random.Random(2)), "transport": "sip", "trunk": "carrier"}
    yield Entry(LIVE, at_s, "call_announced", sip)
    yield Entry(LIVE, at_s + 0.2, "session_ready", {"setup_s": 0.18})
    yield Entry(LIVE, at_s + 9.0, "keys", {"pressed": 3})


SPOKEN = ((0.4, 4.8), (9.0, 15.3), (19.0, 26.0))
ASKED = ((5.2, 8.6), (15.0, 18.4), (24.0, 25.0), (27.5, 30.0))


def _announced(persona: str, draw: random.Random) -> dict[str, Any]:
    return {
        "called": "+15550100",
        "caller": f"+1500555{draw.randrange(10_000):04d}",
        "trunk": "twilio",
        "persona": persona,
        "persona_version": "1",
        "voice": "clara",
    }


def _refused(draw: random.Random) -> dict[str, Any]:
    who = {name: _announced("", draw)[name] for name in ("called", "caller", "trunk")}
    return {**who, "gateway_id": "g", "outcome": "rejected_capacity", "code": "no_capacity"}


def _ended(outcome: str, code: str, length_s: float) -> dict[str, Any]:
    quality = {"packets_in": round(50 * length_s), "packets_lost": 3, "packets_concealed": 2}
    return {"outcome": outcome, "code": code, "duration_s": length_s, "quality": quality}
