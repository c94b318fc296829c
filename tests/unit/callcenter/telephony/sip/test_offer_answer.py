"""Offers and answers."""

import base64

import pytest

from callcenter.telephony.sip import sdp
from callcenter.telephony.sip.media_plan import LocalMedia, MediaPlan, NotAcceptable
from callcenter.telephony.sip.offer_answer import answer, offer
from tests.unit.callcenter.telephony.sip.conftest import OFFER


def local(codecs: tuple[str, ...] = ("pcmu", "pcma"), srtp: str = "may") -> LocalMedia:
    """Our side."""
    return LocalMedia("198.51.100.1", 10_000, codecs, srtp, 1, lambda size: b"k" * size)


def answered(text: str, side: LocalMedia | None = None) -> tuple[str, MediaPlan]:
    """The answer to an offer."""
    body, plan = answer(sdp.parse(text.encode()), side or local(), 1)
    return body.decode(), plan


def crypto(suite: str, size: int, tag: int = 1) -> str:
    """An a=crypto line."""
    return f"a=crypto:{tag} {suite} inline:{base64.b64encode(b'r' * size).decode()}|2^31\r\n"


def test_a_plain_offer() -> None:
    """The codec of our preference, all common ones accepted, events agreed."""
    body, plan = answered(OFFER)
    assert "m=audio 10000 RTP/AVP 0 8 101\r\n" in body
    assert plan.remote == ("192.0.2.1", 4_000)
    assert plan.remote_rtcp_port == 4_001
    assert (plan.codec.name, plan.payload_type) == ("pcmu", 0)
    assert sorted(plan.accepts) == [0, 8]
    assert (plan.dtmf_type, plan.dtmf_clock_hz) == (101, 8_000)
    assert not plan.on_hold


def test_our_order_of_codecs_counts() -> None:
    """And a dynamic number is theirs."""
    text = OFFER.replace("0 8 101", "0 96 8") + "a=rtpmap:96 opus/48000/2\r\n"
    body, plan = answered(text, local(("opus", "pcma")))
    assert (plan.codec.name, plan.payload_type) == ("opus", 96)
    assert "m=audio 10000 RTP/AVP 96 8\r\n" in body
    assert "a=rtpmap:96 opus/48000/2" in body


@pytest.mark.parametrize(
    ("theirs", "ours", "held"),
    [
        ("sendrecv", "sendrecv", False),
        ("sendonly", "recvonly", True),
        ("recvonly", "sendonly", False),
        ("inactive", "inactive", True),
    ],
)
def test_directions_are_mirrored(theirs, ours, held) -> None:
    """RFC 3264 6.1."""
    body, plan = answered(OFFER.replace("sendrecv", theirs))
    assert f"a={ours}\r\n" in body
    assert plan.on_hold is held


