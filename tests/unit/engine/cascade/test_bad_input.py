"""What callers, endpoints and personas do wrong: what is said then, and the line in the log.

A minute of music and a turn of a minute, with the real networks: `test_long_sounds.py`. A missing
or damaged model file: `test_models.py`, and as the worker says it, `worker/test_cascade.py`.
"""

import logging
import threading
from collections.abc import Iterator

import httpx
import pytest

from engine.cascade.llm import LlmClient, LlmSettings
from tests.unit.engine.cascade.rooms import Room, ask_endpoint, recording, said
from tests.unit.engine.cascade.test_llm import endpoint, events

QUESTION = recording("manners/question")
BARGE_IN = recording("manners/interruption-00")
BUILT_IN = ["You can park behind the house."]
IMPATIENT = LlmSettings("http://llm.test/v1", "small", first_sentence_s=0.1)


def why_the_endpoint_failed(caplog: pytest.LogCaptureFixture) -> str:
    """The reason in the log."""
    (line,) = [line for line in caplog.records if line.message == "cascade.llm_failed"]
    return str(line.__dict__["why"])


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the level of the tests."""
    caplog.set_level(logging.INFO)


def test_no_speech_for_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Asked about every six seconds; two prompts, a goodbye, then the end."""
    room = Room()
    room.wait(7.0)
    assert room.lines == ["Are you there?"]
    room.wait(53.0)
    assert room.lines == ["Are you there?", "Hello?", "I'll hang up now."]
    assert room.actions == ["hangup"]
    silences = [line for line in caplog.records if line.message == "cascade.silence"]
    assert [line.__dict__["action"] for line in silences] == ["", "", "hangup"]


def test_another_language(caplog: pytest.LogCaptureFixture) -> None:
    """Not answered with a guess at an intent."""
    room = Room()
    lines = room.turn(QUESTION, said("Wo kann ich parken?", language="de"))
    assert lines == ["Sorry, what was that?"]
    (line,) = [line for line in caplog.records if line.message == "cascade.not_understood"]
    assert line.__dict__["language"] == "de"


def test_noise_taken_for_speech(caplog: pytest.LogCaptureFixture) -> None:
    """No words: the agent keeps quiet."""
    assert Room().turn(QUESTION, said("")) == []
    assert "cascade.no_words" in caplog.messages


def test_ten_interruptions_in_a_row(caplog: pytest.LogCaptureFixture) -> None:
    """Each is yielded to; the agent neither breaks nor piles up old answers."""
    room = Room()
    room.turn(QUESTION, "where can i park", 0.8)
    for _ in range(10):
        room.turn(BARGE_IN, "when are you open", 0.8)
        assert room.lines.count("We open at nine.") <= 1
    assert room.actions.count("yield") == caplog.messages.count("cascade.yielded") == 10
    room.wait(8.0)
    assert room.lines[-1] in ("Would you like a table?", "Are you there?")


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (b"<html>", "text/html", "content type 'text/html', not an event stream"),
        (b"data: <html>\n\n", "text/event-stream", "an event that is no chat completion chunk"),
        (events(), "text/event-stream", "the answer was empty"),
    ],
)
def test_a_useless_endpoint(
    body: bytes, kind: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """HTML, garbage or nothing: the persona's own answer is said."""
    assert ask_endpoint(endpoint(body, kind)) == BUILT_IN
    assert why_the_endpoint_failed(caplog) == why


def test_an_endpoint_that_times_out(caplog: pytest.LogCaptureFixture) -> None:
    """As a refused connection or a broken one."""

    def wait_too_long(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("nothing came", request=request)

    client = LlmClient(IMPATIENT, httpx.Client(transport=httpx.MockTransport(wait_too_long)))
    assert ask_endpoint(client) == BUILT_IN
    assert why_the_endpoint_failed(caplog) == "ReadTimeout"


class HangingStream(httpx.SyncByteStream):
    """Signs of life without a word, until somebody stops listening."""

    def __init__(self) -> None:
        self.left = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(10_000):
            yield b": still thinking\n\n"
            threading.Event().wait(0.001)

    def close(self) -> None:
        """The client went."""
        self.left.set()


def test_an_endpoint_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    """The persona answers when the time is over, and no thread stays behind with the endpoint."""
    stream = HangingStream()
    headers = {"content-type": "text/event-stream"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=stream))
    assert ask_endpoint(LlmClient(IMPATIENT, httpx.Client(transport=transport))) == BUILT_IN
    assert why_the_endpoint_failed(caplog) == "no sentence within the time limit"
    assert stream.left.wait(5)


def test_a_persona_without_dialogue(caplog: pytest.LogCaptureFixture) -> None:
    """It still finds a person."""
    room = Room(section=None)
    assert "cascade.persona_without_dialogue" in caplog.messages
    lines = room.turn(recording("manners/question"), "i want to speak to a human")
    assert lines == ["Of course. I'll put you through to a colleague. One moment, please."]
