"""Both ends of the link over a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from callcenter.errors import Draining, LinkLost, NoCapacity, ProtocolError, Unauthorized
from callcenter.link import protocol
from callcenter.link.channel import QUEUED_FRAMES
from callcenter.link.client import LinkClient
from callcenter.link.protocol import (
    FRAME_SAMPLES,
    Action,
    AudioFrame,
    DrainSoon,
    End,
    OpenSession,
    Ready,
    Stats,
    Text,
)
from callcenter.link.refusals import PromptRefused, SessionFailed, StaleClaim
from callcenter.link.server import LinkServer, SessionLink
from callcenter.link.token import SessionToken, sign, verify

SECRET = "s" * 32
SPEC = OpenSession(
    call_id="CA1",
    persona="bank",
    persona_version="1",
    role_text="Be kind.",
    voice="nora",
    prompt_hash=protocol.prompt_hash("nora", "Be kind."),
)
AUTH_TOKEN = sign(
    SessionToken(
        call_id="CA1",
        worker_id="w1",
        epoch=1,
        fencing_token=1,
        prompt_hash=SPEC.prompt_hash,
        expires_at_s=4e9,
    ),
    SECRET,
)


def frame(value: int) -> np.ndarray:
    """A frame whose samples all have one value."""
    return np.full(FRAME_SAMPLES, value, np.int16)


def authorize(auth_token: str, now_s: float) -> SessionToken:
    """The least that a worker checks."""
    return verify(auth_token, SECRET, now_s)


@contextlib.asynccontextmanager
async def serving(
    session: Callable[[SessionLink], Awaitable[None]],
    authorize: Callable[[str, float], SessionToken] = authorize,
) -> AsyncIterator[str]:
    """A link server on a free port; yields its address."""
    server = LinkServer(authorize, session)
    port = await server.start("127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{port}"
    finally:
        await server.stop()


async def echo(link: SessionLink) -> None:
    """Sends every frame back with what a worker says around it."""
    link.channel.send_control(Ready())
    async for audio in link.messages():
        link.channel.send_frame(audio.pcm, concealed=audio.concealed)
    link.channel.send_control(End(reason="done"))


async def test_frames_come_back_in_order() -> None:
    """Ten frames there and back, numbered from 0, none lost."""
    async with serving(echo) as url:
        link = await LinkClient.open(url, AUTH_TOKEN, SPEC)
        messages = link.messages()
        for index in range(10):
            link.send(frame(index))
            message = await anext(messages)
            assert isinstance(message, AudioFrame)
            assert (message.sequence, int(message.pcm[0])) == (index, index)
        await link.close("caller_hung_up")
        assert link.frames_dropped == 0


async def test_the_worker_gets_the_opening_as_it_was_sent() -> None:
    """Token and spec arrive whole."""
    seen = []

    async def session(link: SessionLink) -> None:
        seen.append((link.token.call_id, link.spec))
        link.channel.send_control(Ready())

    async with serving(session) as url:
        link = await LinkClient.open(url, AUTH_TOKEN, SPEC)
        await link.close("done")
    assert seen == [("CA1", SPEC)]


async def test_control_messages_arrive_in_order_and_end_is_the_last() -> None:
    """Text, action, drain and stats come through; after the end the iterator stops."""
    said = [
        Text(piece="Hi", frame=0),
        Action(name="handoff"),
        DrainSoon(deadline_s=5.0),
        Stats(frames_in=0, frames_dropped=0, frames_concealed=0, frames_out=0),
        End(reason="drained"),
    ]

    async def session(link: SessionLink) -> None:
        for message in [Ready(), *said]:
            link.channel.send_control(message)

    async with serving(session) as url:
        link = await LinkClient.open(url, AUTH_TOKEN, SPEC)
        assert [message async for message in link.messages()] == said
        await link.close("done")


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer " + "x" * 99}]
)
async def test_strangers_get_a_status_and_no_socket(headers: dict[str, str]) -> None:
    """Without a genuine token the upgrade itself is refused."""
    async with serving(echo) as url:
        with pytest.raises(InvalidStatus) as caught:
            await connect(url, additional_headers=headers, proxy=None)
    assert caught.value.response.status_code == 401
    assert caught.value.response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("refusal", [Unauthorized, StaleClaim, NoCapacity, Draining])
async def test_a_refused_upgrade_raises_the_workers_reason(refusal: type[Exception]) -> None:
    """The gateway gets the same exception type and words."""

    def refuse(auth_token: str, now_s: float) -> SessionToken:
        raise refusal("not today")

    async with serving(echo, refuse) as url:
        with pytest.raises(refusal, match="not today") as caught:
            await LinkClient.open(url, AUTH_TOKEN, SPEC)
    assert type(caught.value) is refusal


@pytest.mark.parametrize("refusal", [NoCapacity, PromptRefused, SessionFailed])
async def test_a_session_turned_down_after_the_upgrade(refusal: type[Exception]) -> None:
    """The worker may also say no once it has seen the prompt."""

    async def session(link: SessionLink) -> None:
        raise refusal("no such voice")

    async with serving(session) as url:
        with pytest.raises(refusal, match="no such voice"):
            await LinkClient.open(url, AUTH_TOKEN, SPEC)


async def test_a_session_given_up_later_raises_from_messages() -> None:
    """An error message in mid-call is an exception, not an item."""

    async def session(link: SessionLink) -> None:
        link.channel.send_control(Ready())
        raise SessionFailed("the engine lost this session")

    async with serving(session) as url:
        link = await LinkClient.open(url, AUTH_TOKEN, SPEC)
        with pytest.raises(SessionFailed, match="lost this session"):
            await anext(link.messages())
        await link.close("done")


async def test_a_worker_that_vanishes_is_a_lost_link() -> None:
    """A connection that ends without an end message is told apart from an end."""

    async def session(link: SessionLink) -> None:
        link.channel.send_control(Ready())

    async with serving(session) as url:
        link = await LinkClient.open(url, AUTH_TOKEN, SPEC)
        with pytest.raises(LinkLost, match="without an end"):
            await anext(link.messages())
        await link.close("done")


async def test_a_worker_that_falls_silent_is_a_lost_link() -> None:
    """The watch-dog does not wait for the connection to break."""
    async with serving(echo) as url:
        link = await LinkClient.open(url, AUTH_TOKEN, SPEC, stall_s=0.05)
        with pytest.raises(LinkLost, match=r"nothing for 0\.05 s"):
            await anext(link.messages())
        await link.close("done")


async def test_a_worker_that_never_gets_ready_is_a_lost_link() -> None:
    """Opening is bounded in time, and leaves no session behind."""
    ended = asyncio.Event()

    async def session(link: SessionLink) -> None:
        async for _ in link.messages():
            pass
        ended.set()

    async with serving(session) as url:
        with pytest.raises(LinkLost, match="not ready within"):
            await LinkClient.open(url, AUTH_TOKEN, SPEC, timeout_s=0.1)
        await asyncio.wait_for(ended.wait(), 2)


async def test_nobody_there_is_a_lost_link() -> None:
    """A closed port is reported with its address."""
    async with serving(echo) as url:
        pass
    with pytest.raises(LinkLost, match=url):
        await LinkClient.open(url, AUTH_TOKEN, SPEC)


async def test_a_wrong_address_is_a_protocol_error() -> None:
    """An address that no WebSocket can have."""
    with pytest.raises(ProtocolError, match="no WebSocket URL"):
        await LinkClient.open("http://127.0.0.1:1", AUTH_TOKEN, SPEC)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("{", "control message"),
        ('{"type":"end","reason":"x"}', "must be open"),
        (bytes(8), "version 0"),
        (bytes(4_000), "longer than one frame"),
    ],
)
async def test_a_gateway_that_breaks_the_protocol_hears_what_was_wrong(
    first: str | bytes, words: str
) -> None:
    """The offender gets an error message; another session goes on."""
    async with serving(echo) as url:
        good = await LinkClient.open(url, AUTH_TOKEN, SPEC)
        headers = {"Authorization": f"Bearer {AUTH_TOKEN}"}
        async with connect(url, additional_headers=headers, proxy=None) as bad:
            await bad.send(first)
            answer = protocol.decode_from_worker(str(await bad.recv()))
        assert isinstance(answer, protocol.ErrorMessage)
        assert answer.code == "protocol"
        assert words in answer.message
        good.send(frame(7))
        echoed = await anext(good.messages())
        assert isinstance(echoed, AudioFrame)
        await good.close("done")


async def test_a_second_opening_is_refused() -> None:
    """A session has one spec."""
    async with serving(echo) as url:
        headers = {"Authorization": f"Bearer {AUTH_TOKEN}"}
        async with connect(url, additional_headers=headers, proxy=None) as twice:
            await twice.send(protocol.encode_control(SPEC))
            await twice.send(protocol.encode_control(SPEC))
            assert await twice.recv() == protocol.encode_control(Ready())
            assert "twice" in str(await twice.recv())


async def test_a_slow_reader_loses_the_oldest_frames_and_the_sender_never_waits() -> None:
    """Far more frames than the buffers hold: the newest arrive, the rest is counted."""
    dropped = asyncio.get_running_loop().create_future()
    total = 400

    async def session(link: SessionLink) -> None:
        link.channel.send_control(Ready())
        for index in range(total):
            link.channel.send_frame(frame(index))
            await asyncio.sleep(0)
        dropped.set_result(link.channel.frames_dropped)
        async for _ in link.messages():
            pass

    async with serving(session) as url:
        link = await LinkClient.open(url, AUTH_TOKEN, SPEC)
        count = await dropped
        last, heard = -1, 0
        async for message in link.messages():
            assert isinstance(message, AudioFrame)
            assert message.sequence > last
            last, heard = message.sequence, heard + 1
            if last == total - 1:
                break
        await link.close("done")
    assert count >= total // 2
    assert heard == total - count
    assert heard <= 100 + QUEUED_FRAMES
