"""Calls over UDP, message by message, through a real gateway to the worker and back."""

import asyncio

import numpy as np
import pytest

from callcenter.media import g711


def level(packets: list[bytes]) -> float:
    """Root mean square of what RTP packets of mu-law hold."""
    samples = np.concatenate([g711.decode_ulaw(packet[12:]) for packet in packets])
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


async def speak(caller, packets: int, first: int = 0) -> None:
    """A loud square wave in real time."""
    for index in range(packets):
        caller.send_rtp(b"\x00" * 80 + b"\x80" * 80, first + index)
        await asyncio.sleep(0.02)


async def test_a_call_is_answered_with_the_agents_voice(make_stand, make_caller) -> None:
    """The session opens while it rings, audio flows both ways, BYE frees the slot."""
    stand = await make_stand()
    caller = make_caller(stand.udp)
    await caller.call(extra="X-Customer: 4711\r\n")
    speaking = asyncio.create_task(speak(caller, 30))
    assert level(await caller.hear(25)) > 2_000
    await speaking
    assert (await caller.ask("BYE")).startswith("SIP/2.0 200")
    (heard,) = stand.worker.heard.values()
    assert len(heard) >= 5
    assert np.abs(np.concatenate(heard)).max() > 20_000
    await stand.until_free()


async def test_a_number_nobody_answers(make_stand, make_caller) -> None:
    """404 with a reason; no slot is touched."""
    stand = await make_stand()
    caller = make_caller(stand.udp, number="15559999")
    answer = await caller.ask("INVITE", caller.sdp())
    assert answer.startswith("SIP/2.0 404")
    assert 'text="no_route"' in answer


async def test_a_full_house_is_503_with_retry_after(make_stand, make_caller) -> None:
    """The reason says which limit it was."""
    stand = await make_stand(slots=1)
    first, second = make_caller(stand.udp), make_caller(stand.udp)
    await first.call()
    answer = await second.ask("INVITE", second.sdp())
    assert answer.startswith("SIP/2.0 503")
    assert "Retry-After: 5" in answer
    assert 'text="no_capacity"' in answer
    await first.ask("BYE")


async def test_a_caller_who_gives_up(make_stand, make_caller) -> None:
    """CANCEL while it rings: 200 to the CANCEL, 487 to the INVITE, the slot comes back."""
    stand = await make_stand()
    stand.worker.say = lambda session: asyncio.sleep(60)  # the agent is not ready
    caller = make_caller(stand.udp)
    caller.send(caller.request("INVITE", caller.sdp()))
    await caller.response(180)
    caller.send(caller.request("CANCEL", cseq=caller.cseq, branch=caller.branch))
    statuses = {(await caller.response()).split()[1] for _ in range(2)}
    assert statuses == {"200", "487"}
    await stand.until_free()


async def test_a_repeated_invite_is_one_call(make_stand, make_caller) -> None:
    """The copies get the same answer."""
    stand = await make_stand()
    caller = make_caller(stand.udp)
    invite = caller.request("INVITE", caller.sdp())
    for _ in range(3):
        caller.send(invite)
    caller.take(await caller.response(200))
    caller.send(caller.request("ACK", cseq=caller.cseq))
    assert len(stand.worker.sessions) == 1
    await caller.ask("BYE")


async def test_hold_and_resume(make_stand, make_caller) -> None:
    """On hold nothing is sent; after it the agent is heard again."""
    stand = await make_stand()
    caller = make_caller(stand.udp)
    await caller.call()
    await caller.hear(5)
    held = await caller.ask("INVITE", caller.sdp(extra="a=sendonly"))
    assert "a=recvonly" in held
    caller.send(caller.request("ACK", cseq=caller.cseq))
    await asyncio.sleep(0.1)
    while True:  # what was on its way
        try:
            await caller.hear(1, timeout_s=0.01)
        except TimeoutError:
            break
    with pytest.raises(TimeoutError):
        await caller.hear(1, timeout_s=0.2)
    await caller.ask("INVITE", caller.sdp())
    caller.send(caller.request("ACK", cseq=caller.cseq))
    assert level(await caller.hear(20)) > 2_000
    await caller.ask("BYE")


