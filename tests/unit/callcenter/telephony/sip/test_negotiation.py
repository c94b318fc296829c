"""One call's offers and answers over its whole life: what stays, what changes."""

import base64
from dataclasses import replace
from itertools import count

import pytest

from callcenter.telephony.sip import sdp
from callcenter.telephony.sip.media_plan import SUITES, LocalMedia, NotAcceptable
from callcenter.telephony.sip.negotiation import Negotiation
from tests.unit.callcenter.telephony.sip.conftest import OFFER

STRONG, LONG, SHORT = SUITES


def side() -> LocalMedia:
    """Ours; every new key is another."""
    serial = count(1)
    return LocalMedia(
        "198.51.100.1", 10_000, ("pcmu",), "may", 1, lambda size: bytes([next(serial)]) * size
    )


def offer(suite: str, tag: int = 1) -> sdp.Description:
    """An encrypted offer with one key."""
    key = base64.b64encode(b"r" * SUITES[suite]).decode()
    text = OFFER.replace("RTP/AVP", "RTP/SAVP") + f"a=crypto:{tag} {suite} inline:{key}\r\n"
    return sdp.parse(text.encode())


def test_our_key_stays_with_its_suite() -> None:
    """Under another tag, through a refresh of ours; another suite never gets the same bytes."""
    media, local = Negotiation(), side()
    media.answer(offer(LONG), local)
    first = media.plan.local_key
    media.answer(offer(LONG, tag=7), local)
    assert media.plan.local_key.encrypts_as(first)
    assert media.plan.local_key.tag == 7
    media.answer(offer(SHORT), local)
    other = media.plan.local_key
    assert other.suite == SHORT
    assert other.key != first.key
    media.answer(offer(STRONG), local)
    assert len(media.plan.local_key.key) == SUITES[STRONG]


def test_a_refused_offer_changes_nothing() -> None:
    """Neither plan nor key."""
    media, local = Negotiation(), side()
    media.answer(offer(LONG), local)
    before = media.plan
    with pytest.raises(NotAcceptable):
        media.answer(sdp.parse(OFFER.replace("0 8 101", "18").encode()), local)
    assert media.plan is before


def test_an_offer_waits_until_it_is_answered_or_withdrawn() -> None:
    """And its version is one more each time."""
    media, local = Negotiation(), side()
    first = media.offer(local)
    assert media.waits
    media.withdraw()
    assert not media.waits
    assert media.take_answer(OFFER.encode()) is None
    assert b"o=- 1 1 " in first
    assert b"o=- 1 2 " in media.offer(local)
    assert media.take_answer(OFFER.encode()) is media.plan
    assert not media.waits


def test_a_later_offer_of_ours_has_the_same_lines() -> None:
    """As many, in the same order, with the same payload types, encrypted as before (RFC 3264 8)."""
    head, audio = OFFER[: OFFER.index("m=audio")], OFFER[OFFER.index("m=audio") :]
    key = base64.b64encode(b"r" * SUITES[LONG]).decode()
    text = (
        f"{head}m=video 5000 RTP/AVP 99\r\n"
        "m=audio 4000 RTP/SAVP 101 96 0\r\na=rtpmap:101 opus/48000/2\r\n"
        f"a=rtpmap:96 telephone-event/48000\r\na=crypto:1 {LONG} inline:{key}\r\n{audio}"
    )
    media, local = Negotiation(), replace(side(), codecs=("opus", "pcmu", "pcma"))
    media.answer(sdp.parse(text.encode()), local)
    offered = sdp.parse(media.offer(local))
    assert [(line.kind, bool(line.port)) for line in offered.media] == [
        ("video", False),
        ("audio", True),
        ("audio", False),
    ]
    ours = offered.media[1]
    assert ours.protocol == "RTP/SAVP"
    maps = sdp.rtpmaps(ours)
    assert (maps[101][0], maps[96][:2]) == ("opus", ("telephone-event", 48_000))
    assert sorted(sdp.payload_types(ours)) == [0, 8, 96, 101]
