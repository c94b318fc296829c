"""The port pool, on loopback."""

import socket

import pytest

from callcenter.errors import NoCapacity
from callcenter.telephony.sip.ports import PortPool


def test_pairs_and_their_return() -> None:
    """Even and odd; the one that came back last goes out last; none is handed out twice."""
    pool = PortPool("127.0.0.1", 30_001, 30_007)
    first, second = pool.open(), pool.open()
    assert first.port % 2 == 0
    assert first.rtcp.getsockname()[1] == first.port + 1
    pool.give_back(first)
    third = pool.open()
    assert third.port not in (first.port, second.port)
    fourth = pool.open()
    assert fourth.port == first.port
    with pytest.raises(NoCapacity):
        pool.open()
    for sockets in (second, third, fourth):
        pool.give_back(sockets)
    assert pool.free == 3


def test_a_port_that_somebody_else_has() -> None:
    """Skipped, and kept for later."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 30_101))
        pool = PortPool("127.0.0.1", 30_100, 30_103)
        sockets = pool.open()
        assert sockets.port == 30_102
        pool.give_back(sockets)
        assert pool.free == 2
