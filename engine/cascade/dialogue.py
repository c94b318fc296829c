"""The course of one conversation without a language model: words heard in, lines to say out.

A small machine over a persona's script: answers, asks for slots and reads them back, asks "did
you mean", repeats, offers a colleague, says goodbye. It does not know sound or time of day beyond
`now`, nor interruptions: those are the session's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from engine.cascade.matching import Match, Matcher
from engine.cascade.script import NO, REPEAT, YES, FollowUp, Intent, Script
from engine.cascade.slots import read_slot

# Scores of `matching.Match`, chosen on tests/data/cascade_callers/dev.yaml.
_SURE: Final = 0.24  # answer at once, if the second intent is
_LEAD: Final = 0.04  # so far behind
_LIKELY: Final = 0.20  # answer at once, if the second is
_CLEAR_LEAD: Final = 0.08  # so far behind
_MAYBE: Final = 0.18  # ask "did you mean"
_COMPLETE: Final = 0.6  # surely a whole request

_MAX_ASKS: Final = 3  # of one slot, before a colleague is offered


@dataclass(frozen=True, slots=True)
class Reply:
    """What the agent does about one turn of the caller.

    Attributes:
        lines: sentences to say, in this order; may be empty.
        action: "", "handoff" or "hangup", due when the lines are said.
        intent: what was understood, for logs and metrics; "" when nothing was.
        score: of the best match.
    """

    lines: tuple[str, ...]
    action: str = ""
    intent: str = ""
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class _Filling:
    """Slots of an intent on their way to being complete."""

    intent: Intent
    values: dict[str, str] = field(default_factory=dict)
    asked: int = 0  # how often the open slot was asked

    def open_slot(self) -> int:
        """Index of the first slot without a value; the number of slots when all have one."""
        missing = (i for i, slot in enumerate(self.intent.slots) if slot.name not in self.values)
        return next(missing, len(self.intent.slots))


@dataclass(frozen=True, slots=True)
class _Question:
    """A yes-or-no question that stands open, and where the two answers lead."""

    yes: str = ""
    no: str = ""
    confirms: _Filling | None = None


class Conversation:
    """The state of one conversation.

    Args:
        script: the persona's dialogue.
        matcher: trained on `script.examples()`.
        greeting: the line that opened the call; "repeat" right after it says it again.
    """

    def __init__(self, script: Script, matcher: Matcher, greeting: str = "") -> None:
        self._script = script
        self._matcher = matcher
        self._previous: tuple[str, ...] = (greeting,) if greeting else ()
        self._filling: _Filling | None = None
        self._question: _Question | None = None
        self._misses = 0
        self._silences = 0
        self._turns = 0

    @property
    def awaits_yes_or_no(self) -> bool:
        """True while a question of ours stands open that a short "yeah" answers."""
        return self._question is not None

    def rank(self, hypotheses: Sequence[str]) -> list[Match]:
        """Ranks the intents for these words; depends on no state, so any thread may ask."""
        return self._matcher.rank(hypotheses)

    def heard(self, hypotheses: Sequence[str], ranking: Sequence[Match], now: datetime) -> Reply:
        """Answers one turn of the caller.

        Args:
            hypotheses: what the recogniser heard, most likely first; empty for no words.
            ranking: what `rank` said about them.
            now: the caller's present, for "tomorrow".
        """
        self._silences = 0
        self._turns += 1
        best = hypotheses[0] if hypotheses else ""
        reply = self._answer(best, ranking, now)
        if reply.intent != REPEAT and reply.lines:
            self._previous = reply.lines
        return reply

    def understands(self, ranking: Sequence[Match]) -> bool:
        """Tells whether these words are surely a complete request: no need to wait for more."""
        return bool(ranking) and ranking[0].score >= _COMPLETE

    def silence(self) -> Reply:
        """The caller has said nothing for some seconds after our last line."""
        prompts = self._script.silence_prompts
        self._silences += 1
        if self._silences <= len(prompts):
            return Reply((prompts[self._silences - 1],), intent="silence")
        return Reply((self._script.goodbye,), "hangup", "silence")

    def not_understood(self) -> Reply:
        """The caller said something without usable words (another language, music, a mumble)."""
        self._turns += 1
        return self._miss(0.0)

    def _answer(self, heard: str, ranking: Sequence[Match], now: datetime) -> Reply:
        best = ranking[0] if ranking else Match("", 0.0)
        sure = self._is_sure(ranking)
        if sure and best.intent == REPEAT:
            return self._repeat(best.score)
        if self._question is not None:
            reply = self._to_question(heard, best, sure, ranking, now)
            if reply is not None:
                return reply
        if self._filling is not None:
            reply = self._to_slot(heard, best, sure, now)
            if reply is not None:
                return reply
        return self._fresh(heard, best, sure, now)

    def _is_sure(self, ranking: Sequence[Match]) -> bool:
        if not ranking:
            return False
        best = ranking[0].score
        lead = best - (ranking[1].score if len(ranking) > 1 else 0.0)
        return (best >= _SURE and lead >= _LEAD) or (best >= _LIKELY and lead >= _CLEAR_LEAD)

    def _fresh(self, heard: str, best: Match, sure: bool, now: datetime) -> Reply:
        if sure:
            self._misses = 0
            if best.intent in (YES, NO):
                said = self._script.yes if best.intent == YES else self._script.no
                return Reply((said.answer,), intent=best.intent, score=best.score)
            return self._start(self._script.intents[best.intent], heard, now, best.score)
        if best.score >= _MAYBE and best.intent in self._script.intents:
            intent = self._script.intents[best.intent]
            self._question = _Question(yes=intent.name)
            asked = self._script.did_you_mean.replace("{topic}", intent.topic)
            return Reply((asked,), intent="did_you_mean", score=best.score)
        return self._miss(best.score)

    def _start(self, intent: Intent, heard: str, now: datetime, score: float = 1.0) -> Reply:
        self._question = None
        self._filling = None
        if intent.slots:
            given = {
                slot.name: value
                for slot in intent.slots
                if (value := read_slot(slot.kind, heard, now, asked=False))
            }
            return self._advance(_Filling(intent, given), score)
        return self._close(intent, {}, score)

    def _advance(self, filling: _Filling, score: float = 1.0, lead: tuple[str, ...] = ()) -> Reply:
        """Asks for the open slot, or reads all back when none is open."""
        index = filling.open_slot()
        name = filling.intent.name
        if index < len(filling.intent.slots):
            self._filling = replace(filling, asked=filling.asked + 1)
            question = _filled(filling.intent.slots[index].question, filling.values)
            return Reply((*lead, question), intent=name, score=score)
        self._filling = None
        self._question = _Question(confirms=filling)
        return Reply((*lead, _filled(filling.intent.confirm, filling.values)), "", name, score)

    def _close(self, intent: Intent, values: dict[str, str], score: float = 1.0) -> Reply:
        answer = _filled(intent.answers[self._turns % len(intent.answers)], values)
        lines = [answer]
        self._question = None
        if intent.follow_up:
            lines.append(intent.follow_up.question)
            self._question = _Question(intent.follow_up.yes, intent.follow_up.no)
        return Reply(tuple(lines), intent.action, intent.name, score)

    def _to_slot(self, heard: str, best: Match, sure: bool, now: datetime) -> Reply | None:
        filling = self._filling
        if filling is None:
            return None
        index = filling.open_slot()
        slot = filling.intent.slots[index]
        value = read_slot(slot.kind, heard, now, asked=True)
        leaves = sure and best.intent not in (YES, NO, filling.intent.name)
        if value and not (leaves and slot.kind in ("name", "text") and best.score >= _COMPLETE):
            given = {**filling.values, slot.name: value}
            for later in filling.intent.slots[index + 1 :]:
                if extra := read_slot(later.kind, heard, now, asked=False):
                    given.setdefault(later.name, extra)
            return self._advance(_Filling(filling.intent, given))
        if leaves:
            return None
        if filling.asked >= _MAX_ASKS:
            self._filling = None
            return self._offer_human(best.score)
        return self._advance(filling, lead=(self._script.fallbacks[0],) if heard else ())

    def _to_question(
        self, heard: str, best: Match, sure: bool, ranking: Sequence[Match], now: datetime
    ) -> Reply | None:
        question, self._question = self._question, None
        if question is None:
            return None
        verdict = self._yes_or_no(best, ranking)
        if question.confirms:
            return self._confirmed(question.confirms, verdict, heard, now)
        target = question.yes if verdict == YES else question.no if verdict == NO else ""
        if target:
            return self._start(self._script.intents[target], "", now)
        return None  # a plain yes or no without a target, or another request

    def _confirmed(
        self, filling: _Filling, verdict: str, heard: str, now: datetime
    ) -> Reply | None:
        if verdict == YES:
            return self._close(filling.intent, filling.values)
        corrected = {
            slot.name: value
            for slot in filling.intent.slots
            if slot.kind != "name" and (value := read_slot(slot.kind, heard, now, asked=False))
        }
        if corrected:
            return self._advance(_Filling(filling.intent, {**filling.values, **corrected}))
        if verdict == NO:
            return self._advance(_Filling(filling.intent), lead=(self._script.corrected,))
        self._question = None
        return None

    def _yes_or_no(self, best: Match, ranking: Sequence[Match]) -> str:
        if best.intent in (YES, NO) and best.score >= _MAYBE:
            return best.intent
        return ""

    def _repeat(self, score: float) -> Reply:
        if not self._previous:
            return Reply((self._script.repeat.answer.replace("{previous}", "").strip(),))
        first = self._script.repeat.answer.replace("{previous}", self._previous[0])
        return Reply((first, *self._previous[1:]), intent=REPEAT, score=score)

    def _miss(self, score: float) -> Reply:
        self._misses += 1
        if self._misses <= len(self._script.fallbacks):
            return Reply((self._script.fallbacks[self._misses - 1],), score=score)
        return self._offer_human(score)

    def _offer_human(self, score: float) -> Reply:
        self._misses = 0
        offer: FollowUp = self._script.handoff_offer
        self._question = _Question(offer.yes, offer.no)
        return Reply((offer.question,), intent="handoff_offer", score=score)


def _filled(line: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        line = line.replace("{" + name + "}", value)
    return line
