"""How many connections, and for how long they may be silent."""

from callcenter.telephony.sip.stream_limits import Doorkeeper, Patience, StreamLimits

LIMITS = StreamLimits(connections=6, per_host=3, message_s=10.0, idle_s=600.0)


def test_one_host_does_not_take_all_places() -> None:
    """Nor do many: there is a bound in total, in which ours count."""
    door = Doorkeeper(LIMITS)
    assert [door.admit("a", 0.0) for _ in range(4)] == ["", "", "", "host_full"]
    assert [door.admit("b", 0.0) for _ in range(2)] == ["", ""]
    assert door.opens()
    assert not door.opens()
    assert door.admit("c", 0.0) == "full"
    door.leave("a")
    assert door.admit("c", 0.0) == ""
    door.closed()
    assert door.opens()
    assert len(door) == 6


def test_connections_that_come_too_fast() -> None:
    """They are refused though there is room: each costs a handshake."""
    door = Doorkeeper(StreamLimits())
    answers = []
    for _ in range(110):
        answers.append(door.admit("a", 0.0))
        if not answers[-1]:
            door.leave("a")
    assert answers == [""] * 100 + ["rate"] * 10
    assert door.admit("a", 1.0) == ""


def test_the_first_message_has_to_come_in_time() -> None:
    """Keep-alives are none; a connection of ours waits for nothing."""
    inbound = Patience(LIMITS, 0.0, inbound=True)
    inbound.heard(whole=False, midway=False, now=9.0)
    assert (inbound.over(10.0), inbound.over(10.1)) == ("", "slow")
    assert Patience(LIMITS, 0.0, inbound=False).over(599.0) == ""


def test_a_message_that_does_not_end() -> None:
    """Counted from its first byte on, however many bytes follow."""
    patience = Patience(LIMITS, 0.0, inbound=True)
    patience.heard(whole=True, midway=False, now=5.0)
    assert patience.over(100.0) == ""
    patience.heard(whole=False, midway=True, now=100.0)
    patience.heard(whole=False, midway=True, now=109.0)
    assert (patience.over(110.0), patience.over(110.1)) == ("", "slow")
    patience.heard(whole=True, midway=True, now=110.5)  # it ended, the next one has begun
    assert (patience.over(120.4), patience.over(120.6)) == ("", "slow")


def test_silence() -> None:
    """After the last byte; any byte begins it anew."""
    patience = Patience(LIMITS, 0.0, inbound=True)
    patience.heard(whole=True, midway=False, now=1.0)
    patience.heard(whole=False, midway=False, now=300.0)
    assert (patience.over(900.0), patience.over(900.1)) == ("", "idle")
