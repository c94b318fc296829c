"""Counting connections."""

from callcenter.serving.guard import Guard, HttpLimits


def test_a_customer_of_ipv6_is_one_host() -> None:
    """All addresses of a /64 together; IPv4 and mapped IPv4 address by address."""
    guard = Guard(HttpLimits(connections_per_host=1))
    assert guard.enter("2001:db8::1")
    assert not guard.enter("2001:db8::ffff")
    assert guard.enter("2001:db8:0:1::1")
    assert guard.enter("::ffff:192.0.2.1")
    assert guard.enter("::ffff:192.0.2.2")
    assert guard.enter("192.0.2.3")
    assert guard.enter("192.0.2.4")
    guard.leave("2001:db8::1")
    assert guard.enter("2001:db8::2")
