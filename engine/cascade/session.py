"""One session: hears, decides when it is the agent's turn, answers, speaks, and yields.

Everything here runs on the tick thread and takes a millisecond or two; recognising, judging
pauses and speaking are jobs of the workshop, whose results are picked up at the next tick. It
knows neither the batch nor the network.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.cascade import turns
from engine.cascade.dialogue import Conversation, Reply
from engine.cascade.ears import RATE_HZ, Ears
from engine.cascade.endpoint import Endpoint
from engine.cascade.lines import LineCache
from engine.cascade.llm import Answer, LlmClient, LlmError, Said
from engine.cascade.manners import is_backchannel
from engine.cascade.matching import Match
from engine.cascade.mouth import SILENCE, Mouth
from engine.cascade.recogniser import Heard, Recogniser
from engine.cascade.turns import TurnTracker
from engine.cascade.voicing import VoiceDetector
from engine.cascade.workshop import TooManyJobsError, Urgency, Workshop
from engine.interface import FRAME_S, Frame, FrameOutput

_log = logging.getLogger(__name__)

_MIN_LANGUAGE: Final = 0.6  # probability from which another language than English is believed
_NO_SPEECH: Final = 0.75  # Whisper's own doubt that it heard speech
_GUESSWORK: Final = -1.6  # mean log probability below which words are invented
_MAX_RESUMES: Final = 2  # of one reply; then the agent waits
_HISTORY: Final = 24  # turns that a language model is shown

Floats = NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Networks:
    """The shared, heavy parts."""

    voicing: VoiceDetector
    recogniser: Recogniser
    endpoint: Endpoint
    judge_burst: Callable[[Floats], float]
    llm: LlmClient | None = None


@dataclass(frozen=True, slots=True)
class _Words:
    """What was heard, and the intents that fit it, best first."""

    heard: Heard
    ranking: Sequence[Match]


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a pause: the words so far and whether they sound complete."""

    words: Future[_Words]
    finished: Future[float]

    def done(self) -> bool:
        return self.words.done() and self.finished.done()

    def cancel(self) -> None:
        self.words.cancel()
        self.finished.cancel()


