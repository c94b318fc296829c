"""The `dialogue` section: what an engine without a language model needs to hold a conversation.

Plain, strict data: which questions callers ask (intents, with examples of how they sound), what
to answer, what to ask back. It knows neither how words are recognised or matched nor how lines
are spoken; those are the engine's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from personas.errors import PersonaError
from personas.render import slots_in

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
# A line that the agent says: one breath, no line break, no stray spaces at its ends.
Line = Annotated[str, StringConstraints(min_length=1, max_length=400, pattern=r"^\S(.*\S)?$")]
# What a caller says, as a recogniser writes it: words, no digits and no punctuation marks.
Utterance = Annotated[
    str, StringConstraints(max_length=200, pattern=r"^[\p{L}][\p{L}'-]*( [\p{L}][\p{L}'-]*)*$")
]

# The short replies have sections of their own; an intent of that name could not be told apart.
_REPLIES = frozenset({"yes", "no", "repeat"})

SlotKind = Literal["date", "time", "number", "digits", "name", "choice", "text"]

# What an answer may quote of the conversation: the agent's last line, and the last name, spelled.
_QUOTES = frozenset({"previous", "spelled"})


class Strict(BaseModel):
    """Base of all sections: unknown keys and loose types are errors, instances are frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Slot(Strict):
    """One thing to ask the caller for.

    Attributes:
        name: how templates call it: `{name}`.
        kind: `date`, `time` (of day), `number` (an amount), `digits` (said one by one), `name`
            (of a person or place), `choice` (one of the options), `text` (whatever
            the caller says).
        question: asks for it; may use the slots before it.
        again: other questions for it, each after one miss; the engine has general ones.
        options: of a choice, as they are read back.
    """

    name: Slug
    kind: SlotKind
    question: Line
    again: Annotated[tuple[Line, ...], Field(max_length=3)] = ()
    options: Annotated[tuple[Line, ...], Field(max_length=12)] = ()

    @model_validator(mode="after")
    def _a_choice_has_options(self) -> Self:
        if (self.kind == "choice") != bool(self.options):
            raise PersonaError("'options' belong to the kind 'choice', which needs them")
        return self


class FollowUp(Strict):
    """A yes-or-no question after an answer, and the intents that a yes or a no leads to.

    Without an intent, yes or no is met with the shared `yes` and `no` replies.
    """

    question: Line
    yes: Slug | None = None
    no: Slug | None = None


class Intent(Strict):
    """One thing that callers want.

    Attributes:
        name: unique in the dialogue.
        topic: completes "is this about ...": "our opening hours", "booking a table".
        examples: how callers say it; the matcher's only knowledge of the intent.
        slots: asked one after the other before the answer, unless already said.
        confirm: reads the slots back as a yes-or-no question; present when there are slots.
        answers: one of them is said (any); may use `{slots}`.
        follow_up: asked after the answer.
        action: what happens to the call once the answer is said.
        guess: whether "is this about ...?" may be asked when the match is unsure.
        task: what kind of record a filled form becomes ("booking", "card_block"); the answer is
            said only where that record is kept. Without a task, a form is closed by `noted`.
    """

    name: Slug
    topic: Line
    examples: Annotated[tuple[Utterance, ...], Field(min_length=1)]
    slots: tuple[Slot, ...] = ()
    confirm: Line | None = None
    answers: Annotated[tuple[Line, ...], Field(min_length=1)]
    follow_up: FollowUp | None = None
    action: Literal["handoff", "hangup"] | None = None
    guess: bool = True
    task: Slug | None = None

    @model_validator(mode="after")
    def _slots_are_read_back(self) -> Self:
        _no_duplicates((slot.name for slot in self.slots), "slot")
        if self.slots and self.confirm is None:
            raise PersonaError("slots are asked for, so 'confirm' must read them back")
        if self.confirm is not None and not self.slots:
            raise PersonaError("'confirm' reads slots back, but there are none")
        if self.task is not None and not self.slots:
            raise PersonaError("'task' records slots, but there are none")
        return self

    @model_validator(mode="after")
    def _only_own_slots_are_used(self) -> Self:
        known: set[str] = set()
        for slot in self.slots:
            for line in (slot.question, *slot.again):
                _only(line, known)
            known.add(slot.name)
        for line in self.answers:
            _only(line, known | _QUOTES)
        if self.confirm:
            _only(self.confirm, known)
        _only(self.topic, set())
        if self.follow_up:
            _only(self.follow_up.question, set())
        return self


