"""The order in which a name's addresses are tried."""

from callcenter.telephony.sip.locating import (
    MAX_TARGETS,
    Naptr,
    Srv,
    healthy_first,
    in_order,
    srv_name,
    transports_of,
)


def test_priorities_come_before_weights() -> None:
    """The lowest priority first, however heavy the others are (RFC 2782)."""
    records = [Srv(20, 99, 5060, "b"), Srv(10, 0, 5060, "a"), Srv(30, 1, 5060, "c")]
    assert [record.host for record in in_order(records, lambda: 0.5)] == ["a", "b", "c"]


def test_weights_share() -> None:
    """Each comes first in proportion; all come in the end."""
    records = [Srv(1, 3, 5060, "heavy"), Srv(1, 1, 5060, "light")]
    first = [in_order(records, lambda draw=draw: draw / 100)[0].host for draw in range(100)]
    assert (first.count("heavy"), first.count("light")) == (75, 25)
    assert {record.host for record in in_order(records, lambda: 0.9)} == {"heavy", "light"}


def test_weights_of_nothing() -> None:
    """They are tried, too."""
    records = [Srv(1, 0, 5060, "a"), Srv(1, 0, 5061, "b")]
    assert len(in_order(records, lambda: 0.7)) == 2


def test_no_such_service() -> None:
    """A single dot (RFC 2782); and more records than anybody tries."""
    assert in_order([Srv(0, 0, 0, ".")], lambda: 0.0) == []
    assert len(in_order([Srv(n, 0, 5060, f"h{n}") for n in range(99)], lambda: 0.0)) == MAX_TARGETS


def test_the_transport_that_a_domain_wants() -> None:
    """By order and preference; services that are not ours are left out (RFC 3263 4.1)."""
    records = [
        Naptr(50, 50, "SIP+D2U", "_sip._udp.example.com"),
        Naptr(10, 60, "SIP+D2T", "_sip._tcp.example.com"),
        Naptr(10, 50, "sips+d2t", "_sips._tcp.example.com"),
        Naptr(1, 1, "SIP+D2S", "_sip._sctp.example.com"),
    ]
    assert transports_of(records) == ["tls", "tcp", "udp"]
    assert transports_of([]) == []
    assert srv_name("example.com", "tls") == "_sips._tcp.example.com"


def test_addresses_that_failed_come_last() -> None:
    """In their old order otherwise, each once."""
    targets = [("a", 1), ("b", 1), ("a", 1), ("c", 1)]
    assert healthy_first(targets, {("a", 1)}.__contains__) == [("b", 1), ("c", 1), ("a", 1)]
