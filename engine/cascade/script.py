"""A persona's dialogue section as the cascade engine reads it: frozen, checked, free of templates.

The section arrives as plain data inside the session's specification. This module knows its shape
and says exactly where it is wrong; it does not know matching, speech or the course of a call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.interface import PromptRejected

YES: Final = "yes"
NO: Final = "no"
REPEAT: Final = "repeat"

SLOT_KINDS: Final = frozenset({"date", "time", "number", "digits", "name", "choice", "text"})
NOTED: Final = "I have noted that."
END_CALL: Final = "Would you like to end the call?"
ACTIONS: Final = frozenset({"", "handoff", "hangup"})


@dataclass(frozen=True, slots=True)
class Slot:
    """One thing to ask the caller for; `kind` is one of `SLOT_KINDS`.

    Attributes:
        again: other questions for it, each after one miss.
        options: of the kind "choice".
    """

    name: str
    kind: str
    question: str
    again: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A yes-or-no question and the intents (or "") that the two answers lead to."""

    question: str
    yes: str = ""
    no: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that callers want; see `personas` for the meaning of each field."""

    name: str
    topic: str
    examples: tuple[str, ...]
    answers: tuple[str, ...]
    slots: tuple[Slot, ...] = ()
    confirm: str = ""
    follow_up: FollowUp | None = None
    action: str = ""
    task: str = ""
    guess: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """How a short reply of the caller sounds, and what the agent says to it out of context."""

    examples: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Script:
    """A persona's whole conversation."""

    intents: Mapping[str, Intent]
    yes: Reply
    no: Reply
    repeat: Reply
    did_you_mean: str
    corrected: str
    fallbacks: tuple[str, ...]
    handoff_offer: FollowUp
    silence_prompts: tuple[str, ...]
    goodbye: str
    backchannels: tuple[str, ...] = ()
    noted: str = NOTED
    end_call: str = END_CALL
    facts: Mapping[str, str] = field(default_factory=dict)  # the persona's, by name

    def examples(self) -> list[tuple[str, str]]:
        """Returns every (example, intent) pair; yes, no and repeat count as intents."""
        short = ((YES, self.yes), (NO, self.no), (REPEAT, self.repeat))
        pairs = [(example, name) for name, reply in short for example in reply.examples]
        for intent in self.intents.values():
            pairs += [(example, intent.name) for example in intent.examples]
        return pairs

    def vocabulary(self) -> str:
        """Returns the topics in one line: words that a recogniser should expect."""
        return ", ".join(intent.topic for intent in self.intents.values()) + "."

    def fixed_lines(self) -> list[str]:
        """Returns the lines without slots that a call is likely to need, most urgent first."""
        lines = [*self.fallbacks, self.handoff_offer.question, *self.silence_prompts]
        lines += [
            self.goodbye,
            self.noted,
            self.end_call,
            self.corrected,
            self.yes.answer,
            self.no.answer,
            *self.backchannels,
        ]
        for intent in self.intents.values():
            lines += [*intent.answers, *(slot.question for slot in intent.slots)]
            lines += [line for slot in intent.slots for line in slot.again]
            lines += [intent.follow_up.question] if intent.follow_up else []
            lines.append(self.did_you_mean.replace("{topic}", intent.topic))
        return [line for line in lines if "{" not in line]


def parse(section: Mapping[str, Any]) -> Script:
    """Reads a dialogue section.

    Raises:
        PromptRejected: a key is missing or of the wrong kind; the message names its place.
    """
    reader = _Reader(section, "dialogue")
    intents = [_intent(item) for item in reader.items("intents")]
    script = Script(
        intents={intent.name: intent for intent in intents},
        yes=_reply(reader.part("yes")),
        no=_reply(reader.part("no")),
        repeat=_reply(reader.part("repeat")),
        did_you_mean=reader.line("did_you_mean"),
        corrected=reader.line("corrected"),
        fallbacks=reader.lines("fallbacks"),
        handoff_offer=_follow_up(reader.part("handoff_offer")),
        silence_prompts=reader.lines("silence_prompts"),
        goodbye=reader.line("goodbye"),
        backchannels=reader.lines("backchannels", needed=False),
        noted=reader.line("noted", needed=False) or NOTED,
        end_call=reader.line("end_call", needed=False) or END_CALL,
        facts=_facts(section),
    )
    _check_targets(script)
    return script


