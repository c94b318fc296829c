"""Addresses and the networks that they are in."""

import ipaddress

import pytest

from callcenter.telephony.sip.networks import NetworkTable, address_of


def test_addresses_and_names() -> None:
    """A zone does not count, IPv4 inside of IPv6 is IPv4, a name is none."""
    assert address_of("192.0.2.1") == ipaddress.ip_address("192.0.2.1")
    assert address_of("::ffff:192.0.2.1") == ipaddress.ip_address("192.0.2.1")
    assert address_of("fe80::1%eth0") == ipaddress.ip_address("fe80::1")
    assert address_of("pbx.example.com") is None
    assert address_of("") is None


@pytest.mark.parametrize(
    ("host", "numbers"),
    [
        ("192.0.2.9", [0, 1, 3]),
        ("192.0.2.200", [0, 3]),
        ("203.0.113.1", [3]),
        ("2001:db8::7", [2]),
        ("2001:db9::7", []),
        ("a-name", []),
    ],
)
def test_all_networks_that_hold_an_address(host, numbers) -> None:
    """In the order of their numbers, whatever their lengths."""
    texts = [("0.0.0.0/0", 3), ("192.0.2.0/24", 0), ("192.0.2.0/25", 1), ("2001:db8::/32", 2)]
    table = NetworkTable((ipaddress.ip_network(text), number) for text, number in texts)
    assert table.find(host) == numbers
