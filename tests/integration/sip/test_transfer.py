"""Callers are handed over: blindly to a number, or to somebody who has answered already."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from socket import SOCK_DGRAM
from urllib.parse import unquote

import numpy as np
import pytest

from callcenter.media import g711
from tests.integration.sip.conftest import NUMBER, Caller, needs, run
from tests.integration.sip.test_baresip import baresip_folder
from tests.servers import free_port

pytestmark = pytest.mark.timeout(40)
NOTIFIED = "Event: refer\r\nSubscription-State: terminated\r\nContent-Type: message/sipfrag\r\n"


def attended(port: int) -> str:
    """The trunk's lines: humans are at a port, and are called first."""
    return f"transfer: attended\ntransfer_uri: 'sip:{{number}}@127.0.0.1:{port}'"


async def human(port: int) -> str:
    """SIPp's own answering machine for one call that ends by BYE."""
    return await run(
        needs("sipp"),
        *("-sn", "uas", "-i", "127.0.0.1", "-p", port, "-mp", free_port(SOCK_DGRAM), "-m", "1"),
        *("-nostdin", "-timeout", "20", "-timeout_error", "-trace_err"),
        *("-error_file", "/dev/stdout"),
        timeout_s=30,
    )


async def on_the_phone(stand, make_caller: Callable[..., Caller]) -> Caller:
    """A caller who hears the agent."""
    caller = make_caller(stand.udp)
    await caller.call()
    await caller.hear(5)
    return caller


async def tell(caller: Caller, status: str) -> None:
    """The NOTIFY that says what became of the caller's new call."""
    caller.send(caller.request("NOTIFY", f"SIP/2.0 {status}\r\n", extra=NOTIFIED))
    assert (await caller.response()).startswith("SIP/2.0 200")


def refer_to(refer: str) -> str:
    """Whom a REFER names."""
    found = re.search(r"^Refer-To: <([^>]+)>", refer, re.MULTILINE)
    assert found is not None
    return found[1]


async def test_baresip_follows_a_refer(make_stand, tmp_path: Path) -> None:
    """It calls whom we name, tells us, and we leave; the human is SIPp."""
    program, port = needs("baresip"), free_port(SOCK_DGRAM)
    stand = await make_stand(trunk=f"transfer_uri: 'sip:{{number}}@127.0.0.1:{port}'")
    folder = baresip_folder(tmp_path / "baresip", "pcmu")
    account = "<sip:caller@127.0.0.1;transport=udp>;regint=0;audio_codecs=pcmu\n"
    (folder / "accounts").write_text(account)
    answering = asyncio.create_task(human(port))
    calling = asyncio.create_task(
        run(program, "-f", folder, "-e", f"/dial sip:{NUMBER}@127.0.0.1:{stand.udp}", "-t", "6")
    )
    async with asyncio.timeout(10):
        while not stand.worker.sessions:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    stand.worker.act("handoff")
    await stand.until_free()  # baresip has told us that it got through: we have hung up
    assert not calling.done()
    await asyncio.gather(calling, answering)


async def test_sipp_is_reached_before_the_transfer(make_stand, make_caller) -> None:
    """SIPp answers a call of ours, the caller takes it over by its word, SIPp gets BYE."""
    port = free_port(SOCK_DGRAM)
    stand = await make_stand(trunk=attended(port))
    answering = asyncio.create_task(human(port))
    caller = await on_the_phone(stand, make_caller)
    stand.worker.act("handoff")
    refer = await caller.incoming("REFER")
    assert "?Replaces=" in refer_to(refer)
    caller.answer(refer, "202 Accepted")
    await tell(caller, "200 OK")
    caller.answer(await caller.incoming("BYE"))
    await answering
    await stand.until_free()


async def test_the_caller_takes_our_call_over(make_stand, make_caller) -> None:
    """The human's call with us is named as the human knows it, and is replaced (RFC 3891)."""
    answering = make_caller(0)
    port = answering.sip.getsockname()[1]
    stand = await make_stand(trunk=attended(port))
    answering.peer = ("127.0.0.1", stand.udp)
    caller = await on_the_phone(stand, make_caller)
    stand.worker.act("handoff")
    invite = await answering.incoming("INVITE")
    answering.answer(invite, "180 Ringing", to_tag="human")
    answering.answer(invite, "200 OK", answering.sdp("0"), to_tag="human")
    await answering.incoming("ACK")
    assert len(await answering.hear(5)) == 5  # silence, so that the line is alive
    refer = await caller.incoming("REFER")
    target, _, headers = refer_to(refer).partition("?")
    assert target.endswith(f"@127.0.0.1:{port}")
    named = dict(header.split("=", 1) for header in headers.split("&"))
    call_id = re.search(r"^Call-ID: (\S+)", invite, re.MULTILINE)
    our_tag = re.search(r"^From: .*;tag=(\S+)", invite, re.MULTILINE)
    assert call_id is not None
    assert our_tag is not None
    wanted = f"{call_id[1]};to-tag=human;from-tag={our_tag[1]}"
    assert unquote(named["Replaces"]) == wanted
    caller.answer(refer, "202 Accepted")
    answering.call_id, answering.tag, answering.to_tag = call_id[1], "human", our_tag[1]
    assert (await answering.ask("BYE")).startswith("SIP/2.0 200")
    await tell(caller, "200 OK")
    caller.answer(await caller.incoming("BYE"))
    await stand.until_free()


@pytest.mark.parametrize("status", ["486 Busy Here", "603 Decline"])
async def test_a_human_who_does_not_answer(make_stand, make_caller, status) -> None:
    """No REFER; the caller goes on talking with the agent."""
    answering = make_caller(0)
    stand = await make_stand(trunk=attended(answering.sip.getsockname()[1]))
    answering.peer = ("127.0.0.1", stand.udp)
    caller = await on_the_phone(stand, make_caller)
    stand.worker.act("handoff")
    answering.answer(await answering.incoming("INVITE"), status, to_tag="human")
    await answering.incoming("ACK")
    heard = np.concatenate([g711.decode_ulaw(packet[12:]) for packet in await caller.hear(30)])
    assert np.abs(heard[-800:].astype(int)).max() > 2_000
    assert not [text for text in caller.inbox if text.startswith("REFER")]
    await caller.ask("BYE")
    await stand.until_free()


async def test_a_caller_who_leaves_while_it_rings(make_stand, make_caller) -> None:
    """The human's telephone stops ringing."""
    answering = make_caller(0)
    stand = await make_stand(trunk=attended(answering.sip.getsockname()[1]))
    answering.peer = ("127.0.0.1", stand.udp)
    caller = await on_the_phone(stand, make_caller)
    stand.worker.act("handoff")
    invite = await answering.incoming("INVITE")
    answering.answer(invite, "180 Ringing", to_tag="human")
    await asyncio.sleep(0.1)
    await caller.ask("BYE")
    answering.answer(await answering.incoming("CANCEL"))
    answering.answer(invite, "487 Request Terminated", to_tag="human")
    await answering.incoming("ACK")
    await stand.until_free()