def _facts(section: Mapping[str, Any]) -> Mapping[str, str]:
    facts = section.get("facts")
    if not isinstance(facts, Mapping):
        return {}
    return {str(name): value for name, value in facts.items() if isinstance(value, str)}


def _intent(reader: _Reader) -> Intent:
    follow_up = reader.optional("follow_up")
    intent = Intent(
        name=reader.line("name"),
        topic=reader.line("topic"),
        examples=reader.lines("examples"),
        answers=reader.lines("answers"),
        slots=tuple(_slot(item) for item in reader.items("slots", needed=False)),
        confirm=reader.line("confirm", needed=False),
        follow_up=_follow_up(follow_up) if follow_up else None,
        action=reader.line("action", needed=False),
        task=reader.line("task", needed=False),
        guess=reader.truth("guess", default=True),
    )
    if intent.action not in ACTIONS:
        raise PromptRejected(f"{reader.place}.action is {intent.action!r}: use handoff or hangup")
    return intent


def _slot(reader: _Reader) -> Slot:
    slot = Slot(
        reader.line("name"),
        reader.line("kind"),
        reader.line("question"),
        reader.lines("again", needed=False),
        reader.lines("options", needed=False),
    )
    if slot.kind not in SLOT_KINDS:
        kinds = ", ".join(sorted(SLOT_KINDS))
        raise PromptRejected(f"{reader.place}.kind is {slot.kind!r}: use one of {kinds}")
    if (slot.kind == "choice") != bool(slot.options):
        raise PromptRejected(f"{reader.place}.options belong to the kind choice, which needs them")
    return slot


def _follow_up(reader: _Reader) -> FollowUp:
    return FollowUp(
        reader.line("question"),
        reader.line("yes", needed=False),
        reader.line("no", needed=False),
    )


def _reply(reader: _Reader) -> Reply:
    return Reply(reader.lines("examples"), reader.line("answer"))


def _check_targets(script: Script) -> None:
    questions = [(f"intents.{i.name}.follow_up", i.follow_up) for i in script.intents.values()]
    for place, question in (*questions, ("handoff_offer", script.handoff_offer)):
        for target in (question.yes, question.no) if question else ():
            if target and target not in script.intents:
                raise PromptRejected(f"dialogue.{place} leads to {target!r}, which is no intent")


class _Reader:
    """One mapping of the section, with its place for error messages."""

    def __init__(self, data: object, place: str) -> None:
        if not isinstance(data, Mapping):
            raise PromptRejected(f"{place} must be a mapping, not {type(data).__name__}")
        self._data = data
        self.place = place

    def line(self, key: str, *, needed: bool = True) -> str:
        value = self._data.get(key)
        if value is None and not needed:
            return ""
        if not isinstance(value, str) or (needed and not value.strip()):
            raise PromptRejected(f"{self.place}.{key} must be a line of text")
        return value

    def truth(self, key: str, *, default: bool) -> bool:
        value = self._data.get(key, default)
        if not isinstance(value, bool):
            raise PromptRejected(f"{self.place}.{key} must be true or false")
        return value

    def lines(self, key: str, *, needed: bool = True) -> tuple[str, ...]:
        values = self._list(key, needed)
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise PromptRejected(f"{self.place}.{key} must hold lines of text only")
        return tuple(values)

    def items(self, key: str, *, needed: bool = True) -> list[_Reader]:
        values = self._list(key, needed)
        return [_Reader(value, f"{self.place}.{key}[{i}]") for i, value in enumerate(values)]

    def part(self, key: str) -> _Reader:
        return _Reader(self._data.get(key), f"{self.place}.{key}")

    def optional(self, key: str) -> _Reader | None:
        return self.part(key) if self._data.get(key) is not None else None

    def _list(self, key: str, needed: bool) -> Sequence[Any]:
        values = self._data.get(key)
        if values is None and not needed:
            return ()
        if not isinstance(values, (list, tuple)) or (needed and not values):
            raise PromptRejected(f"{self.place}.{key} must be a list with at least one entry")
        return values