class Session:
    """One caller and one persona.

    Args:
        session_id: names the session in logs.
        conversation: the built-in dialogue.
        lines: the voice.
        networks: shared by all sessions.
        workshop: does the heavy work.
        now: the caller's present when the session starts.
        greeting: said first.
        role_text: for the language model.
        vocabulary: words that the recogniser should expect.
        fixed: lines without personal data, which may be cached on disk.
        backchannels: short sounds for long turns; empty for none.
    """

    def __init__(
        self,
        session_id: str,
        conversation: Conversation,
        lines: LineCache,
        networks: Networks,
        workshop: Workshop,
        now: datetime,
        greeting: str = "",
        role_text: str = "",
        vocabulary: str = "",
        fixed: frozenset[str] = frozenset(),
        backchannels: Sequence[str] = (),
    ) -> None:
        self._id = session_id
        self._conversation = conversation
        self._lines = lines
        self._networks = networks
        self._workshop = workshop
        self._began = now
        self._role_text = role_text
        self._vocabulary = vocabulary
        self._fixed = fixed
        self._backchannels = deque(backchannels)
        self._ears = Ears(networks.voicing.stream())
        self._turns = TurnTracker()
        self._mouth = Mouth(self._render)
        self._ticks = 0
        self._look: _Look | None = None
        self._ended: turns.TurnEnded | None = None
        self._short: Future[_Words] | None = None
        self._unheard: tuple[str, ...] = ()
        self._resumes = 0
        self._action = ""
        self._hushed = False  # fell silent in this tick: what is queued must not be heard
        self._over = False  # the call was ended; frames may still come until it is gone
        self._answer: Answer | None = None
        self._fallback: Reply | None = None
        self._history: deque[Said] = deque(maxlen=_HISTORY)
        self._mouth.say(greeting)

    @property
    def now_s(self) -> float:
        """Seconds since the session's first frame."""
        return self._ticks * FRAME_S

    def tick(self, frame: Frame) -> FrameOutput:
        """Takes one frame of the caller and returns one of the agent."""
        self._ticks += 1
        if self._over:
            return FrameOutput(SILENCE)
        self._listen(frame)
        self._collect()
        action = self._due_action()
        frame_out, text = self._mouth.next_frame()
        self._ears.said(frame_out)
        self._remember_heard()
        return FrameOutput(frame_out, text, action)

    def close(self) -> None:
        """Drops what is still under way."""
        self._drop_look()
        self._mouth.stop()
        if self._answer:
            self._answer.cancel()

    def _listen(self, frame: Frame) -> None:
        at_s = 0.0
        for chunk in self._ears.hear(frame, eager=self._mouth.sounding):
            at_s = chunk.end_sample / RATE_HZ
            for event in self._turns.update(chunk.voiced, self._mouth.sounding, at_s):
                self._on(event)
        if self._mouth.sounding and (burst := self._turns.open_burst(at_s)):
            log_odds = self._networks.judge_burst(self._sound(burst))
            for event in self._turns.judge_burst(log_odds, at_s):
                self._on(event)

    # What the turn machine reports

    def _on(self, event: turns.Event) -> None:
        match event:
            case turns.Paused():
                self._start_look(event)
            case turns.Resumed():
                self._drop_look()
            case turns.TurnEnded():
                self._ended = event
                if self._look is None:
                    self._start_look(event)
            case turns.Hesitated():
                self._hush()
                self._mouth.hold()
            case turns.WentOn():
                self._mouth.go_on()
            case turns.Interrupted():
                self._yield_floor("interrupted")
            case turns.ShortBurst():
                self._look_at_short(event)
            case turns.LongTurn():
                self._nod()
            case turns.SilenceElapsed():
                self._say(self._conversation.silence())

    def _start_look(self, event: turns.Event) -> None:
        self._drop_look()
        speech = self._sound(event)
        endpoint = self._networks.endpoint
        try:
            finished = self._submit(Urgency.PAUSE, lambda: endpoint.finished(speech))
            words = self._submit(Urgency.PAUSE, lambda: self._understand(speech))
        except TooManyJobsError:
            return  # the end of the turn looks again
        self._look = _Look(words, finished)

    def _understand(self, speech: Floats) -> _Words:
        """Runs in a worker thread: reads only what never changes in a session."""
        heard = self._networks.recogniser.transcribe(speech, self._vocabulary)
        return _Words(heard, self._conversation.rank(heard.hypotheses))

    def _drop_look(self) -> None:
        if self._look:
            self._look.cancel()
            self._look = None

    def _look_at_short(self, event: turns.Event) -> None:
        if self._short is not None:
            return
        speech = self._sound(event)
        try:
            self._short = self._submit(Urgency.PAUSE, lambda: self._understand(speech))
        except TooManyJobsError:
            return  # a short sound in a storm of work is let go

    def _nod(self) -> None:
        if self._backchannels and not self._mouth.speaking:
            self._backchannels.rotate(-1)
            self._mouth.say(self._backchannels[0])

    # Results of jobs

    def _collect(self) -> None:
        self._collect_short()
        self._collect_look()
        self._collect_answer()
        for why in self._mouth.failures:
            _log.error("cascade.line_failed", extra={"session_id": self._id, "why": why})
        self._mouth.failures.clear()

    def _collect_short(self) -> None:
        if self._short is None or not self._short.done():
            return
        words, self._short = self._short.result(), None
        if not self._usable(words.heard):
            return
        answers = self._conversation.awaits_yes_or_no and not self._mouth.speaking
        if is_backchannel(words.heard.hypotheses) and not answers:
            return
        if self._turns.hears_voice:
            return  # it goes on: the turn machine has it
        self._yield_floor("short_words")
        self._respond(words)

    def _collect_look(self) -> None:
        look = self._look
        if look is None or not look.done():
            return
        words = look.words.result()
        if self._ended is None:
            understood = self._conversation.understands(words.ranking)
            self._turns.judge_turn(look.finished.result(), understood)
            return
        self._ended = None
        self._look = None
        self._respond(words)

    def _respond(self, words: _Words) -> None:
        heard = words.heard
        if not self._usable(heard):
            self._without_words(heard)
            return
        if self._unheard and is_backchannel(heard.hypotheses) and self._resumes < _MAX_RESUMES:
            self._resume()
            return
        self._unheard, self._resumes = (), 0
        reply = self._conversation.heard(heard.hypotheses, words.ranking, self._present())
        _log.info(
            "cascade.turn",
            extra={
                "session_id": self._id,
                "intent": reply.intent,
                "score": round(reply.score, 2),
                "pii.heard": heard.hypotheses[0],
            },
        )
        self._history.append(Said("user", heard.hypotheses[0]))
        if self._networks.llm and not reply.action:
            self._fallback = reply
            self._answer = self._networks.llm.answer(self._role_text, list(self._history))
            return
        self._say(reply)

    def _without_words(self, heard: Heard) -> None:
        """Another language, music, a mumble: go on if interrupted by it, else ask."""
        if self._unheard and self._resumes < _MAX_RESUMES:
            self._resume()
            return
        foreign = heard.language != "en" and heard.language_probability >= _MIN_LANGUAGE
        if not foreign and not heard.hypotheses:
            return  # a noise while nobody speaks is no reason to say anything
        _log.info(
            "cascade.not_understood",
            extra={"session_id": self._id, "language": heard.language},
        )
        self._say(self._conversation.not_understood())

    def _usable(self, heard: Heard) -> bool:
        if not heard.hypotheses:
            return False
        if heard.language != "en" and heard.language_probability >= _MIN_LANGUAGE:
            return False
        doubtful = heard.no_speech >= _NO_SPEECH and heard.confidence < _GUESSWORK / 2
        return not doubtful and heard.confidence > _GUESSWORK

    def _collect_answer(self) -> None:
        if self._answer is None:
            return
        try:
            sentences = self._answer.poll()
        except LlmError as error:
            _log.warning("cascade.llm_failed", extra={"session_id": self._id, "why": str(error)})
            self._answer = None
            if self._fallback:
                self._say(self._fallback)
            return
        for sentence in sentences:
            self._mouth.say(sentence)
        if self._answer.finished:
            self._action = self._answer.action
            self._answer = None

    # Speaking and yielding

    def _say(self, reply: Reply) -> None:
        self._mouth.say(*reply.lines)
        self._action = reply.action

    def _remember_heard(self) -> None:
        """Keeps what the caller has heard, not what was meant to be said."""
        heard = self._mouth.take_heard()
        if heard:
            self._history.append(Said("assistant", heard))

    def _yield_floor(self, why: str) -> None:
        if self._answer:
            self._answer.cancel()
            self._answer = None
        self._hush()
        self._unheard = self._mouth.stop()
        self._action = ""
        _log.info("cascade.yielded", extra={"session_id": self._id, "why": why})

    def _hush(self) -> None:
        if self._mouth.sounding and not self._mouth.held:
            self._hushed = True

    def _resume(self) -> None:
        self._resumes += 1
        unheard, self._unheard = self._unheard, ()
        self._mouth.say(*unheard)

    def _due_action(self) -> str:
        if self._hushed:
            self._hushed = False
            return "yield"
        if not self._action or self._mouth.speaking or self._answer:
            return ""
        action, self._action = self._action, ""
        self._over = action == "hangup"
        return action

    def _render(self, text: str, urgent: bool) -> Future[NDArray[np.int16]]:
        ready = self._lines.ready(text)
        if ready is not None:
            future: Future[NDArray[np.int16]] = Future()
            future.set_result(ready)
            return future
        keep = text in self._fixed
        urgency = Urgency.SPEECH if urgent else Urgency.AHEAD
        return self._submit(urgency, lambda: self._lines.render(text, keep=keep))

    def _submit(self, urgency: Urgency, work: Callable[[], T]) -> Future[T]:
        return self._workshop.submit(self._id, urgency, work)

    def _sound(self, event: turns.Event) -> Floats:
        return self._ears.samples(int(event.start_s * RATE_HZ), int(event.end_s * RATE_HZ))

    def _present(self) -> datetime:
        return self._began + timedelta(seconds=self.now_s)
