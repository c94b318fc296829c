"""Keys as RTP events, as the RFC has them and as gateways send them."""

import struct

import pytest

from callcenter.telephony.sip.dtmf import KEYS, DigitReceiver, DigitSender, KeyPresses
from callcenter.telephony.sip.rtp import RtpPacket

CLOCK_HZ = 8_000


def event(sequence: int, stamp: int, key: str, duration: int, end: bool = False) -> RtpPacket:
    """An event packet."""
    payload = struct.pack("!BBH", KEYS.index(key), 10 | (0x80 if end else 0), duration)
    return RtpPacket(101, sequence, stamp & 0xFFFFFFFF, 1, payload)


def press(sequence: int, stamp: int, key: str, packets: int = 8) -> list[RtpPacket]:
    """A whole press: growing durations, three end packets, one timestamp."""
    down = [event(sequence + i, stamp, key, 160 * (i + 1)) for i in range(packets)]
    after = sequence + packets
    return down + [event(after + i, stamp, key, 160 * packets, end=True) for i in range(3)]


def keys(packets: list[RtpPacket], receiver: DigitReceiver | None = None) -> str:
    """What a receiver tells of packets that come every 20 ms."""
    receiver = receiver or DigitReceiver()
    told = [receiver.receive(one, CLOCK_HZ, 0.02 * at) for at, one in enumerate(packets)]
    return "".join(key for key in told if key)


@pytest.mark.parametrize("key", KEYS)
def test_every_key(key) -> None:
    """Told once, though it comes eleven times."""
    sender, packets, markers = DigitSender(key, CLOCK_HZ), [], []
    while (made := sender.next()) is not None:
        packets.append(RtpPacket(101, len(packets), 1_234, 1, made[0]))
        markers.append(made[1])
    assert keys(packets) == key
    assert markers == [True] + [False] * 10
    assert packets[-1].payload[1] & 0x80
    assert int.from_bytes(packets[-1].payload[2:], "big") == 1_280


def test_any_one_packet_is_enough() -> None:
    """Even if only the last end packet arrives, and without a marker."""
    for packet in press(1, 1_000, "7"):
        assert keys([packet]) == "7"


def test_two_quick_presses_of_one_key_are_two() -> None:
    """20 ms apart; also when the end packets of the first are lost, or the begin of the second."""
    first, second = press(1, 1_000, "1"), press(13, 1_000 + 1_280 + 480, "1")
    assert keys(first + second) == "11"
    assert keys(first[:8] + second) == "11"
    assert keys(first + second[3:]) == "11"
    assert keys(first[:8] + second[3:]) == "11"


def test_copies_and_late_packets_change_nothing() -> None:
    """The network may send them twice, or in another order."""
    first, second = press(1, 1_000, "1"), press(12, 3_000, "2")
    assert keys([one for one in first for _ in range(2)] + second) == "12"
    assert keys([*first[:7], *second[:2], *first[7:], *second[2:]]) == "12"


@pytest.mark.parametrize("end_only", [False, True])
def test_a_timestamp_each_is_still_one_press(end_only) -> None:
    """Gateways let it run on with every packet, or with the end."""
    packets = []
    for index in range(11):
        grown = 160 * index if not end_only else 1_280 * (index >= 7)
        duration = 160 * min(index + 1, 8)
        packets.append(event(1 + index, 0xFFFFFE00 + grown, "5", duration, index >= 7))
    again = [
        RtpPacket(101, one.sequence + 11, one.timestamp + 2_400, 1, one.payload) for one in packets
    ]
    assert keys(packets) == "5"
    assert keys(packets + again) == "55"


def test_presses_that_share_one_timestamp() -> None:
    """Told apart by the key, by the end, or by a duration that begins anew."""
    assert keys(press(1, 0, "1") + press(12, 0, "2") + press(23, 0, "2")) == "122"
    assert keys(press(1, 0, "3")[:8] + press(12, 0, "3")) == "33"


def test_a_key_that_is_held_for_long_is_one_press() -> None:
    """20 s: a duration of 16 bits tells 8 s, then a segment follows with a time of its own."""
    packets, began = [], 5_000
    for index in range(1_000):
        duration = 160 * (index + 1) - (began - 5_000)
        if duration > 0xFFFF:
            packets.append(event(index, began, "9", 0xFFFF))
            began += 0xFFFF
            duration = 160 * (index + 1) - (began - 5_000)
        packets.append(event(index, began, "9", duration))
    numbered = [
        RtpPacket(101, index, one.timestamp, 1, one.payload) for index, one in enumerate(packets)
    ]
    assert keys(numbered) == "9"


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x10\x0a\x00\xa0", b"\xff\x00\x00\x00"])
def test_what_is_no_key(payload) -> None:
    """Too short, or an event that is no key (flash, modem tones)."""
    assert keys([RtpPacket(101, 1, 1, 1, payload)]) == ""


def test_a_key_by_both_ways_is_told_once() -> None:
    """In whatever order they come; two presses by one way are two."""
    for ways in (("rtp", "info"), ("info", "rtp")):
        presses = KeyPresses()
        told = [presses.told(way, "5", at) for at, way in enumerate(ways)]
        assert told == [True, False]
    presses = KeyPresses()
    ways = ["rtp", "rtp", "info", "info", "info", "info", "rtp", "rtp"]
    told = [presses.told(way, "1", 0.1 * at) for at, way in enumerate(ways)]
    assert told == [True, True, False, False, True, True, False, False]
    assert all(presses.told("rtp", key, 1.0) for key in "23")


def test_a_key_by_info_may_come_when_it_is_let_go() -> None:
    """But it does not wait for ever for its twin."""
    presses = KeyPresses()
    assert presses.told("rtp", "5", 0.0)
    presses.still_down(4.0)
    assert not presses.told("info", "5", 4.1)
    assert presses.told("rtp", "5", 10.0)
    assert presses.told("info", "5", 13.0)
