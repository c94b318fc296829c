"""What is said to a turn of the caller: by the script, or by a language model within the persona.

With a language model the script answers too: its answer is said when the model fails or is late.
This module keeps what the model is shown of the conversation. It does not know sound, turns or
playing.
"""

from __future__ import annotations

import logging
from collections import deque
from datetime import datetime
from typing import Final

from engine.cascade.dialogue import Conversation, Reply
from engine.cascade.llm import Answer, LlmClient, LlmError, Said
from engine.cascade.looks import Words

_log = logging.getLogger(__name__)

# Answered by the persona itself, whatever a language model would say: what the role text states,
# and where a life may hang on the answer.
_OWN: Final = frozenset({"fact", "emergency", "self_harm"})
_HISTORY: Final = 24  # turns that a language model is shown


class Answers:
    """The answers of one session.

    Args:
        session_id: names the session in logs.
        conversation: the built-in dialogue.
        llm: answers instead, where one is configured.
        role_text: for the language model.
    """

    def __init__(
        self, session_id: str, conversation: Conversation, llm: LlmClient | None, role_text: str
    ) -> None:
        self._id = session_id
        self._conversation = conversation
        self._llm = llm
        self._role_text = role_text
        self._answer: Answer | None = None
        self._fallback = Reply(())
        self._history: deque[Said] = deque(maxlen=_HISTORY)

    @property
    def pending(self) -> bool:
        """True while a language model still answers."""
        return self._answer is not None

    def to(self, words: Words, now: datetime) -> Reply | None:
        """Answers one turn; None when a language model does, which `poll` tells about."""
        self.drop()
        best = words.heard.hypotheses[0]
        reply = self._conversation.heard(words.heard.hypotheses, words.ranking, now)
        _log.info(
            "cascade.turn",
            extra={
                "session_id": self._id,
                "intent": reply.intent,
                "score": round(reply.score, 2),
                "pii.heard": best,
            },
        )
        self._history.append(Said("user", best))
        if self._llm is None or reply.action or reply.task or reply.intent in _OWN:
            return reply
        self._fallback = reply
        self._answer = self._llm.answer(self._role_text, list(self._history))
        return None

    def poll(self) -> Reply | None:
        """Returns what the language model has said since, or the script's answer in its place."""
        answer = self._answer
        if answer is None:
            return None
        try:
            sentences = answer.poll()
        except LlmError as error:
            self._warn("cascade.llm_failed", str(error))
            self._answer = None
            return self._fallback
        if not sentences and not answer.finished:
            return None
        if answer.finished:
            self._answer = None
            if answer.cut_short:
                self._warn("cascade.llm_cut_short", answer.cut_short)
        return Reply(tuple(sentences), answer.action if answer.finished else "")

    def drop(self) -> None:
        """The caller does not want this answer any more."""
        if self._answer:
            self._answer.cancel()
            self._answer = None

    def remember_said(self, heard: str) -> None:
        """Takes what the caller has heard of the agent, not what was meant to be said."""
        if heard:
            self._history.append(Said("assistant", heard))

    def _warn(self, message: str, why: str) -> None:
        _log.warning(message, extra={"session_id": self._id, "why": why})
