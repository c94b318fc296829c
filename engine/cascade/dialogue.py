"""The course of one conversation without a language model: words heard in, lines to say out.

A small machine over a persona's script: answers, fills forms and reads them back, asks "is this
about", repeats, offers a colleague, says goodbye. It answers as if sure only what it is sure of;
`acceptance` judges that. It does not know sound or time of day beyond `now`, nor interruptions:
those are the session's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from engine.cascade.acceptance import (
    ends_call,
    is_guess,
    is_other_request,
    is_sure,
    is_sure_of_talk,
    is_whole_request,
    yes_or_no,
)
from engine.cascade.expectations import expected_words
from engine.cascade.facts import NoFacts
from engine.cascade.form import Form, filled
from engine.cascade.matching import Match, Matcher
from engine.cascade.script import NO, REPEAT, YES, FollowUp, Intent, Script
from engine.cascade.slots import introduces_name

_MAX_ASKS: Final = 3  # of one slot, before a colleague is offered
_REQUEST_WORDS: Final = 3  # fewer are a request only if they are one of the examples
_URGENT: Final = frozenset({"emergency", "self_harm", "wait", "louder", "not_asked"})
_CHANGE: Final = "Sorry about that. What should I change?"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the agent does about one turn of the caller.

    Attributes:
        lines: sentences to say, in this order; may be empty.
        action: "", "handoff" or "hangup", due when the lines are said.
        intent: what was understood, for logs and metrics; "" when nothing was.
        score: of the best match.
        task: kind of the record that a form became just now, or "".
        fields: the form's values.
    """

    lines: tuple[str, ...]
    action: str = ""
    intent: str = ""
    score: float = 0.0
    task: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Question:
    """A yes-or-no question that stands open, and where the two answers lead."""

    yes: str = ""
    no: str = ""
    confirms: Form | None = None