async def test_the_codec_changes_in_mid_call(make_stand, make_caller) -> None:
    """From mu-law to A-law; what comes is A-law."""
    stand = await make_stand()
    caller = make_caller(stand.udp)
    await caller.call()
    await caller.hear(3)
    answer = await caller.ask("INVITE", caller.sdp("8"))
    assert "RTP/AVP 8\r\n" in answer
    caller.send(caller.request("ACK", cseq=caller.cseq))
    packets = await caller.hear(20)
    assert packets[-1][1] & 0x7F == 8
    await caller.ask("BYE")


async def test_the_agent_hangs_up(make_stand, make_caller) -> None:
    """BYE comes after the last words."""
    stand = await make_stand()
    caller = make_caller(stand.udp)
    await caller.call()
    await caller.hear(5)
    stand.worker.act("hangup")
    bye = await caller.incoming("BYE")
    caller.answer(bye)
    await stand.until_free()


@pytest.mark.parametrize(("status", "ends"), [("200 OK", True), ("503 Busy", False)])
async def test_a_handoff_by_refer(make_stand, make_caller, status, ends) -> None:
    """The far end reports what became of its new call; only then is the transfer over."""
    stand = await make_stand()
    caller = make_caller(stand.udp)
    await caller.call()
    await caller.hear(5)
    stand.worker.act("handoff")
    refer = await caller.incoming("REFER")
    assert "Refer-To: <sip:+15550199@127.0.0.1>" in refer
    caller.answer(refer, "202 Accepted")
    extra = "Event: refer\r\nSubscription-State: terminated\r\nContent-Type: message/sipfrag\r\n"
    caller.send(caller.request("NOTIFY", f"SIP/2.0 {status}\r\n", extra=extra))
    assert (await caller.response()).startswith("SIP/2.0 200")
    if ends:
        caller.answer(await caller.incoming("BYE"))
    else:
        assert level(await caller.hear(10)) > 2_000
        await caller.ask("BYE")
    await stand.until_free()


async def test_a_draining_gateway(make_stand, make_caller) -> None:
    """New calls and OPTIONS are refused, the live one goes on until the grace is over."""
    stand = await make_stand()
    live, new = make_caller(stand.udp), make_caller(stand.udp)
    await live.call()
    draining = asyncio.create_task(stand.gateway.drain(0.6))
    await asyncio.sleep(0)
    assert (await new.ask("OPTIONS")).startswith("SIP/2.0 503")
    refused = await new.ask("INVITE", new.sdp())
    assert refused.startswith("SIP/2.0 503")
    assert 'text="draining"' in refused
    assert len(await live.hear(10)) == 10
    live.answer(await live.incoming("BYE"))
    await draining
    await stand.until_free()


async def test_a_caller_who_vanishes(make_stand, make_caller) -> None:
    """No RTP: the call is ended and the slot comes back."""
    stand = await make_stand(rtp_timeout_s=0.4)
    caller = make_caller(stand.udp)
    await caller.call()
    bye = await caller.incoming("BYE")
    assert "rtp_timeout" in bye
    await stand.until_free()


async def test_an_offer_that_comes_with_the_ack(make_stand, make_caller) -> None:
    """INVITE without SDP: the 200 offers, the ACK answers."""
    stand = await make_stand()
    caller = make_caller(stand.udp)
    caller.send(caller.request("INVITE"))
    answer = await caller.response(200)
    assert "m=audio" in answer
    caller.take(answer)
    caller.send(caller.request("ACK", caller.sdp("0 101"), cseq=caller.cseq))
    assert level(await caller.hear(20)) > 2_000
    await caller.ask("BYE")


async def test_ipv6(make_stand, make_caller) -> None:
    """The same over IPv6."""
    stand = await make_stand(sip_bind_host="::1")
    caller = make_caller(stand.udp, "::1")
    answer = await caller.call()
    assert "c=IN IP6 ::1" in answer
    assert level(await caller.hear(20)) > 2_000
    await caller.ask("BYE")
