"""A chat endpoint is used when it behaves and dropped when it does not."""

import json
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from engine.cascade.llm import Answer, LlmClient, LlmError, LlmSettings, Said

SETTINGS = LlmSettings("http://llm.test/v1", "small", api_key="secret")


def events(*pieces: str) -> bytes:
    """A chat completion stream."""
    chunks = [json.dumps({"choices": [{"delta": {"content": piece}}]}) for piece in pieces]
    return "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"]).encode()


def endpoint(body: bytes, kind: str = "text/event-stream", status: int = 200) -> LlmClient:
    """A client whose endpoint always answers this."""

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status, content=body, headers={"content-type": kind})

    requests.clear()
    return LlmClient(SETTINGS, httpx.Client(transport=httpx.MockTransport(answer)))


requests: list[httpx.Request] = []


def drain(answer: Answer) -> list[str]:
    """Polls until the answer is complete."""
    sentences: list[str] = []
    waiting = threading.Event()
    while not answer.finished:
        sentences += answer.poll()
        waiting.wait(0.001)
    return sentences


def ask(client: LlmClient) -> Answer:
    """One turn."""
    return client.answer("You are Alex.", [Said("user", "when do you open")])


def test_streams_sentences() -> None:
    """Pieces become whole sentences, in order."""
    client = endpoint(events("We open", " at nine. We", " close at five."))
    assert drain(ask(client)) == ["We open at nine.", "We close at five."]


def test_sends_persona_limits_and_history() -> None:
    """The role text leads, the limits follow, the key is a bearer."""
    drain(ask(endpoint(events("Hi."))))
    sent = json.loads(requests[0].content)
    assert sent["messages"][0]["content"].startswith("You are Alex.")
    assert "[handoff]" in sent["messages"][0]["content"]
    assert sent["messages"][1] == {"role": "user", "content": "when do you open"}
    assert sent["stream"] is True
    assert requests[0].headers["authorization"] == "Bearer secret"


def test_marks_become_actions_and_are_not_spoken() -> None:
    """So are markup characters."""
    answer = ask(endpoint(events("I'll get *someone*. [handoff]")))
    assert drain(answer) == ["I'll get someone."]
    assert answer.action == "handoff"


def test_long_answers_are_cut() -> None:
    """Four sentences at most on a telephone."""
    assert len(drain(ask(endpoint(events("A. B. C. D. E. F."))))) == 4


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (lambda: endpoint(b"<html>login</html>", "text/html"), "text/html"),
        (lambda: endpoint(b"{}", status=503), "503"),
        (lambda: endpoint(b"data: <html>\n\n"), "no chat completion chunk"),
        (lambda: endpoint(b'data: {"choices": [{"delta": 3}]}\n\n'), "no chat completion chunk"),
        (lambda: endpoint(events()), "empty"),
        (lambda: endpoint(b"data: " + b"x" * 70_000 + b"\n\n"), "size limit"),
    ],
)
def test_misbehaviour_is_one_error(client: Callable[[], LlmClient], why: str) -> None:
    """HTML, errors, garbage, nothing, too much: the message says which."""
    with pytest.raises(LlmError, match=why):
        drain(ask(client()))


def test_an_endpoint_that_is_down() -> None:
    """A refused connection is an error like the others."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    client = LlmClient(SETTINGS, httpx.Client(transport=httpx.MockTransport(refuse)))
    with pytest.raises(LlmError, match="ConnectError"):
        drain(ask(client))


class Clock:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_hanging_endpoint_is_given_up() -> None:
    """After 1.5 s without a sentence."""
    gate, clock = threading.Event(), Clock()

    def hang() -> Iterator[str]:
        gate.wait(5)
        yield "too late."

    answer = Answer(hang, SETTINGS, clock)
    assert answer.poll() == []
    clock.now_s = 1.6
    with pytest.raises(LlmError, match="time limit"):
        answer.poll()
    gate.set()


def test_a_stall_after_the_first_sentence_ends_the_answer() -> None:
    """What was said stands; nothing is raised."""
    gate, clock = threading.Event(), Clock()
    said = threading.Event()

    def stall() -> Iterator[str]:
        yield "First. "
        yield "Sec"
        said.set()
        gate.wait(5)

    answer = Answer(stall, SETTINGS, clock)
    assert said.wait(5)
    assert answer.poll() == ["First."]
    clock.now_s = 3.1
    assert answer.poll() == []
    assert answer.finished
    assert answer.cut_short == "no sentence within the time limit"
    gate.set()


def test_a_cancelled_answer_says_nothing_more() -> None:
    """The caller has interrupted."""
    answer = ask(endpoint(events("One. Two.")))
    answer.cancel()
    assert answer.poll() == []
