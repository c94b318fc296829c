"""Offers and candidates that must be refused."""

import random
from collections.abc import AsyncIterator

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from pydantic import ValidationError

from callcenter.errors import ProtocolError
from callcenter.telephony.webrtc.leg import WebRtcLeg
from callcenter.telephony.webrtc.signaling import (
    MAX_CANDIDATES,
    Candidate,
    Candidates,
    NoRestart,
    Offer,
    add_candidates,
    negotiate,
)

GOOD = "\r\n".join(
    [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789012345678901",
        "a=fingerprint:sha-256 " + ":".join(["AA"] * 32),
        "a=setup:actpass",
        "a=mid:0",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "",
    ]
)
CANDIDATE = Candidate(candidate="candidate:1 1 udp 1 192.0.2.1 9 typ host", sdp_mid="0")


@pytest.fixture
async def leg() -> AsyncIterator[WebRtcLeg]:
    """Before an offer."""
    leg = WebRtcLeg(RTCPeerConnection(RTCConfiguration(iceServers=[])), {})
    yield leg
    await leg.close("over")


def offer(sdp: str) -> Offer:
    """As the HTTP body has it."""
    return Offer(sdp=sdp, type="offer")


@pytest.mark.parametrize(
    "sdp",
    [
        "nonsense",
        "v=0\r\n",
        GOOD.replace("m=audio 9", "m=audio x"),
        GOOD.replace("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 speex/8000"),
        GOOD.replace("m=audio", "m=video").replace("opus/48000/2", "VP8/90000"),
        GOOD.replace("a=ice-ufrag:abcd\r\n", ""),
        GOOD.replace("a=fingerprint:sha-256", "a=fingerprint"),
    ],
    ids=["no sdp", "no media", "bad port", "no opus", "no audio", "no ice", "bad fingerprint"],
)
async def test_offers_that_cannot_be_answered(leg: WebRtcLeg, sdp: str) -> None:
    """One kind of error, whatever the parser stumbled over."""
    with pytest.raises(ProtocolError):
        await negotiate(leg, offer(sdp), "pc")


async def test_too_many_candidates(leg: WebRtcLeg) -> None:
    """Each would make this side send packets to an address of the sender's choice."""
    line = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
    with pytest.raises(ProtocolError, match="candidates"):
        await negotiate(leg, offer(GOOD + line * (MAX_CANDIDATES + 1)), "pc")


async def test_too_many_late_candidates(leg: WebRtcLeg) -> None:
    """Counted over all messages of a call."""
    await add_candidates(leg, Candidates(pc_id="pc", candidates=[CANDIDATE] * MAX_CANDIDATES))
    with pytest.raises(ProtocolError, match="candidates"):
        await add_candidates(leg, Candidates(pc_id="pc", candidates=[CANDIDATE]))


async def test_too_many_media_lines(leg: WebRtcLeg) -> None:
    """A call has one."""
    with pytest.raises(ProtocolError, match="media lines"):
        await negotiate(leg, offer(GOOD + "m=audio 9 RTP/AVP 0\r\n" * 5), "pc")


@pytest.mark.timeout(60)
async def test_mutated_offers_raise_nothing_else() -> None:
    """A fixed seed; the process must not meet an exception that it does not know."""
    chance = random.Random(11)
    for _ in range(150):
        text = list(GOOD)
        for _ in range(chance.randint(1, 12)):
            place = chance.randrange(len(text))
            text[place] = chance.choice(["", "\r\n", ":", " ", "9" * 12, "a=", chr(0), "ä"])
        leg = WebRtcLeg(RTCPeerConnection(RTCConfiguration(iceServers=[])), {})
        try:
            await negotiate(leg, offer("".join(text)), "pc")
        except ProtocolError as error:
            assert str(error)  # noqa: PT017 - most of them, not all, are refused
        await leg.close("over")


@pytest.mark.parametrize("body", [{"sdp": "", "type": "offer"}, {"sdp": "v=0", "type": "answer"}])
def test_bodies_that_are_no_offer(body: dict[str, str]) -> None:
    """Refused before anything is parsed."""
    with pytest.raises(ValidationError):
        Offer.model_validate(body)


def test_other_clients_may_send_more() -> None:
    """Other clients' bodies have fields of its own."""
    body = {"sdp": "v=0", "type": "offer", "pc_id": None, "restart_pc": False, "requestData": {}}
    assert Offer.model_validate(body).sdp == "v=0"


@pytest.mark.parametrize("more", [{"pc_id": "abc"}, {"pc_id": "abc", "restart_pc": True}])
def test_another_offer_for_a_connection_is_refused(more: dict[str, object]) -> None:
    """Such as an ICE restart: with what to do in place of it."""
    body = Offer.model_validate({"sdp": "v=0", "type": "offer", **more})
    with pytest.raises(NoRestart, match="new call"):
        body.check_is_first()
    Offer.model_validate({"sdp": "v=0", "type": "offer", "pc_id": None}).check_is_first()


@pytest.mark.parametrize("text", ["candidate:", "candidate:1 1 udp", "x y z 1 2 3 4 5"])
async def test_candidates_that_are_none(leg: WebRtcLeg, text: str) -> None:
    """The end of candidates is no error; rubbish is."""
    message = Candidates(pc_id="pc", candidates=[Candidate(candidate=text, sdp_mid="0")])
    if text == "candidate:":
        await add_candidates(leg, message)
        return
    with pytest.raises(ProtocolError):
        await add_candidates(leg, message)
