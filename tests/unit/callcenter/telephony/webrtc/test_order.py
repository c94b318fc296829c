"""Packets out of the network, in order."""

import random

import pytest

from callcenter.telephony.webrtc.order import (
    GIVE_UP_AFTER_S,
    Hole,
    Packet,
    PacketOrder,
    signed_distance,
)


def feed(order: PacketOrder, *sequences: int, now: float = 0.0) -> list[int | Hole]:
    """Pushes packets whose payload is their number; returns all that comes out."""
    for sequence in sequences:
        order.push(sequence, 960 * sequence, str(sequence).encode(), now)
    return drain(order, now)


def drain(order: PacketOrder, now: float) -> list[int | Hole]:
    """All that comes out now: a packet as its number."""
    out: list[int | Hole] = []
    while (item := order.pop(now)) is not None:
        out.append(int(item.payload) if isinstance(item, Packet) else item)
    return out


def test_packets_in_order_pass_at_once() -> None:
    """Nothing is held back, so nothing adds latency."""
    order = PacketOrder()
    assert [feed(order, n) for n in (7, 8, 9)] == [[7], [8], [9]]
    assert order.next_timer() is None


def test_packet_carries_its_timestamp() -> None:
    """What went in comes out."""
    order = PacketOrder()
    order.push(3, 123_456, b"x", 0.0)
    assert order.pop(0.0) == Packet(123_456, b"x")


def test_two_packets_that_swapped_places_are_put_right() -> None:
    """The first waits for the second, and nothing is lost."""
    order = PacketOrder()
    assert feed(order, 1) == [1]
    assert feed(order, 3) == []
    assert feed(order, 2) == [2, 3]
    assert order.counters.lost == 0


def test_lost_packet_is_given_up_after_two_newer_ones() -> None:
    """One packet lost delays two others by one packet, and the rest by none."""
    order = PacketOrder()
    assert feed(order, 1) == [1]
    assert feed(order, 3) == []
    assert feed(order, 4) == [Hole(1), 3, 4]
    assert feed(order, 5) == [5]
    assert order.counters.lost == 1


def test_lost_packet_is_given_up_after_a_time() -> None:
    """When the stream pauses behind a hole, the timer says so."""
    order = PacketOrder()
    feed(order, 1)
    feed(order, 3, now=10.0)
    assert order.next_timer() == pytest.approx(10.0 + GIVE_UP_AFTER_S)
    assert drain(order, 10.0 + GIVE_UP_AFTER_S - 0.001) == []
    assert drain(order, 10.0 + GIVE_UP_AFTER_S) == [Hole(1), 3]


def test_long_hole_is_one_item() -> None:
    """It tells how many are missing."""
    order = PacketOrder()
    feed(order, 1)
    assert feed(order, 21, 22) == [Hole(19), 21, 22]


def test_late_and_doubled_packets_are_left_out() -> None:
    """Neither is heard a second time."""
    order = PacketOrder()
    feed(order, 1, 3, 4)
    assert feed(order, 2, 4, 1) == []
    assert feed(order, 5, 5) == [5]
    assert order.counters.late == 4


def test_a_double_that_waits_is_counted_once() -> None:
    """The same packet twice behind a hole is no second newer packet."""
    order = PacketOrder()
    feed(order, 1)
    assert feed(order, 3, 3) == []


def test_sequence_numbers_wrap() -> None:
    """65535 is followed by 0, also with a hole over the seam."""
    order = PacketOrder()
    assert feed(order, 65_534, 65_535, 0) == [65_534, 65_535, 0]
    order = PacketOrder()
    assert feed(order, 65_534, 0, 1) == [65_534, Hole(1), 0, 1]


@pytest.mark.parametrize("jump", [5_000, -5_000])
def test_new_stream_begins_at_once(jump: int) -> None:
    """A sender that starts over is not taken for a hole of thousands of packets."""
    order = PacketOrder()
    feed(order, 10_000, 10_002)
    assert feed(order, 10_000 + jump) == [10_000 + jump]
    assert order.counters.restarts == 1


def test_random_loss_and_reordering_keep_every_packet_in_its_place() -> None:
    """Packets and holes together always count up to the last packet."""
    chance = random.Random(5)
    order, arrived = PacketOrder(), []
    for number in range(2_000):
        if chance.random() < 0.05 and number:
            continue
        arrived.append(number)
    for index in range(1, len(arrived) - 1):
        if chance.random() < 0.05:
            arrived[index], arrived[index + 1] = arrived[index + 1], arrived[index]
    position, held = 0, 0
    for number in arrived:
        for item in feed(order, number):
            if isinstance(item, Hole):
                position += item.packets
            else:
                assert item == position
                position += 1
        held = max(held, number + 1 - position)
    assert position == 2_000
    assert held <= 5


@pytest.mark.parametrize(
    ("origin", "sequence", "distance"),
    [(0, 1, 1), (1, 0, -1), (65_535, 0, 1), (0, 65_535, -1), (0, 32_767, 32_767)],
)
def test_signed_distance(origin: int, sequence: int, distance: int) -> None:
    """The short way round."""
    assert signed_distance(origin, sequence) == distance


def test_signed_distance_of_an_extended_origin() -> None:
    """The origin may have gone round before."""
    assert signed_distance((3 << 16) + 65_535, 1) == 2
