"""What bounds one visitor."""

import pytest

from callcenter.telephony.webrtc import limits
from callcenter.telephony.webrtc.limits import (
    TooManyCalls,
    TooManyRequests,
    VisitorLimits,
    visitor_of,
)


def test_burst_then_refusal_then_refill() -> None:
    """Three a minute: three at once, then one every 20 s."""
    visitors = VisitorLimits(requests_per_minute=3, calls=1)
    for _ in range(3):
        visitors.ask("a", 0.0)
    with pytest.raises(TooManyRequests) as refused:
        visitors.ask("a", 0.0)
    assert refused.value.retry_after_s == pytest.approx(20.0)
    with pytest.raises(TooManyRequests):
        visitors.ask("a", 19.9)
    visitors.ask("a", 20.1)


def test_visitors_do_not_share() -> None:
    """One who asks too often costs the others nothing."""
    visitors = VisitorLimits(1, 1)
    visitors.ask("a", 0.0)
    visitors.ask("b", 0.0)
    with pytest.raises(TooManyRequests):
        visitors.ask("a", 0.0)


def test_a_quiet_visitor_gets_no_more_than_the_burst() -> None:
    """Days of silence save nothing up."""
    visitors = VisitorLimits(2, 1)
    visitors.ask("a", 0.0)
    for _ in range(2):
        visitors.ask("a", 1e6)
    with pytest.raises(TooManyRequests):
        visitors.ask("a", 1e6)


def test_calls_at_once() -> None:
    """One more is refused until one is over."""
    visitors = VisitorLimits(100, 2)
    visitors.begin("a")
    visitors.begin("a")
    with pytest.raises(TooManyCalls):
        visitors.begin("a")
    visitors.begin("b")
    visitors.end("a")
    visitors.begin("a")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The visitor that was quiet for the longest is forgotten."""
    monkeypatch.setattr(limits, "MAX_VISITORS", 2)
    visitors = VisitorLimits(1, 1)
    for name in "abc":
        visitors.ask(name, 0.0)
    visitors.ask("a", 0.0)
    with pytest.raises(TooManyRequests):
        visitors.ask("c", 0.0)


@pytest.mark.parametrize(
    ("address", "visitor"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("proxy", "proxy"),
        ("", ""),
    ],
)
def test_visitor_of(address: str, visitor: str) -> None:
    """Whoever has an IPv6 network cannot ask once for each of its addresses."""
    assert visitor_of(address) == visitor
