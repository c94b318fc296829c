"""A form: the slots of one request on their way to being complete, read back and corrected.

Pure: a form is a value, and every step returns another. It does not know what is said around its
questions, nor how sure anybody is of anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import SequenceMatcher
from typing import Final

from engine.cascade.script import Intent, Slot
from engine.cascade.slots import read_any, read_letters

# Asked after a miss, by the slot's kind; a slot's own `again` come first.
_AGAIN: Final[Mapping[str, tuple[str, ...]]] = {
    "date": ("Sorry, which day? You can say a weekday, or a date such as the third of May.",),
    "time": ("Sorry, at what time? You can say it like half past seven.",),
    "number": ("Sorry, I missed the number. {question}",),
    "digits": ("Sorry, please say the digits one by one, slowly. {question}",),
    "name": ("Sorry, could you spell the last name for me, letter by letter?",),
    "choice": ("Sorry, which one: {options}?",),
    "text": ("Sorry, could you say that once more, in a few words? {question}",),
}
_LAST_TRY: Final = "I'm sorry, the line makes it hard to hear. Once more, please: {question}"
SPELL: Final = "Sorry. Could you spell the last name for me, letter by letter?"

_REFUSAL: Final = re.compile(
    r"^(?:(?:oh|uh|um|well|sorry|wait)\b[ ,.]*)*"
    r"(?:(?:no|nope|nah|wrong|not quite|that's wrong|that is wrong|that's not right|actually|"
    r"i mean|i meant|i said|number(?= \d)|make it|make that|change it to|"
    r"it's|it is|please)\b[ ,.!]*)+",
    re.IGNORECASE,
)
# A correction is read by what it sounds like; these come first, for they name themselves.
_ORDER: Final = ("date", "time", "choice", "digits", "number")
_FREE: Final = ("name", "text")
_MAX_FREE_WORDS: Final = 12


@dataclass(frozen=True, slots=True)
class Form:
    """Slots of an intent.

    Attributes:
        intent: whose.
        values: slot -> value, as it is read back.
        asked: how often the open slot was asked.
        spelling: the name that is being spelled, or "".
        refused: how often a read-back was refused without a correction.
    """

    intent: Intent
    values: Mapping[str, str] = field(default_factory=dict)
    asked: int = 0
    spelling: str = ""
    refused: int = 0

    @property
    def open_slot(self) -> Slot | None:
        """The first slot without a value."""
        return next((slot for slot in self.intent.slots if slot.name not in self.values), None)

    def question(self) -> str:
        """Asks for the open slot, each time in other words."""
        slot = self.open_slot
        if slot is None:
            return ""
        if self.spelling:
            return SPELL
        wordings = (slot.question, *slot.again, *_AGAIN[slot.kind], _LAST_TRY)
        line = wordings[min(self.asked, len(wordings) - 1)]
        line = line.replace("{question}", slot.question)
        return filled(line.replace("{options}", _listed(slot.options)), self.values)

    def confirm(self) -> str:
        """Reads everything back."""
        return filled(self.intent.confirm, self.values)

    def begin(self, hypotheses: Sequence[str], now: datetime) -> Form:
        """Takes what the request itself has said along."""
        return replace(self, values=self._volunteered(hypotheses, now, self.intent.slots))

    def asks(self) -> Form:
        """The form once its open slot was asked for."""
        return replace(self, asked=self.asked + 1)

    def answered(self, hypotheses: Sequence[str], now: datetime) -> Form | None:
        """Takes the answer to the open question, and what came with it; None for a miss."""
        slot = self.open_slot
        if slot is None:
            return None
        value = self._read(slot, hypotheses, now, asked=True)
        if not value:
            return None
        if slot.kind == "name" and (self.spelling or self.asked > 1):
            value = _with_spelled(self.spelling, hypotheses) or value
        values = self._volunteered(hypotheses, now, self.intent.slots) if not self.spelling else {}
        later = {
            name: said
            for name, said in values.items()
            if name not in self.values and self._kind(name) != slot.kind
        }
        return replace(
            self, values={**self.values, **later, slot.name: value}, asked=0, spelling=""
        )

    def corrected(self, hypotheses: Sequence[str], now: datetime) -> Form | None:
        """Takes "no, eight o'clock": changes the slot of the kind that was said; None for none."""
        rest = tuple(_REFUSAL.sub("", text.strip()) for text in hypotheses)
        if not rest or not re.search(r"\w", rest[0]):
            return None
        changed: dict[str, str] = {}
        kinds = {slot.kind: slot for slot in self.intent.slots}
        for kind in _ORDER:
            if kind not in kinds or (kind in ("number", "digits") and changed):
                continue
            alone = kind != "number" or "time" not in kinds or len(rest[0].split()) > 1
            if value := self._read(kinds[kind], rest, now, asked=alone and kind != "date"):
                changed[kinds[kind].name] = value
        if not changed and "date" in kinds:
            value = self._read(kinds["date"], rest, now, asked=True)
            changed = {kinds["date"].name: value} if value else {}
        if not changed:
            changed = self._free(rest, now, kinds)
        if not changed:
            return None
        return self._changed(changed)

    def reopened(self) -> Form:
        """Everything is asked again."""
        return Form(self.intent)

    def _changed(self, changed: Mapping[str, str]) -> Form:
        """The form with the new values; a name that was heard the same again is to be spelled."""
        for name, value in changed.items():
            if self._kind(name) == "name" and _same(value, self.values.get(name, "")):
                kept = {key: said for key, said in self.values.items() if key != name}
                return replace(self, values=kept, asked=1, spelling=value)
        return replace(self, values={**self.values, **changed}, refused=0)

    def _free(
        self, rest: Sequence[str], now: datetime, kinds: Mapping[str, Slot]
    ) -> dict[str, str]:
        """A name or a text: the one that sounds more like what was read back."""
        if len(rest[0].split()) > _MAX_FREE_WORDS:
            return {}
        found = {
            kinds[kind].name: value
            for kind in _FREE
            if kind in kinds and (value := self._read(kinds[kind], rest, now, asked=True))
        }
        likeness = {
            name: SequenceMatcher(None, value.lower(), self.values.get(name, "").lower()).ratio()
            for name, value in found.items()
        }
        best = max(likeness, key=likeness.__getitem__, default="")
        return {best: found[best]} if best else {}

    def _volunteered(
        self, hypotheses: Sequence[str], now: datetime, slots: Sequence[Slot]
    ) -> dict[str, str]:
        read = ((slot.name, self._read(slot, hypotheses, now, asked=False)) for slot in slots)
        return {name: value for name, value in read if value}

    def _read(self, slot: Slot, hypotheses: Sequence[str], now: datetime, *, asked: bool) -> str:
        return read_any(slot.kind, hypotheses, now, asked=asked, options=slot.options)

    def _kind(self, name: str) -> str:
        return next(slot.kind for slot in self.intent.slots if slot.name == name)


def filled(line: str, values: Mapping[str, str]) -> str:
    """Puts values in the place of their `{names}`."""
    for name, value in values.items():
        line = line.replace("{" + name + "}", value)
    return line


def _with_spelled(heard_name: str, hypotheses: Sequence[str]) -> str:
    """The first names as heard, the last name as spelled; "" when nothing was spelled."""
    spelled = next(filter(None, map(read_letters, hypotheses)), "")
    first_names = heard_name.split()[:-1]
    return " ".join([*first_names, spelled]) if spelled else ""


def _same(one: str, other: str) -> bool:
    return one.lower().replace(" ", "") == other.lower().replace(" ", "")


def _listed(options: Sequence[str]) -> str:
    return ", ".join(options[:-1]) + f" or {options[-1]}" if len(options) > 1 else "".join(options)
