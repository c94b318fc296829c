"""RTP packets to PCM, with holes concealed."""

import numpy as np
import pytest

from callcenter.media.units import rms
from callcenter.telephony.webrtc.inbound import CONCEALED_PACKETS, Heard, Inbound
from callcenter.telephony.webrtc.opus import PACKET_SAMPLES, OpusEncoder


def packets(count: int, hz: float = 440.0) -> list[bytes]:
    """A tone, encoded."""
    time_s = np.arange(count * PACKET_SAMPLES) / 24_000
    samples = (8_000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)
    encoder = OpusEncoder()
    return [encoder.encode(packet) for packet in samples.reshape(-1, PACKET_SAMPLES)]


def run(payloads: list[bytes], lost: set[int], first: int = 0) -> tuple[Inbound, list[Heard]]:
    """Pushes one packet every 20 ms, without those that are lost."""
    inbound, heard = Inbound(), []
    for index, payload in enumerate(payloads):
        if index in lost:
            continue
        timestamp = (first + 960 * index) % (1 << 32)
        inbound.push(index, timestamp, payload, 0.02 * index)
        heard += inbound.pop(0.02 * index)
    return inbound, heard


def test_all_audio_comes_out_with_its_time() -> None:
    """Nothing lost: as many samples as were sent, 20 ms apart."""
    _, heard = run(packets(50), set())
    assert [piece.samples.size for piece in heard] == [PACKET_SAMPLES] * 50
    assert [piece.timestamp_s for piece in heard] == pytest.approx([0.02 * n for n in range(50)])


def test_a_lost_packet_is_concealed_in_its_place() -> None:
    """The same number of samples, and the time line has no gap."""
    inbound, heard = run(packets(50), {20})
    assert sum(piece.samples.size for piece in heard) == 50 * PACKET_SAMPLES
    assert [piece.timestamp_s for piece in heard] == pytest.approx([0.02 * n for n in range(50)])
    assert inbound.counters.concealed == 1
    assert inbound.order.counters.lost == 1


def test_concealment_sounds_on_and_has_no_clicks() -> None:
    """The hole is not silent, and no step is larger than the tone's own by much."""
    _, heard = run(packets(50), {20, 31})
    assert rms(heard[20].samples) > 1_500
    audio = np.concatenate([piece.samples for piece in heard]).astype(int)[4_800:]
    own_step = 8_000 * 2 * np.pi * 440 / 24_000
    assert np.abs(np.diff(audio)).max() < 4 * own_step


def test_a_longer_hole_fades_and_is_then_left_open() -> None:
    """60 ms are concealed, ever more softly; the media time jumps over the rest."""
    inbound, heard = run(packets(50), set(range(20, 30)))
    concealed = [rms(piece.samples) for piece in heard[20 : 20 + CONCEALED_PACKETS]]
    assert concealed == sorted(concealed, reverse=True)
    assert inbound.counters.concealed == CONCEALED_PACKETS
    assert len(heard) == 50 - 10 + CONCEALED_PACKETS
    assert heard[20 + CONCEALED_PACKETS].timestamp_s == pytest.approx(0.6)


def test_loss_leaves_no_delay_behind() -> None:
    """After each of many losses, a packet comes out in the moment in which it comes in."""
    inbound, out = Inbound(), 0
    for index, payload in enumerate(packets(200)):
        if index % 40 == 20:
            continue
        inbound.push(index, 960 * index, payload, 0.02 * index)
        out += len(inbound.pop(0.02 * index))
        if index % 40 > 23:
            assert out == index + 1


def test_a_broken_packet_is_concealed() -> None:
    """Its place is filled, and it is counted."""
    payloads = packets(10)
    payloads[5] = b"\xff\xff\xff\xff\xff"
    inbound, heard = run(payloads, set())
    assert len(heard) == 10
    assert (inbound.counters.undecodable, inbound.counters.concealed) == (1, 1)


def test_timestamps_wrap() -> None:
    """2**32 is passed without a jump."""
    _, heard = run(packets(10), {4}, first=(1 << 32) - 3_000)
    assert [piece.timestamp_s for piece in heard] == pytest.approx([0.02 * n for n in range(10)])


def test_a_pause_of_the_sender_shows_in_the_time() -> None:
    """Numbers follow, timestamps jump: nothing was lost, so nothing is concealed."""
    inbound, heard = Inbound(), []
    for index, payload in enumerate(packets(10)):
        inbound.push(index, 960 * index + (48_000 if index >= 5 else 0), payload, 0.0)
        heard += inbound.pop(0.0)
    assert heard[5].timestamp_s == pytest.approx(1.1)
    assert inbound.counters.concealed == 0
