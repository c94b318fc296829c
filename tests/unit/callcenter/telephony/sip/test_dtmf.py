"""Keys as RTP events."""

import pytest

from callcenter.telephony.sip.dtmf import KEYS, DigitReceiver, DigitSender


@pytest.mark.parametrize("key", KEYS)
def test_every_key(key) -> None:
    """Told once, though it comes eleven times."""
    sender, receiver = DigitSender(key, 8_000), DigitReceiver()
    told, markers = [], []
    while (packet := sender.next()) is not None:
        told.append(receiver.receive(1_234, packet[0]))
        markers.append(packet[1])
    assert [digit for digit in told if digit] == [key]
    assert markers == [True] + [False] * 10


def test_any_one_packet_is_enough() -> None:
    """Even if only the last end packet arrives, and without a marker."""
    payloads = []
    sender = DigitSender("7", 8_000)
    while (packet := sender.next()) is not None:
        payloads.append(packet[0])
    for payload in payloads:
        assert DigitReceiver().receive(1, payload) == "7"
    assert payloads[-1][1] & 0x80
    assert int.from_bytes(payloads[-1][2:], "big") == 1_280


def test_two_presses_of_one_key() -> None:
    """Told apart by their timestamps; copies that come late change nothing."""
    receiver = DigitReceiver()
    payload = DigitSender("1", 8_000).next()[0]
    assert [receiver.receive(at, payload) for at in (100, 900, 100, 900)] == ["1", "1", None, None]


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x10\x0a\x00\xa0", b"\xff\x00\x00\x00"])
def test_what_is_no_key(payload) -> None:
    """Too short, or an event that is no key (flash, modem tones)."""
    assert DigitReceiver().receive(1, payload) is None
