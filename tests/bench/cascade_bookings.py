"""Spoken bookings from the first word to the last: how many end with the right content.

The callers of `tests/data/cascade_callers/bookings.yaml` (8 kHz mu-law, pink noise 25 dB below the
speech, six synthetic voices) want one thing each. They answer what the agent asks, say yes to a
read-back that is right and correct one that is wrong. A booking is right when everything that the
caller wants was read back, the caller said yes, and the agent then closed it. Names are compared
loosely: a recogniser spells by ear.

    python -m tests.bench.cascade_bookings
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import SequenceMatcher
from itertools import cycle
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from engine.cascade.engine import CascadeEngine, CascadeSettings, load_parts
from engine.cascade.workshop import InlineWorkshop
from personas import library
from tests.bench.cascade_caller import Caller, call, session_spec, words
from tests.recordings import CALLERS, read_mulaw

VOICES = ("flite-slt", "kokoro-d", "flite-rms", "piper-joe", "festival-slt", "kokoro-f")
MAX_TURNS = 16
NAME_LIKENESS = 0.6

# What a question is about, by the agent's words; the first that a caller has an answer for counts.
ASKED = {
    "people": r"how many (people|guests|of you)|party",
    "nights": r"\bnights?\b",
    "days": r"how many (more )?days|how long",
    "class": r"compact|s ?u ?v|what (kind|type|class)|which car",
    "room": r"room number|which room|number of (your|the) room",
    "phone": r"phone number|number .*call",
    "code": r"booking number|reference|booking code",
    "tag": r"\btag\b",
    "card": r"\bcard\b|last four",
    "reading": r"meter|reading",
    "medicine": r"medicine|medication",
    "problem": r"problem|what is it about|what happened|wrong",
    "item": r"bring you|would you like|what may",
    "order": r"order",
    "address": r"address|street",
    "place": r"where",
    "time": r"\btimes?\b|o'clock|\bwhen\b",
    "date": r"\b(day|date|when)\b",
    "name": r"\bnames?\b|\bwho\b",
}
SHARED = ("yes", "no")  # the same words in every call of a voice
SPELL = r"\bspell"
READ_BACK = r"(right|correct)\W*$"
GUESS = r"is this about|did you mean|do you mean|would you like to|shall i|should i"
TROUBLE = r"sorry|didn't|not sure|understand|other words|put you through|colleague"


@dataclass
class Booking:
    """One caller's wish."""

    persona: str
    number: int
    voice: str
    entry: dict[str, Any]
    want: dict[str, str] = field(default_factory=dict)
    changed_mind: bool = False

    def recording(self, name: str) -> NDArray[np.int16]:
        """What the caller says under that name, int16 [n] at 24 kHz."""
        own = f"{self.persona}-{self.number}-{name}"
        return read_mulaw(
            CALLERS / "bookings" / f"{own if name not in SHARED else f'{name}-{self.voice}'}.wav"
        )

    def missing(self, said: str) -> list[str]:
        """Slots whose value is not in the agent's words."""
        return [slot for slot, value in self.want.items() if not fits(slot, value, said)]


def fits(slot: str, value: str, said: str) -> bool:
    """Whether a value was read back."""
    if slot != "name":
        return re.search(rf"\b({value})", said) is not None
    wanted = words(value)
    heard = said.split()
    size = len(wanted.split())
    spans = [" ".join(heard[i : i + n]) for n in (size, size + 1) for i in range(len(heard))]
    return any(SequenceMatcher(None, wanted, span).ratio() >= NAME_LIKENESS for span in spans)


def answer(booking: Booking, said: str, before: list[str]) -> list[str]:
    """What the caller says to that: names of recordings, one after the other.

    Args:
        booking: the caller's wish.
        said: by the agent.
        before: what the caller said last.
    """
    if re.search(READ_BACK, said):
        if "instead" in booking.entry and not booking.changed_mind:
            change = booking.entry["instead"]
            booking.changed_mind = True
            booking.want[change["slot"]] = change["want"]
            return ["instead"]
        missing = booking.missing(said)
        return ["no", missing[0]] if missing else ["yes"]
    if "name" in booking.entry["say"] and re.search(SPELL, said):
        return ["spelled"]
    for slot, pattern in ASKED.items():
        if slot in booking.entry["say"] and re.search(pattern, said):
            return [slot]
    return ["yes"] if re.search(GUESS, said) else before


def play(engine: CascadeEngine, booking: Booking, spec: Any) -> tuple[str, list[str]]:
    """One call; what came of it and both sides' turns."""
    caller: Caller = call(engine, spec)
    caller.listen()
    talk: list[str] = []
    say, agreed = ["open"], False
    outcome = "too_long"
    for _ in range(MAX_TURNS):
        talk.append(f"> {' '.join(say)}")
        caller.lines.clear()
        for name in say:
            caller.speak(booking.recording(name))
        caller.listen(limit_s=25.0)
        said = words(" ".join(line for _, line in caller.lines))
        talk.append(said)
        if agreed and not re.search(TROUBLE, said) and not re.search(READ_BACK, said):
            outcome = "right"
            break
        ended = [action for action in caller.actions if action in ("handoff", "hangup")]
        if ended:
            outcome = ended[0]
            break
        say = answer(booking, said, say)
        agreed = say == ["yes"] and re.search(READ_BACK, said) is not None
    engine.release(caller.slot)
    return outcome, talk


def bookings() -> list[Booking]:
    """All of them."""
    groups = yaml.safe_load((CALLERS / "bookings.yaml").read_text())
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%A").lower()
    found, voices = [], cycle(VOICES)
    for persona, entries in groups.items():
        for number, entry in enumerate(entries):
            want = {slot: value.format(tomorrow=tomorrow) for slot, value in entry["want"].items()}
            found.append(Booking(persona, number, next(voices), entry, want))
    return found


def main() -> None:
    """Plays all of them and prints one JSON line."""
    options = argparse.ArgumentParser()
    options.add_argument("--persona", default="", help="only this one's")
    options.add_argument("--verbose", action="store_true")
    chosen = options.parse_args()
    settings = CascadeSettings()
    engine = CascadeEngine(settings, load_parts(settings), InlineWorkshop())
    personas = library.load()
    outcomes: dict[str, Counter[str]] = {}
    for booking in bookings():
        if chosen.persona not in ("", booking.persona):
            continue
        spec = session_spec(personas, booking.persona, f"{booking.persona}-{booking.number}")
        outcome, talk = play(engine, booking, spec)
        outcomes.setdefault(booking.persona, Counter())[outcome] += 1
        if chosen.verbose and outcome != "right":
            print(
                f"\n{booking.persona} {booking.number} {booking.voice}: {outcome}", file=sys.stderr
            )
            print("\n".join(talk), file=sys.stderr)
    total = sum(sum(counts.values()) for counts in outcomes.values())
    right = sum(counts["right"] for counts in outcomes.values())
    print(
        json.dumps(
            {
                "bench": "cascade_bookings",
                "bookings": total,
                "right": right,
                "share_right": round(right / max(total, 1), 3),
                "hung_up": sum(counts["hangup"] for counts in outcomes.values()),
                "by_persona": {name: counts["right"] for name, counts in outcomes.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
