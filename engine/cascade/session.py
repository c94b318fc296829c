"""One session: hears the caller, takes and yields the floor, speaks.

    frame --> ears --> turns --events--> floor: speak, hesitate, fall silent
                                  `----> looks --words--> answers --lines--> mouth --> frame

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
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.cascade import turns
from engine.cascade.answers import Answers
from engine.cascade.dialogue import Conversation, Reply
from engine.cascade.ears import RATE_HZ, Ears
from engine.cascade.endpoint import Endpoint
from engine.cascade.lines import LineCache
from engine.cascade.llm import LlmClient
from engine.cascade.looks import Looks, Words
from engine.cascade.manners import is_backchannel
from engine.cascade.mouth import SILENCE, Mouth
from engine.cascade.recogniser import Recogniser
from engine.cascade.turns import TurnTracker
from engine.cascade.voicing import VoiceDetector
from engine.cascade.workshop import Urgency, Workshop
from engine.interface import FRAME_S, Frame, FrameOutput

_log = logging.getLogger(__name__)

_MAX_RESUMES: Final = 2  # of one reply; then the agent waits

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Networks:
    """The shared, heavy parts."""

    voicing: VoiceDetector
    recogniser: Recogniser
    endpoint: Endpoint
    judge_burst: Callable[[Floats], float]
    llm: LlmClient | None = None


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
        backchannels: Sequence[str] = (),
    ) -> None:
        self._id = session_id
        self._conversation = conversation
        self._lines = lines
        self._recogniser = networks.recogniser
        self._judge_burst = networks.judge_burst
        self._workshop = workshop
        self._began = now
        self._vocabulary = vocabulary
        self._expected = vocabulary  # replaced as a whole: worker threads read it
        self._backchannels = deque(backchannels)
        self._ears = Ears(networks.voicing.stream())
        self._turns = TurnTracker()
        self._looks = Looks(
            self._sound,
            self._understand,
            networks.endpoint.finished,
            partial(workshop.submit, session_id, Urgency.PAUSE),
        )
        self._answers = Answers(session_id, conversation, networks.llm, role_text)
        self._mouth = Mouth(self._render)
        self._ticks = 0
        self._unheard: tuple[str, ...] = ()
        self._resumes = 0
        self._action = ""
        self._record: dict[str, str] = {}  # of a form that was confirmed in this tick
        self._hushed = False  # fell silent in this tick: what is queued must not be heard
        self._over = False  # the call was ended; frames may still come until it is gone
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
        self._answers.remember_said(self._mouth.take_heard())
        self._report_failures()
        record, self._record = self._record, {}
        return FrameOutput(frame_out, text, action, record)

    def close(self) -> None:
        """Drops what is still under way."""
        self._looks.close()
        self._answers.drop()
        self._mouth.stop()

    # --- what the turn machine reports ------------------------------------------------------------

    def _listen(self, frame: Frame) -> None:
        at_s = 0.0
        for chunk in self._ears.hear(frame, eager=self._mouth.sounding):
            at_s = chunk.end_sample / RATE_HZ
            for event in self._turns.update(chunk.voiced, self._mouth.sounding, at_s):
                self._on(event)
        if self._mouth.sounding and (burst := self._turns.open_burst(at_s)):
            log_odds = self._judge_burst(self._sound(burst))
            for event in self._turns.judge_burst(log_odds, at_s):
                self._on(event)

    def _on(self, event: turns.Event) -> None:
        match event:
            case turns.Paused():
                self._looks.pause(event)
            case turns.Resumed():
                self._looks.resumed()
            case turns.TurnEnded():
                self._looks.turn_ended(event)
            case turns.TurnCut():
                self._log("cascade.turn_cut", after_s=round(event.end_s - event.start_s, 1))
                self._looks.turn_ended(event)
            case turns.Hesitated():
                self._hush()
                self._mouth.hold()
            case turns.WentOn():
                self._mouth.go_on()
            case turns.Interrupted():
                self._yield_floor("interrupted")
            case turns.ShortBurst():
                self._looks.burst_over(event)
            case turns.LongTurn():
                self._nod()
            case turns.SilenceElapsed():
                self._ask_into_silence()

    def _nod(self) -> None:
        if self._backchannels and not self._mouth.speaking:
            self._backchannels.rotate(-1)
            self._mouth.say(self._backchannels[0])

    def _ask_into_silence(self) -> None:
        reply = self._conversation.silence()
        self._log("cascade.silence", action=reply.action)
        self._say(reply)

    # --- words and answers ------------------------------------------------------------------------

    def _collect(self) -> None:
        if (words := self._looks.burst_words()) is not None:
            self._hear_burst(words)
        if (verdict := self._looks.pause_verdict()) is not None:
            understood = self._conversation.understands(verdict.words.ranking)
            self._turns.judge_turn(verdict.finished, understood)
        if (words := self._looks.turn_words()) is not None:
            self._respond(words)
        if (reply := self._answers.poll()) is not None:
            self._say(reply)

    def _hear_burst(self, words: Words) -> None:
        """A short sound that let the agent go on: was it a word that wants an answer?"""
        heard = words.heard
        answers = self._conversation.awaits_yes_or_no and not self._mouth.speaking
        free = not self._mouth.speaking and not self._turns.hears_voice
        if not heard.usable and self._conversation.awaits_slot and free:
            self._log("cascade.not_understood", language=heard.language)
            self._say(self._conversation.not_understood())  # a short word is the usual answer here
            return
        if not heard.usable or (is_backchannel(heard.hypotheses) and not answers):
            return
        if self._turns.hears_voice:
            return  # it goes on: the turn machine has it
        self._yield_floor("short_words")
        self._respond(words)

    def _respond(self, words: Words) -> None:
        heard = words.heard
        empty = not heard.usable or is_backchannel(heard.hypotheses)
        if empty and self._unheard and self._resumes < _MAX_RESUMES:
            self._resume()
        elif heard.usable:
            self._unheard, self._resumes = (), 0
            reply = self._answers.to(words, self._began + timedelta(seconds=self.now_s))
            if reply is not None:
                self._say(reply)
        elif heard.hypotheses or heard.foreign:
            self._log("cascade.not_understood", language=heard.language)
            self._say(self._conversation.not_understood())
        else:  # a noise while nobody speaks is no reason to say anything
            self._log("cascade.no_words")

    # --- speaking and yielding --------------------------------------------------------------------

    def _say(self, reply: Reply) -> None:
        self._mouth.say(*reply.lines)
        self._action = reply.action
        if reply.task:
            self._record = {**reply.fields, "task": reply.task}
        self._expected = self._conversation.expected() or self._vocabulary

    def _yield_floor(self, why: str) -> None:
        if self._mouth.speaking:
            self._log("cascade.yielded", why=why)
        self._answers.drop()
        self._hush()
        self._unheard = self._mouth.stop()
        self._action = ""

    def _hush(self) -> None:
        if self._mouth.sounding and not self._mouth.held:
            self._hushed = True

    def _resume(self) -> None:
        """Stopped for nothing: what was not heard to its end is said again."""
        self._log("cascade.resumed")
        self._resumes += 1
        unheard, self._unheard = self._unheard, ()
        self._mouth.say(*unheard)

    def _due_action(self) -> str:
        if self._hushed:
            self._hushed = False
            return "yield"
        if not self._action or self._mouth.speaking or self._answers.pending:
            return ""
        action, self._action = self._action, ""
        self._over = action == "hangup"
        return action

    # --- jobs and logs ----------------------------------------------------------------------------

    def _understand(self, speech: Floats) -> Words:
        """Runs in a worker thread: reads only what is never changed, but replaced."""
        heard = self._recogniser.transcribe(speech, self._expected)
        return Words(heard, self._conversation.rank(heard.hypotheses))

    def _render(self, text: str, urgent: bool) -> Future[NDArray[np.int16]]:
        ready = self._lines.ready(text)
        if ready is not None:
            future: Future[NDArray[np.int16]] = Future()
            future.set_result(ready)
            return future
        urgency = Urgency.SPEECH if urgent else Urgency.AHEAD
        return self._workshop.submit(self._id, urgency, partial(self._lines.render, text))

    def _sound(self, event: turns.Event) -> Floats:
        return self._ears.samples(int(event.start_s * RATE_HZ), int(event.end_s * RATE_HZ))

    def _report_failures(self) -> None:
        for why in self._mouth.failures:
            _log.error("cascade.line_failed", extra={"session_id": self._id, "why": why})
        self._mouth.failures.clear()

    def _log(self, message: str, **values: object) -> None:
        _log.info(message, extra={"session_id": self._id, **values})