def test_the_old_way_to_hold() -> None:
    """c=0.0.0.0: nobody to send to."""
    _, plan = answered(OFFER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0"))
    assert plan.remote is None
    assert plan.on_hold


def test_every_media_line_is_mirrored() -> None:
    """Those that are not ours with port 0 (RFC 3264 6)."""
    video = "m=video 5000 RTP/AVP 99\r\na=rtpmap:99 h264/90000\r\n"
    body, _ = answered(OFFER.replace("m=audio", video + "m=audio"))
    lines = [line for line in body.split("\r\n") if line.startswith("m=")]
    assert lines == ["m=video 0 RTP/AVP 99", "m=audio 10000 RTP/AVP 0 8 101"]


def test_srtp_is_agreed() -> None:
    """The strongest common suite, under the offerer's tag, with a key of ours."""
    secure = OFFER.replace("RTP/AVP", "RTP/SAVP")
    secure += crypto("AES_CM_128_HMAC_SHA1_80", 30) + crypto("AEAD_AES_256_GCM", 44, 2)
    body, plan = answered(secure)
    assert "RTP/SAVP" in body
    assert "a=crypto:2 AEAD_AES_256_GCM inline:" in body
    assert plan.remote_key is not None
    assert plan.local_key is not None
    assert plan.remote_key.key == b"r" * 44
    assert plan.local_key.key == b"k" * 44
    assert "rrrr" not in repr(plan.remote_key)


@pytest.mark.parametrize(
    ("srtp", "text"),
    [
        ("must", OFFER),
        ("never", OFFER.replace("RTP/AVP", "RTP/SAVP") + crypto("AES_CM_128_HMAC_SHA1_80", 30)),
        ("may", OFFER.replace("RTP/AVP", "RTP/SAVP")),
        ("may", OFFER.replace("RTP/AVP", "RTP/SAVP") + crypto("AES_CM_128_HMAC_SHA1_80", 29)),
        ("may", OFFER.replace("RTP/AVP", "RTP/SAVP") + "a=crypto:1 NO_SUCH inline:xx\r\n"),
        ("may", OFFER.replace("0 8 101", "18").replace("telephone-event", "x")),
        ("may", OFFER.replace("m=audio 4000", "m=audio 0")),
        ("may", OFFER.replace("m=audio", "m=image")),
    ],
)
def test_no_way_to_talk(srtp, text) -> None:
    """Policy, keys, codecs, no audio."""
    with pytest.raises(NotAcceptable):
        answered(text, local(srtp=srtp))


@pytest.mark.parametrize("srtp", ["may", "must"])
def test_our_offer_is_answered(srtp) -> None:
    """Two of us agree with each other, with and without keys."""
    body, offered = offer(local(srtp=srtp), 1)
    made, far = answer(sdp.parse(body), local(("pcma",), srtp=srtp), 1)
    plan = offered.answered(sdp.parse(made))
    assert plan.codec.name == far.codec.name == "pcma"
    assert (plan.local_key is None) is (srtp == "may")
    if plan.local_key is not None:
        assert plan.local_key == far.remote_key
        assert plan.remote_key == far.local_key


def test_an_answer_that_agrees_to_nothing() -> None:
    """Refused audio, or another key than was offered."""
    body, offered = offer(local(srtp="must"), 1)
    refused = body.decode().replace("m=audio 10000", "m=audio 0")
    with pytest.raises(NotAcceptable):
        offered.answered(sdp.parse(refused.encode()))
    plain = OFFER.replace("RTP/AVP", "RTP/SAVP") + crypto("AES_CM_128_HMAC_SHA1_80", 30, 9)
    with pytest.raises(NotAcceptable):
        offered.answered(sdp.parse(plain.encode()))


def test_rtcp_port_and_mux() -> None:
    """Said, multiplexed, or the next one."""
    _, plan = answered(OFFER + "a=rtcp:4567\r\n")
    assert plan.remote_rtcp_port == 4_567
    body, plan = answered(OFFER + "a=rtcp-mux\r\n")
    assert plan.remote_rtcp_port == 4_000
    assert "a=rtcp-mux" in body


def test_ipv6() -> None:
    """Both ways."""
    side = LocalMedia("2001:db8::1", 10_000, ("pcmu",), "may", 1, bytes)
    body, plan = answered(OFFER.replace("IP4 192.0.2.1", "IP6 2001:db8::2"), side)
    assert plan.remote == ("2001:db8::2", 4_000)
    assert "c=IN IP6 2001:db8::1" in body


AUDIO = OFFER[OFFER.index("m=audio") :]
HEAD = OFFER[: OFFER.index("m=audio")]
SECURED = AUDIO.replace("4000 RTP/AVP", "4002 RTP/SAVP") + crypto("AES_CM_128_HMAC_SHA1_80", 30)
STRANGE = "m=audio 4004 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n"
DEAD = "m=audio 0 RTP/AVP 0\r\n"
VIDEO = "m=video 5000 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n"


@pytest.mark.parametrize(
    ("srtp", "lines", "taken"),
    [
        ("never", [SECURED, AUDIO], 1),
        ("never", [AUDIO, SECURED], 0),
        ("must", [AUDIO, SECURED], 1),
        ("must", [SECURED, AUDIO], 0),
        ("may", [SECURED, AUDIO], 0),
        ("may", [STRANGE, AUDIO], 1),
        ("may", [DEAD, AUDIO], 1),
        ("may", [VIDEO, DEAD, STRANGE, AUDIO, SECURED], 3),
    ],
)
def test_of_several_audio_lines_the_first_that_suits_is_taken(srtp, lines, taken) -> None:
    """Each has its answer in its place; all but one are refused (RFC 3264 6)."""
    body, plan = answered(HEAD + "".join(lines), local(srtp=srtp))
    answers = [line for line in body.split("\r\n") if line.startswith("m=")]
    kinds = [line.split()[0] for line in "".join(lines).split("\r\n") if line.startswith("m=")]
    assert [line.split()[0] for line in answers] == kinds
    alive = [index for index, line in enumerate(answers) if line.split()[1] != "0"]
    assert alive == [taken] == [plan.line]
    assert (plan.local_key is not None) == (lines[taken] is SECURED)


def test_no_line_suits() -> None:
    """The first one's trouble is told."""
    with pytest.raises(NotAcceptable, match="no common codec"):
        answered(HEAD + STRANGE + SECURED, local(srtp="never"))
    with pytest.raises(NotAcceptable, match="no RTP audio"):
        answered(HEAD + DEAD + VIDEO)
