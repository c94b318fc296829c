"""Trunks by address, and the token bucket."""

import ipaddress

from callcenter.telephony.sip.trunk import RateLimit, Trunk, Trunks
from callcenter.telephony.sip.uri import Peer


def test_the_first_trunk_that_serves_an_address() -> None:
    """By network and transport; strangers have none."""
    tls = Trunk("tls", (ipaddress.ip_network("192.0.2.0/24"),), transports=frozenset({"tls"}))
    any_ = Trunk(
        "any", (ipaddress.ip_network("192.0.2.0/25"), ipaddress.ip_network("2001:db8::/32"))
    )
    trunks = Trunks([tls, any_])
    assert trunks.find(Peer("tls", "192.0.2.1", 1)) is tls
    assert trunks.find(Peer("udp", "192.0.2.1", 1)) is any_
    assert trunks.find(Peer("udp", "192.0.2.200", 1)) is None
    assert trunks.find(Peer("udp", "2001:db8::7%eth0", 1)) is any_
    assert trunks.find(Peer("udp", "not-an-address", 1)) is None
    assert trunks.knows("192.0.2.200")
    assert not trunks.knows("203.0.113.1")


def test_a_rate() -> None:
    """The burst at once, then so many a second, never more than the burst saved up."""
    limit = RateLimit(2.0, 4.0)
    assert [limit.take(0.0) for _ in range(5)] == [True] * 4 + [False]
    assert limit.take(0.5)
    assert not limit.take(0.6)
    assert [limit.take(100.0) for _ in range(5)] == [True] * 4 + [False]


def test_a_network_of_all_addresses_vouches_for_nobody() -> None:
    """A trunk that is known by its secret alone; the networks beside it count."""
    networks = [
        ipaddress.ip_network("0.0.0.0/0"),
        ipaddress.ip_network("::/0"),
        ipaddress.ip_network("192.0.2.0/24"),
    ]
    trunk = Trunk("provider", tuple(networks))
    assert trunk.knows("203.0.113.9")
    assert not trunk.vouches_for("203.0.113.9")
    assert not trunk.vouches_for("2001:db8::1")
    assert trunk.vouches_for("192.0.2.7")
    assert not trunk.vouches_for("media.example.com")