class Conversation:
    """The state of one conversation.

    Args:
        script: the persona's dialogue.
        matcher: trained on `script.examples()`.
        greeting: the line that opened the call; "repeat" right after it says it again.
        facts: finds sentences of the role text that answer a question.
    """

    def __init__(
        self,
        script: Script,
        matcher: Matcher,
        greeting: str = "",
        facts: NoFacts | None = None,
    ) -> None:
        self._script = script
        self._matcher = matcher
        self._facts = facts or NoFacts()
        self._previous: tuple[str, ...] = (greeting,) if greeting else ()
        self._filling: Form | None = None
        self._question: _Question | None = None
        self._last_name = ""
        self._misses = 0
        self._silences = 0
        self._turns = 0

    @property
    def awaits_yes_or_no(self) -> bool:
        """True while a question of ours stands open that a short "yeah" answers."""
        return self._question is not None

    @property
    def awaits_slot(self) -> bool:
        """True while a form's question stands open, which a word or two answer."""
        return self._filling is not None

    def expected(self) -> str:
        """What the caller is likely to say next, as a recogniser's context; "" for anything."""
        slot = self._filling.open_slot if self._filling else None
        if self._filling and self._filling.spelling:
            return expected_words("letters", (), "")
        if slot:
            return expected_words(slot.kind, slot.options, slot.question)
        if self._question and (form := self._question.confirms):
            kinds = [slot.kind for slot in form.intent.slots]
            return " ".join(expected_words(kind, (), "") for kind in ("confirm", *kinds))
        return ""

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
        reply = self._answer(hypotheses, ranking, now)
        if reply.intent != REPEAT and reply.lines:
            self._previous = reply.lines
        return reply

    def understands(self, ranking: Sequence[Match]) -> bool:
        """Tells whether these words are surely a complete request: no need to wait for more."""
        return is_whole_request(ranking)

    def silence(self) -> Reply:
        """The caller has said nothing for some seconds after our last line."""
        prompts = self._script.silence_prompts
        self._silences += 1
        if self._silences <= len(prompts):
            open_question = (self._filling.question(),) if self._filling else ()
            return Reply((prompts[self._silences - 1], *open_question), intent="silence")
        return Reply((self._script.goodbye,), "hangup", "silence")

    def not_understood(self) -> Reply:
        """The caller said something without usable words (another language, music, a mumble)."""
        self._turns += 1
        if self._filling is not None and self._filling.open_slot:
            return self._missed_slot(self._filling, 0.0)
        if self._question and (form := self._question.confirms) and self._misses < _MAX_ASKS:
            self._misses += 1
            return Reply((form.confirm(),), intent=form.intent.name)
        return self._miss(0.0)

    def _answer(self, hypotheses: Sequence[str], ranking: Sequence[Match], now: datetime) -> Reply:
        best = ranking[0] if ranking else Match("", 0.0)
        sure = self._sure(ranking)
        if sure and best.intent == REPEAT:
            return self._repeat(best.score)
        if self._question is not None:
            reply = self._to_question(hypotheses, sure, ranking, now)
            if reply is not None:
                return reply
        if self._filling is not None:
            reply = self._to_slot(hypotheses, best, sure, now)
            if reply is not None:
                return reply
        return self._fresh(hypotheses, ranking, now)

    def _sure(self, ranking: Sequence[Match]) -> bool:
        intent = self._script.intents.get(ranking[0].intent) if ranking else None
        talk = intent is not None and not intent.guess and intent.name not in _URGENT
        return is_sure_of_talk(ranking) if talk else is_sure(ranking)

    # --- requests ---------------------------------------------------------------------------------

    def _fresh(self, hypotheses: Sequence[str], ranking: Sequence[Match], now: datetime) -> Reply:
        best = ranking[0] if ranking else Match("", 0.0)
        intent = self._script.intents.get(best.intent)
        if self._sure(ranking):
            if intent is None:
                return self._plain_yes_or_no(hypotheses, best)
            self._misses = 0
            if self._outdated(intent) and (fact := self._facts.answer(hypotheses)):
                return Reply((fact,), intent="fact", score=best.score)
            if intent.action == "hangup" and not ends_call(hypotheses, best):
                self._question = _Question(yes=intent.name)
                return Reply((self._script.end_call,), intent="did_you_mean", score=best.score)
            return self._start(intent, hypotheses, now, best.score)
        if fact := self._facts.answer(hypotheses):
            self._misses = 0
            return Reply((fact,), intent="fact", score=best.score)
        if intent is not None and intent.guess and is_guess(ranking):
            self._question = _Question(yes=intent.name)
            asked = self._script.did_you_mean.replace("{topic}", intent.topic)
            return Reply((asked,), intent="did_you_mean", score=best.score)
        return self._miss(best.score)

    def _outdated(self, intent: Intent) -> bool:
        """Whether its answer states a fact that the role text, edited since, states no longer."""
        if intent.slots or intent.action:
            return False
        stated = [fact for fact in self._script.facts.values() if fact in intent.answers[0]]
        return any(not self._facts.states(fact) for fact in stated)

    def _plain_yes_or_no(self, hypotheses: Sequence[str], best: Match) -> Reply:
        """A yes or no to nothing: only one that is no more than that is taken for it."""
        verdict = yes_or_no(hypotheses)
        if not verdict:
            return self._miss(best.score)
        self._misses = 0
        said = self._script.yes if verdict == YES else self._script.no
        return Reply((said.answer,), intent=verdict, score=best.score)

    def _start(
        self, intent: Intent, hypotheses: Sequence[str], now: datetime, score: float = 1.0
    ) -> Reply:
        self._question = None
        self._filling = None
        if intent.slots:
            return self._advance(Form(intent).begin(hypotheses, now), score)
        return self._close(intent, {}, score)

    def _close(self, intent: Intent, values: Mapping[str, str], score: float = 1.0) -> Reply:
        line = intent.answers[self._turns % len(intent.answers)]
        if intent.slots and not intent.task:
            line = self._script.noted
        lines = [self._quoted(filled(line, values))]
        self._question = None
        if intent.follow_up:
            lines.append(intent.follow_up.question)
            self._question = _Question(intent.follow_up.yes, intent.follow_up.no)
        return Reply(tuple(lines), intent.action, intent.name, score, intent.task, dict(values))

    def _quoted(self, line: str) -> str:
        """Fills what an answer may quote of the conversation."""
        if "{" not in line:
            return line
        letters = ", ".join(
            (self._last_name or self._script.facts.get("company", "")).upper().replace(" ", "")
        )
        said = self._previous[0] if self._previous else ""
        return line.replace("{previous}", said).replace("{spelled}", letters).strip()

    # --- forms ------------------------------------------------------------------------------------

    def _advance(self, form: Form, score: float = 1.0, lead: tuple[str, ...] = ()) -> Reply:
        """Asks for the open slot, or reads all back when none is open."""
        if form.open_slot:
            question = form.question()
            self._filling = form.asks()
            return Reply((*lead, question), intent=form.intent.name, score=score)
        self._filling = None
        self._question = _Question(confirms=form)
        return Reply((*lead, form.confirm()), "", form.intent.name, score)

    def _to_slot(
        self, hypotheses: Sequence[str], best: Match, sure: bool, now: datetime
    ) -> Reply | None:
        form = self._filling
        slot = form.open_slot if form else None
        if form is None or slot is None:
            return None
        answered = form.answered(hypotheses, now)
        leaves = self._leaves(form, hypotheses, best, sure, answers=answered is not None)
        free = slot.kind in ("name", "text") and not form.spelling
        if answered and not (leaves and free and not introduces_name(hypotheses)):
            self._remember_name(answered)
            return self._advance(answered)
        if leaves:
            return self._aside(form, best, hypotheses, now)
        if hypotheses and (corrected := form.corrected(hypotheses, now)) and form.values:
            return self._advance(replace(corrected, asked=0))
        return self._missed_slot(form, best.score)

    def _missed_slot(self, form: Form, score: float) -> Reply:
        """Asks again in other words; at last offers a colleague, and still takes an answer."""
        if form.asked < _MAX_ASKS:
            return self._advance(form, score)
        self._filling = replace(form, asked=1)
        return self._offer_human(score)

    def _leaves(
        self, form: Form, hypotheses: Sequence[str], best: Match, sure: bool, *, answers: bool
    ) -> bool:
        """Whether this is another request, not an answer that was bent into one."""
        slot = form.open_slot
        if not sure or slot is None or best.intent in (YES, NO, form.intent.name):
            return False
        if slot.kind == "text":  # a caller's own words sound like any of the requests
            return is_other_request(best) and self._interrupts(best.intent)
        if (slot.kind == "name" and answers) or len(hypotheses[0].split()) < _REQUEST_WORDS:
            return is_other_request(best)
        return True

    def _interrupts(self, name: str) -> bool:
        intent = self._script.intents.get(name)
        return name in _URGENT or (intent is not None and bool(intent.action))

    def _aside(
        self, form: Form, best: Match, hypotheses: Sequence[str], now: datetime
    ) -> Reply | None:
        """A question in the middle of a form is answered, and the form goes on."""
        intent = self._script.intents.get(best.intent)
        if intent is None or intent.slots or intent.action or intent.follow_up:
            return None
        reply = self._close(intent, {}, best.score)
        self._filling = replace(form, asked=max(1, form.asked))
        question = replace(form, asked=0).question()
        return replace(reply, lines=(*reply.lines, question))

    def _remember_name(self, form: Form) -> None:
        names = [slot.name for slot in form.intent.slots if slot.kind == "name"]
        self._last_name = next((form.values[n] for n in names if n in form.values), "")

    # --- yes and no -------------------------------------------------------------------------------

    def _to_question(
        self, hypotheses: Sequence[str], sure: bool, ranking: Sequence[Match], now: datetime
    ) -> Reply | None:
        question, self._question = self._question, None
        if question is None:
            return None
        verdict = yes_or_no(hypotheses, ranking)
        if question.confirms:
            return self._confirmed(question.confirms, verdict, hypotheses, sure, ranking, now)
        target = question.yes if verdict == YES else question.no if verdict == NO else ""
        if target:
            return self._start(self._script.intents[target], (), now)
        if verdict and self._filling is None:
            said = self._script.yes if verdict == YES else self._script.no
            return Reply((said.answer,), intent=verdict, score=ranking[0].score if ranking else 0.0)
        return None  # another request

    def _confirmed(
        self,
        form: Form,
        verdict: str,
        hypotheses: Sequence[str],
        sure: bool,
        ranking: Sequence[Match],
        now: datetime,
    ) -> Reply | None:
        if verdict == YES:
            return self._close(form.intent, form.values)
        other = sure and ranking[0].intent not in (YES, NO, form.intent.name)
        if not other and (corrected := form.corrected(hypotheses, now)):
            self._remember_name(corrected)
            return self._advance(corrected)
        if verdict == NO and not form.refused:
            self._question = _Question(confirms=replace(form, refused=1))
            return Reply(
                (_CHANGE,), intent=form.intent.name, score=ranking[0].score if ranking else 0.0
            )
        if verdict == NO:
            return self._advance(form.reopened(), lead=(self._script.corrected,))
        if other:
            return None
        self._question = _Question(confirms=form)
        return Reply((form.confirm(),), intent=form.intent.name)

    # --- misses -----------------------------------------------------------------------------------

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