class Repeat(Strict):
    """How callers ask to hear it again, and what is said; `{previous}` is the last answer."""

    examples: Annotated[tuple[Utterance, ...], Field(min_length=1)]
    answer: Line


class Reply(Strict):
    """How a plain yes or no sounds, and what is said when no question of ours is open."""

    examples: Annotated[tuple[Utterance, ...], Field(min_length=1)]
    answer: Line


class Dialogue(Strict):
    """A persona's whole conversation, without a language model.

    Attributes:
        intents: all things that callers may want.
        yes: agreement to one of our questions.
        no: refusal of one of our questions.
        repeat: "say that again".
        noted: closes a form that no record is kept of.
        end_call: asked when the caller may have said goodbye.
        did_you_mean: said when the best intent is uncertain; must contain `{topic}`.
        corrected: said when a read-back was refused, before the questions are asked again.
        fallbacks: said one after the other when nothing matches turn after turn.
        handoff_offer: said when the fallbacks are used up.
        silence_prompts: said one after the other while the caller is silent.
        goodbye: said before we hang up by ourselves.
        backchannels: short sounds while the caller speaks long; empty means never.
    """

    intents: Annotated[tuple[Intent, ...], Field(min_length=1)]
    yes: Reply
    no: Reply
    repeat: Repeat
    noted: Line = "I have noted that."
    end_call: Line = "Would you like to end the call?"
    did_you_mean: Line
    corrected: Line
    fallbacks: Annotated[tuple[Line, ...], Field(min_length=1, max_length=4)]
    handoff_offer: FollowUp
    silence_prompts: Annotated[tuple[Line, ...], Field(min_length=1, max_length=4)]
    goodbye: Line
    backchannels: tuple[Line, ...] = ()

    @model_validator(mode="after")
    def _names_and_examples_are_unique(self) -> Self:
        names = [intent.name for intent in self.intents]
        _no_duplicates(names, "intent")
        if taken := sorted(_REPLIES.intersection(names)):
            raise PersonaError(f"no intent can be named '{taken[0]}': that is a key beside")
        _no_duplicates(
            (example for group in self._example_groups() for example in group), "example"
        )
        return self

    @model_validator(mode="after")
    def _follow_ups_lead_somewhere(self) -> Self:
        names = {intent.name for intent in self.intents}
        questions = [intent.follow_up for intent in self.intents if intent.follow_up]
        for question in (*questions, self.handoff_offer):
            for target in (question.yes, question.no):
                if target is not None and target not in names:
                    raise PersonaError(f"follow-up leads to '{target}', which is no intent")
        return self

    @model_validator(mode="after")
    def _shared_lines_use_their_own_slots(self) -> Self:
        _only(self.repeat.answer, {"previous"})
        _only(self.did_you_mean, {"topic"})
        if "topic" not in slots_in(self.did_you_mean):
            raise PersonaError("'did_you_mean' must contain {topic}")
        for line in (self.yes.answer, self.no.answer, self.corrected, self.goodbye, self.noted):
            _only(line, set())
        for line in (*self.fallbacks, *self.silence_prompts, *self.backchannels):
            _only(line, set())
        _only(self.handoff_offer.question, set())
        _only(self.end_call, set())
        return self

    def _example_groups(self) -> Iterable[tuple[str, ...]]:
        yield self.yes.examples
        yield self.no.examples
        yield self.repeat.examples
        for intent in self.intents:
            yield intent.examples


def _no_duplicates(names: Iterable[str], what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise PersonaError(f"{what} '{twice[0]}' is listed twice")


def _only(line: str, known: set[str]) -> None:
    unknown = sorted(slots_in(line) - known)
    if unknown:
        raise PersonaError(f"{{{unknown[0]}}} is no slot here, in {line!r}")
