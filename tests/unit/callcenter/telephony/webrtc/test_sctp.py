"""SCTP packets of a browser, before aiortc."""

import struct

import pytest

from callcenter.telephony.webrtc import sctp
from tests.datagrams import chunk, mutations
from tests.datagrams import sctp as packet

UP = sctp.Association(received=1_000, sent=2_000, held=0)
NEW = sctp.Association(received=None, sent=2_000, held=0)
INIT = chunk(1, struct.pack("!IIHHI", 7, 9_000, 10, 10, 1) + b"\xc0\x00\x00\x04")


def data(tsn: int = 1_001, stream: int = 1, text: bytes = b"x") -> bytes:
    """A DATA chunk."""
    return chunk(0, struct.pack("!IHHI", tsn, stream, 0, 51) + text, flags=3)


def sack(cumulative: int = 2_000, *gaps: tuple[int, int], copies: int = 0) -> bytes:
    """A SACK chunk."""
    named = b"".join(struct.pack("!HH", *gap) for gap in gaps)
    body = struct.pack("!IIHH", cumulative, 9_000, len(gaps), copies)
    return chunk(3, body + named + bytes(4 * copies))


@pytest.mark.parametrize(
    "chunks",
    [
        [data()],
        [data(1_000 + sctp.MAX_AHEAD)],
        [data(900)],  # a copy
        [sack(), data(), data(1_002)],
        [sack(1_990, (2, 3), (5, 900), copies=2)],
        [chunk(4, b"\x00\x01\x00\x08abcd")],
        [chunk(130, b"\x00\x0d\x00\x12" + bytes(14) + b"\x00\x00")],
        [chunk(192, struct.pack("!IHH", 1_010, 1, 5))],
        [chunk(7, bytes(4))],
        [chunk(6), chunk(14)],
        [chunk(10, bytes(24))],
        [data()] * 60,
    ],
)
def test_what_a_call_may_need(chunks: list[bytes]) -> None:
    """Messages, their acknowledgements, heartbeats, closed channels, the end."""
    assert sctp.may_pass(packet(7, *chunks), UP)


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [chunk(4, b"\x00\x01\x00\x00")],  # a parameter without length, read for ever
        [chunk(4, b"\x00\x01\x00\x03")],
        [chunk(9, b"\x00\x01\x00\x99")],
        [INIT, data()],
        [chunk(1, bytes(15))],
        [chunk(0, bytes(12))],
        [data(1_001 + sctp.MAX_AHEAD)],
        [data(stream=sctp.MAX_STREAMS)],
        [sack(2_001)],  # never sent
        [sack(2_000, (1, 0xFFFF))],
        [sack(2_000, (9, 3))],
        [chunk(3, bytes(11))],
        [sack() + b"\x03\x00\x00\x02"],
        [chunk(192, struct.pack("!I", 9_000))],
        [chunk(192, bytes(6))],
        [chunk(130, b"\x00\x0d\x00\x08" + bytes(4))],
        [chunk(130, b"\x00\x10\x00\x08" + bytes(4)) * 3],
        [chunk(7)],
        [chunk(4)] * (sctp.MAX_CONTROLS + 1),
    ],
)
def test_what_would_hold_aiortc_up(chunks: list[bytes]) -> None:
    """Lengths and counts that it would take as they are written."""
    assert not sctp.may_pass(packet(7, *chunks), UP)


def test_an_association_begins_with_init() -> None:
    """Before it aiortc has nothing to compare with; after it pieces without an end are bounded."""
    assert sctp.may_pass(packet(0, INIT), NEW)
    assert not any(sctp.may_pass(packet(7, one), NEW) for one in (data(), sack(), chunk(10)))
    full = sctp.Association(received=1_000, sent=2_000, held=sctp.MAX_HELD)
    assert not sctp.may_pass(packet(7, data()), full)
    assert sctp.may_pass(packet(7, sack()), full)


def test_channels_are_few_and_have_names() -> None:
    """RFC 8832 5."""

    def opening(label: bytes, size: int | None = None, protocol: bytes = b"") -> bytes:
        length = len(label) if size is None else size
        return struct.pack("!BBHLHH", 3, 0, 0, 0, length, len(protocol)) + label + protocol

    assert sctp.is_message(1, 50, opening(b"events", protocol=b"p"), set())
    assert sctp.is_message(1, 50, b"\x02", {1})
    assert sctp.is_message(1, 51, "ä".encode(), {1})
    assert sctp.is_message(1, 53, b"\xff", {1})
    for stream, kind, text, known in (
        (1, 50, opening(b"events"), {1}),
        (99, 50, opening(b"events"), set(range(sctp.MAX_CHANNELS))),
        (1, 50, opening(b"\xff"), set()),
        (1, 50, opening(b"x", 9), set()),
        (1, 50, opening(b"x" * 300), set()),
        (1, 50, b"\x03\x00", set()),
        (1, 50, b"", set()),
        (1, 50, b"\x02", {3}),
        (1, 51, b"\xff", {1}),
    ):
        assert not sctp.is_message(stream, kind, text, known)


def test_no_mutation_raises() -> None:
    """20,000 of them, from the same seed always."""
    seeds = [packet(7, data()), packet(7, sack(1_990, (2, 3))), packet(0, INIT)]
    for made in mutations(seeds, 20_000, seed=3):
        sctp.may_pass(made, UP)
        sctp.is_message(1, 50, made, {1})
