"""Answers from an OpenAI-compatible chat endpoint, streamed sentence by sentence.

The endpoint is an outsider: it may hang, answer in HTML or stop half-way. Whatever it does becomes
an `LlmError` or a shorter answer; the built-in dialogue then takes over. This module does not
know speech or turns; it runs in a thread of its own kind, for it waits and does not compute.
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")
_MARKS: Final = re.compile(r"\[(handoff|hangup)\]", re.IGNORECASE)
_UNSPEAKABLE: Final = re.compile(r"[*_#`|<>{}\[\]]")
_MAX_SENTENCES: Final = 4
_MAX_LINE_CHARS: Final = 64_000


class LlmError(Exception):
    """The endpoint gave no usable answer; the message says why, without its content."""


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """Where the endpoint is and how long it may take.

    Attributes:
        url: base URL; `/chat/completions` is appended.
        model: the model's name there.
        api_key: sent as bearer; never logged.
        first_sentence_s: after this long without a first sentence the built-in dialogue answers.
        next_sentence_s: the longest pause between sentences.
        max_tokens: of one answer.
    """

    url: str
    model: str
    api_key: str = ""
    first_sentence_s: float = 1.5
    next_sentence_s: float = 3.0
    max_tokens: int = 120


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of the conversation so far; `who` is "user" or "assistant"."""

    who: str
    text: str


LIMITS: Final = (
    "You are on the telephone. Answer in one or two short spoken sentences of plain words: no "
    "lists, no markup, no emoji. Say only what the information above supports; otherwise say that "
    "you do not know and offer a colleague. When the caller wants a person, say so and end with "
    "[handoff]. When the caller says goodbye, say goodbye and end with [hangup]."
)


class Answer:
    """One streaming answer; the tick thread polls it.

    Args:
        stream: yields pieces of text, "" as a sign of life; runs in this answer's own thread.
        settings: the deadlines.
        now: a monotonic clock.

    Attributes:
        finished: nothing more will come.
        action: "", "handoff" or "hangup", as the model ended its answer.
        cut_short: why the answer broke off after its first sentence; "" if it did not.
    """

    def __init__(
        self,
        stream: Callable[[], Iterator[str]],
        settings: LlmSettings,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._now = now
        self._deadline_s = now() + settings.first_sentence_s
        self._pieces: queue.SimpleQueue[str | LlmError | None] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self.finished = False
        self.action = ""
        self.cut_short = ""
        self._sentences = 0
        threading.Thread(target=self._read, args=(stream,), name="cascade-llm", daemon=True).start()

    def poll(self) -> list[str]:
        """Returns the sentences that came since the last poll.

        Raises:
            LlmError: the endpoint failed or was too slow, before its first sentence.
        """
        sentences: list[str] = []
        while not self.finished:
            try:
                piece = self._pieces.get_nowait()
            except queue.Empty:
                break
            if piece is None:
                self.finished = True
            elif isinstance(piece, LlmError):
                self._fail(piece)
            else:
                sentences += self._take(piece)
        self._watch(bool(sentences))
        return sentences

    def cancel(self) -> None:
        """Stops reading; the answer is not wanted any more."""
        self._cancelled.set()
        self.finished = True

    def _take(self, sentence: str) -> list[str]:
        mark = _MARKS.search(sentence)
        if mark:
            self.action = mark[1].lower()
        words = _UNSPEAKABLE.sub("", _MARKS.sub("", sentence)).strip()
        if not re.search(r"\w", words) or self._sentences >= _MAX_SENTENCES:
            return []
        self._sentences += 1
        return [words]

    def _watch(self, came: bool) -> None:
        if came:
            self._deadline_s = self._now() + self._settings.next_sentence_s
        elif not self.finished and self._now() >= self._deadline_s:
            self._fail(LlmError("no sentence within the time limit"))
        elif self.finished and self._sentences == 0 and not self._cancelled.is_set():
            raise LlmError("the answer was empty")

    def _fail(self, why: LlmError) -> None:
        self.cancel()
        if self._sentences == 0:
            raise why
        self.cut_short = str(why)

    def _read(self, stream: Callable[[], Iterator[str]]) -> None:
        try:
            for sentence in _sentences(self._until_cancelled(stream())):
                self._pieces.put(sentence)
            self._pieces.put(None)
        except LlmError as error:
            self._pieces.put(error)
        except httpx.HTTPError as error:  # the endpoint is down, slow or speaks no HTTP
            self._pieces.put(LlmError(type(error).__name__))

    def _until_cancelled(self, pieces: Iterator[str]) -> Iterator[str]:
        """An endpoint may send signs of life for ever; nobody waits for it that long."""
        for piece in pieces:
            if self._cancelled.is_set():
                return
            yield piece


class LlmClient:
    """One endpoint, shared by all calls.

    Args:
        settings: where and how long.
        client: for tests; closed by `close` in any case.
    """

    def __init__(self, settings: LlmSettings, client: httpx.Client | None = None) -> None:
        self._settings = settings
        limit = max(settings.first_sentence_s, settings.next_sentence_s)
        self._client = client or httpx.Client(timeout=httpx.Timeout(limit, connect=1.0))

    def answer(self, role_text: str, history: Sequence[Said]) -> Answer:
        """Starts one answer to the last turn in `history`."""
        messages = [{"role": "system", "content": f"{role_text}\n\n{LIMITS}"}]
        messages += [{"role": said.who, "content": said.text} for said in history]
        body = {
            "model": self._settings.model,
            "messages": messages,
            "stream": True,
            "max_tokens": self._settings.max_tokens,
            "temperature": 0.3,
        }
        return Answer(lambda: self._stream(body), self._settings)

    def close(self) -> None:
        """Closes the connections; running answers fail."""
        self._client.close()

    def _stream(self, body: dict[str, Any]) -> Iterator[str]:
        key = self._settings.api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = f"{self._settings.url.rstrip('/')}/chat/completions"
        with self._client.stream("POST", url, json=body, headers=headers) as response:
            kind = response.headers.get("content-type", "")
            if response.status_code != httpx.codes.OK:
                raise LlmError(f"HTTP status {response.status_code}")
            if "text/event-stream" not in kind:
                raise LlmError(f"content type {kind.split(';')[0]!r}, not an event stream")
            for line in _lines(response.iter_text()):
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    return
                yield _delta(data) if line.startswith("data:") else ""


def _lines(chunks: Iterator[str]) -> Iterator[str]:
    """Cuts a stream into lines of bounded length; "" for a piece that completes none."""
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split("\n")
        if any(len(line) > _MAX_LINE_CHARS for line in (*lines, rest)):
            raise LlmError("a line over the size limit")
        yield from lines or [""]
    yield rest


def _delta(data: str) -> str:
    """The text in one event (OpenAI API reference, "chat completion chunk")."""
    try:
        choices = json.loads(data)["choices"]
        return str(choices[0]["delta"].get("content") or "") if choices else ""
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise LlmError("an event that is no chat completion chunk") from error


def _sentences(pieces: Iterator[str]) -> Iterator[str]:
    """Cuts a stream of text pieces at sentence ends."""
    text = ""
    for piece in pieces:
        text += piece
        *complete, text = _SENTENCE_END.split(text)
        yield from complete
    if text.strip():
        yield text
