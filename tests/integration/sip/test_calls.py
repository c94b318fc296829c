"""Calls over UDP, message by message, through a real gateway to the worker and back."""

import asyncio
import socket
import struct

import numpy as np
import pytest
from prometheus_client import REGISTRY

from callcenter.media import g711
from callcenter.records.journal import STREAM, decode
from callcenter.telephony.sip import stream


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


async def test_a_cancel_right_behind_its_invite(make_stand, make_caller) -> None:
    """Both are read in one turn of the event loop: no slot is taken, and no call stays behind."""
    stand = await make_stand()
    caller = make_caller(stand.udp)
    caller.send(caller.request("INVITE", caller.sdp()))
    caller.send(caller.request("CANCEL", cseq=caller.cseq, branch=caller.branch))
    statuses = {(await caller.response()).split()[1] for _ in range(2)}
    assert statuses == {"200", "487"}
    await asyncio.sleep(0.1)
    assert stand.worker.specs == []
    assert stand.gateway._agent._listeners == {}
    await stand.until_free()


async def test_no_rtp_port_is_left(make_stand, make_caller) -> None:
    """503 with Retry-After; the next call, with the port free again, is answered."""
    stand = await make_stand(rtp_first_port=19_998, rtp_last_port=19_999, max_calls=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 19_998))
        caller = make_caller(stand.udp)
        refused = await caller.ask("INVITE", caller.sdp())
        assert refused.startswith("SIP/2.0 503")
        assert "Retry-After: 5" in refused
        assert 'text="no_capacity"' in refused
    assert await stand.slots_used() == 0
    caller = make_caller(stand.udp)
    assert "m=audio 19998" in await caller.call()
    await caller.ask("BYE")
    await stand.until_free()


async def test_the_network_shows_in_the_metrics(make_stand, make_caller, monkeypatch) -> None:
    """Loss, jitter, round trip and MOS of one call, with what this caller has done to it."""
    monkeypatch.setattr(stream, "REPORT_EVERY_S", 0.3)
    stand = await make_stand()
    caller = make_caller(stand.udp)
    await caller.call(caller.sdp(extra="a=rtcp-mux"))
    before = shown()
    reporting = asyncio.create_task(answer_reports(caller, delay_s=0.08, lost=64))
    await speak_with_losses(caller, 60)
    await caller.ask("BYE")
    await stand.until_free()
    reporting.cancel()
    now = {name: value - before.get(name, 0.0) for name, value in shown().items()}
    assert {name: now[f"{name}_count"] for name in NETWORK} == dict.fromkeys(NETWORK, 1.0)
    assert now["rtp_lost_ratio_in_sum"] == pytest.approx(0.1, abs=0.03)
    assert now["rtp_lost_ratio_out_sum"] == pytest.approx(0.25)
    assert 0.0 < now["rtp_jitter_seconds_sum"] < 0.02
    assert 0.08 <= now["rtp_round_trip_seconds_sum"] < 0.2
    assert 2.5 < now["rtp_mos_sum"] < 4.0  # without any loss it would be 4.3


NETWORK = (
    "rtp_lost_ratio_in",
    "rtp_lost_ratio_out",
    "rtp_jitter_seconds",
    "rtp_round_trip_seconds",
    "rtp_mos",
)


def shown() -> dict[str, float]:
    """What the metrics page says of the network; absent values are 0."""
    values = {}
    for name in NETWORK:
        base, _, way = name.partition("ratio_")
        labels = {"trunk": "test", **({"dir": way} if way else {})}
        for part in ("sum", "count"):
            sample = f"{base}ratio_{part}" if way else f"{name}_{part}"
            values[f"{name}_{part}"] = REGISTRY.get_sample_value(sample, labels) or 0.0
    return values


async def speak_with_losses(caller, packets: int) -> None:
    """In real time; every tenth packet is lost."""
    for index in range(packets):
        if index % 10 != 5:
            caller.send_rtp(b"\x00" * 160, index)
        await asyncio.sleep(0.02)


async def answer_reports(caller, delay_s: float, lost: int) -> None:
    """To every sender report a receiver report, so late, that tells nothing of the delay."""
    while True:
        (packet,) = await caller.hear(1)
        if packet[1] != 200:
            continue
        middle = int.from_bytes(packet[10:14], "big")  # of the NTP time, in 1/65536 s
        await asyncio.sleep(delay_s)
        ours = int.from_bytes(packet[4:8], "big")
        words = (0x1234, ours, lost << 24, 0, 0, middle, 0)
        caller.rtp.sendto(b"\x81\xc9\x00\x07" + struct.pack("!7I", *words), caller.remote_rtp)


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
    """No RTP: the call is ended, the slot comes back, and the record does not say "hung up"."""
    stand = await make_stand(rtp_timeout_s=0.4)
    await stand.gateway._redis.delete(STREAM)
    labels = {"transport": "sip", "reason": "rtp_timeout"}
    before = REGISTRY.get_sample_value("callcenter_leg_ends_total", labels) or 0.0
    caller = make_caller(stand.udp)
    await caller.call()
    bye = await caller.incoming("BYE")
    assert "rtp_timeout" in bye
    await stand.until_free()
    await stand.gateway._journal.flush()
    noted = [decode(fields) for _, fields in await stand.gateway._redis.xrange(STREAM)]
    (ended,) = [entry.data for entry in noted if entry.kind == "call_ended"]
    assert (ended["outcome"], ended["code"]) == ("answered", "rtp_timeout")
    assert REGISTRY.get_sample_value("callcenter_leg_ends_total", labels) == before + 1


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
