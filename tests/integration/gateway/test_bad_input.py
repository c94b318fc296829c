"""What goes wrong at the gateway's doors: a clear refusal, and the other calls go on."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

PACKET = b"\x7f" * 160  # 20 ms of mu-law silence


@pytest.fixture
async def stand(make_stand):
    """Two slots, a call may take one second to say "start"."""
    return await make_stand(slots=3, start_timeout_s=0.4, max_audio_lead_s=1.0)


@contextlib.asynccontextmanager
async def bystander(stand) -> AsyncIterator[None]:
    """Another call, which must hear its agent before and after."""
    caller = stand.caller()
    socket = await caller.start()
    await caller.hear(socket)
    yield
    while True:  # what was queued while nobody read
        try:
            async with asyncio.timeout(0.02):
                await socket.recv()
        except TimeoutError:
            break
    await caller.hear(socket, packets=12)
    assert await stand.slots_used() == 1
    await socket.close()


async def end_of(socket) -> tuple[int, str]:
    """Reads until the gateway closes; code and reason."""
    with contextlib.suppress(ConnectionClosed):
        async for _ in socket:
            pass
    return socket.close_code, socket.close_reason


async def refusal_of(caller, url: str, signature: str | None = None) -> tuple[int, str]:
    """Opens a media socket that must be refused before it is accepted; status and text."""
    with pytest.raises(InvalidStatus) as refused:
        await caller.connect(url, signature)
    response = refused.value.response
    return response.status_code, bytes(response.body).decode()


async def test_unsigned_webhook(stand) -> None:
    """403, and no slot is taken."""
    async with bystander(stand):
        response = await stand.http.post(f"{stand.base_url}/twilio/voice", data={"CallSid": "CA1"})
        assert response.status_code == 403
        assert "X-Twilio-Signature" in response.text


async def test_webhook_signed_with_another_secret(stand) -> None:
    """403 with a hint at the settings."""
    async with bystander(stand):
        response = await stand.caller().announce(signature="bm90IHRoZSByaWdodCBvbmUgYXQgYWw=")
        assert response.status_code == 403
        assert "PUBLIC_BASE_URL" in response.text


async def test_webhook_that_is_no_form(stand) -> None:
    """400 before anything else is done."""
    async with bystander(stand):
        url = f"{stand.base_url}/twilio/voice"
        assert (await stand.http.post(url, content=b"\xff\xfe")).status_code == 400
        assert (await stand.http.post(url, content=b"a=" + b"x" * 70_000)).status_code == 413


async def test_replayed_webhook_gets_the_same_answer_and_no_second_slot(stand) -> None:
    """Word for word the same TwiML; its address works once."""
    async with bystander(stand):
        caller = stand.caller()
        first, second = await caller.announce(), await caller.announce()
        assert first.status_code == second.status_code == 200
        assert first.text == second.text
        assert await stand.slots_used() == 2
        socket = await caller.connect(await caller.stream_url())
        await caller.say_start(socket)
        status, text = await refusal_of(caller, await caller.stream_url())
        assert (status, "used before" in text) == (403, True)
        await socket.close()


async def test_a_recorded_webhook_gets_nothing_later(make_stand) -> None:
    """Past the time of its address: no other address, and no slot."""
    stand = await make_stand(2, stream_token_ttl_s=1)
    caller = stand.caller()
    assert (await caller.announce()).status_code == 200
    before = await stand.slots_used()
    await asyncio.sleep(1.2)
    replayed = await caller.announce()
    assert replayed.status_code == 403
    assert "Stream" not in replayed.text
    assert await stand.slots_used() == before


async def test_without_a_token_there_is_no_door_for_twilio(make_stand) -> None:
    """Neither webhook nor socket, however they are signed."""
    stand = await make_stand(1, twilio_auth_token=None)
    caller = stand.caller()
    assert (await caller.announce()).status_code == 404
    url = f"{stand.base_url.replace('http', 'ws')}/twilio/media/{'A' * 32}"
    assert (await refusal_of(caller, url))[0] in (403, 404)


async def test_socket_without_signature_or_with_a_wrong_one(stand) -> None:
    """403 before the socket is accepted; the address stays good for the real caller."""
    async with bystander(stand):
        caller = stand.caller()
        url = await caller.stream_url()
        assert (await refusal_of(caller, url, "d3Jvbmc="))[0] == 403
        socket = await caller.connect(url)
        await caller.say_start(socket)
        await caller.hear(socket)
        await socket.close()


async def test_socket_with_an_unknown_token(stand) -> None:
    """403 that says what may be the reason."""
    async with bystander(stand):
        url = f"{stand.base_url.replace('http', 'ws')}/twilio/media/{'A' * 32}"
        status, text = await refusal_of(stand.caller(), url)
        assert (status, "unknown, expired" in text) == (403, True)


async def test_second_socket_for_a_live_call(stand) -> None:
    """A new webhook of the same call gives a new address, but one call has one socket."""
    async with bystander(stand):
        caller = stand.caller()
        socket = await caller.start()
        await caller.hear(socket)
        caller.form["CallStatus"] = "in-progress"  # another form, another signature
        status, text = await refusal_of(caller, await caller.stream_url())
        assert (status, "media socket already" in text) == (409, True)
        await caller.hear(socket)
        await socket.close()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("{not json", "malformed"),
        ('{"event": 7}', "malformed"),
        ('{"event": "media", "streamSid": "MZ1", "media": {}}', "malformed"),
        (b"\x00\x01", "malformed"),
    ],
    ids=["no JSON", "no event", "no payload", "binary"],
)
async def test_malformed_message(stand, message: str | bytes, reason: str) -> None:
    """The socket is closed with the reason, the slot is free."""
    async with bystander(stand):
        caller = stand.caller()
        socket = await caller.start()
        await socket.send(message)
        assert await end_of(socket) == (1008, reason)


async def test_start_of_another_call(stand) -> None:
    """An address cannot be used for a call that it was not issued for."""
    async with bystander(stand):
        caller = stand.caller()
        socket = await caller.connect(await caller.stream_url())
        await stand.caller().say_start(socket)
        assert await end_of(socket) == (1008, "malformed")


async def test_wrong_encoding(stand) -> None:
    """A codec that we do not speak is said so."""
    async with bystander(stand):
        caller = stand.caller()
        socket = await caller.connect(await caller.stream_url())
        await socket.send(caller.carrier.connected())
        start = json.loads(caller.carrier.start({}))
        start["start"]["mediaFormat"]["encoding"] = "audio/opus"
        await socket.send(json.dumps(start))
        assert await end_of(socket) == (1008, "unsupported_encoding")


async def test_oversized_message(stand) -> None:
    """1009, as RFC 6455 has it; the gateway never parses it."""
    async with bystander(stand):
        caller = stand.caller()
        socket = await caller.start()
        await socket.send("x" * 20_000)
        assert (await end_of(socket))[0] == 1009


async def test_audio_faster_than_real_time(stand) -> None:
    """More than the allowed lead ends the call; a burst within it does not."""
    async with bystander(stand):
        caller = stand.caller()
        socket = await caller.start()
        for index in range(30):
            await socket.send(caller.carrier.media(PACKET, index * 20))
        await caller.hear(socket)
        for index in range(30, 130):
            await socket.send(caller.carrier.media(PACKET, index * 20))
        assert await end_of(socket) == (1008, "too_fast")


async def test_client_that_never_says_start(stand) -> None:
    """The socket is closed after the time-out."""
    async with bystander(stand):
        caller = stand.caller()
        socket = await caller.connect(await caller.stream_url())
        await socket.send(caller.carrier.connected())
        assert await end_of(socket) == (1008, "start_timeout")


async def test_no_free_slot(make_stand) -> None:
    """503 and a TwiML that says so; when a call ends, the next one is answered."""
    stand = await make_stand(slots=1)
    async with bystander(stand):
        response = await stand.caller().announce()
        assert response.status_code == 503
        assert "lines are busy" in response.text
        assert response.text.count("<Hangup") == 1
    await stand.until_used(0)
    socket = await stand.caller().start()
    await socket.close()


async def test_status_of_no_free_slot_is_configurable(make_stand) -> None:
    """With 200 Twilio plays the sentence to the caller."""
    stand = await make_stand(slots=1, no_capacity_status=200, no_capacity_message="Full house.")
    async with bystander(stand):
        response = await stand.caller().announce()
        assert (response.status_code, "Full house." in response.text) == (200, True)


async def test_more_calls_than_the_gateway_may_carry(make_stand) -> None:
    """Slots are left, but this process is full."""
    stand = await make_stand(slots=3, max_calls=1)
    async with bystander(stand):
        assert (await stand.caller().announce()).status_code == 503
        assert await stand.slots_used() == 1


async def test_number_without_a_route(stand) -> None:
    """The caller is told so, and no slot is taken."""
    async with bystander(stand):
        response = await stand.caller("+15559999").announce()
        assert (response.status_code, "not in service" in response.text) == (200, True)
