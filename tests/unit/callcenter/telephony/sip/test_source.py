"""Who the far end of a call's RTP is."""

from collections.abc import Callable

import pytest

from callcenter.telephony.sip.rtp import RtpPacket
from callcenter.telephony.sip.source import MAX_ON_PROBATION, Address, Source

NAMED = ("192.0.2.1", 4_000)
MOVED = ("192.0.2.1", 4_500)  # the same host, behind a NAT that gave it another port
ELSEWHERE = ("203.0.113.9", 6_000)


def a_source(trusted: Callable[[str], bool] = lambda host: False) -> Source:
    """One whose SDP names NAMED."""
    source = Source(trusted)
    source.name(NAMED, 0.0)
    return source


def send(
    source: Source, address: Address, first: int, count: int, at: float, ssrc: int = 1, **how
) -> list[bool]:
    """Packets every 20 ms; which of them are taken."""
    proven = how.get("proven", False)
    numbers = how.get("numbers", range(first, first + count))
    return [
        source.takes(address, RtpPacket(0, n & 0xFFFF, 0, ssrc, b"x"), at + 0.02 * i, proven=proven)
        for i, n in enumerate(numbers)
    ]


def test_the_named_address_counts_at_once_and_wins_at_once() -> None:
    """Also over one that has passed probation before it spoke."""
    source = a_source(lambda host: True)
    send(source, ELSEWHERE, 0, 20, 0.0, ssrc=7)
    assert source.to == ELSEWHERE
    assert send(source, NAMED, 500, 1, 1.0) == [True]
    assert source.to == NAMED
    assert not any(send(source, ELSEWHERE, 20, 20, 1.02, ssrc=7))


def test_probation_needs_packets_in_order_and_silence() -> None:
    """Four of them, a lost one between; a spray of numbers or of streams passes never."""
    trusted = a_source(lambda host: True)
    taken = send(trusted, ELSEWHERE, 0, 0, 0.1, numbers=[1, 2, 4, 5, 6])
    assert taken == [False, False, False, True, True]
    for how in ({"numbers": [1, 500, 9, 20_000] * 10}, {"numbers": [7] * 40}):
        source = a_source(lambda host: True)
        assert not any(send(source, ELSEWHERE, 0, 0, 1.0, **how))
    source = a_source(lambda host: True)
    assert not any(send(source, ELSEWHERE, n, 1, 1.0, ssrc=n)[0] for n in range(40))


def test_a_talking_far_end_is_not_taken_over() -> None:
    """Whatever is sent beside it, from wherever, with whatever stream's number."""
    source = a_source(lambda host: True)
    for n in range(200):
        assert source.takes(NAMED, RtpPacket(0, n, 0, 1, b"x"), 0.02 * n, proven=False)
        for address, ssrc in ((MOVED, 1), (ELSEWHERE, 1), (ELSEWHERE, 2)):
            packet = RtpPacket(0, n, 0, ssrc, b"x")
            assert not source.takes(address, packet, 0.02 * n + 0.01, proven=False)
    assert source.to == NAMED


@pytest.mark.parametrize(
    ("address", "ssrc", "followed"),
    [(MOVED, 1, True), (MOVED, 2, True), (ELSEWHERE, 1, True), (ELSEWHERE, 2, False)],
)
def test_a_far_end_that_moves_in_mid_call(address, ssrc, followed) -> None:
    """Followed after half a second of silence when it is its host, or goes on with its stream."""
    source = a_source()
    send(source, NAMED, 0, 50, 0.0)
    taken = send(source, address, 50, 60, 1.0, ssrc=ssrc)
    assert any(taken) == followed
    assert source.to == (address if followed else NAMED)
    if followed:
        assert 20 <= taken.index(True) <= 26
        assert all(taken[taken.index(True) :])


def test_a_stranger_is_none_at_any_time() -> None:
    """A host that nobody has named, and whose stream is another."""
    source = a_source()
    assert not source.may_be(ELSEWHERE)
    assert not any(send(source, ELSEWHERE, 0, 500, 0.0, ssrc=5))
    assert source.to == NAMED


def test_a_proof_needs_no_probation() -> None:
    """SRTP that decrypts is followed at once; a packet that took a slower way leads not back."""
    source = a_source()
    assert send(source, NAMED, 10, 1, 0.0, proven=True) == [True]
    assert send(source, ELSEWHERE, 12, 1, 0.02, proven=True) == [True]
    assert source.to == ELSEWHERE
    old = ("198.51.100.4", 9)
    assert send(source, old, 11, 1, 0.03, proven=True) == [True]
    assert source.to == ELSEWHERE


def test_another_sdp_begins_anew() -> None:
    """The same one changes nothing."""
    source = a_source(lambda host: True)
    send(source, ELSEWHERE, 0, 20, 0.0)
    source.name(NAMED, 1.0)
    assert source.to == ELSEWHERE
    source.name(MOVED, 1.0)
    assert source.to == MOVED
    source.name(("media.example.com", 4_000), 2.0)  # not looked up yet
    assert source.to is None
    source.name(("2001:DB8::0001", 4_000), 2.0)
    assert source.to == ("2001:db8::1", 4_000)


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    """A host of the trunk that sends from every port."""
    source = a_source(lambda host: True)
    for port in range(2_000):
        send(source, ("203.0.113.9", port + 1), 0, 2, 0.0)
    assert len(source._on_probation) <= MAX_ON_PROBATION
