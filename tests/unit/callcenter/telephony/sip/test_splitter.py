"""A stream is cut into messages, however it comes."""

import pytest

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.splitter import StreamSplitter
from tests.unit.callcenter.telephony.sip.conftest import request


def test_a_stream_is_cut_into_messages() -> None:
    """In any pieces, with keep-alives between."""
    first, second = request(body="v=0\r\n"), request("OPTIONS")
    stream = b"\r\n\r\n" + first + b"\r\n" + second
    for size in (1, 7, 4_000):
        splitter, got = StreamSplitter(), []
        for at in range(0, len(stream), size):
            got += splitter.receive(stream[at : at + size])
        assert got == [first, second]
    assert splitter.pings == 1


@pytest.mark.parametrize(
    "data",
    [b"INVITE sip:a@b SIP/2.0\r\n\r\n", b"X" * 70_000, b"A: b\r\nContent-Length: 99999\r\n\r\n"],
)
def test_a_stream_that_cannot_be_cut(data) -> None:
    """Without a length nobody knows where the next message begins."""
    with pytest.raises(ProtocolError):
        StreamSplitter().receive(data)


def test_one_byte_pieces_cost_what_one_piece_does() -> None:
    """A slow sender makes nobody read the same bytes again and again."""
    stream = request(body="v=0\r\n" * 2_000, X_Long="a" * 10_000) * 3
    work = []
    for size in (1, len(stream)):
        splitter, got = StreamSplitter(), []
        for at in range(0, len(stream), size):
            got += splitter.receive(stream[at : at + size])
        assert len(got) == 3
        work.append(splitter.examined)
    assert max(work) < 5 * len(stream)
    drip = StreamSplitter()
    for _ in range(30_000):
        drip.receive(b"a")
    assert drip.examined < 5 * 30_000


def test_keep_alives_are_counted_and_take_no_memory() -> None:
    """Also when thousands come at once."""
    splitter = StreamSplitter()
    assert splitter.receive(b"\r\n" * 50_000) == []
    assert splitter.pings == 25_000
    assert not splitter.midway
    splitter.receive(b"OPTIONS")
    assert splitter.midway
