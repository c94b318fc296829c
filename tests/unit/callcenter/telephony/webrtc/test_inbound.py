"""RTP packets to PCM at our own pace."""

import numpy as np
import pytest

from callcenter.media.opus import PACKET_SAMPLES, OpusEncoder
from callcenter.media.units import rms
from callcenter.telephony.webrtc.inbound import Inbound


def packets(count: int) -> list[bytes]:
    """A tone, encoded."""
    time_s = np.arange(count * PACKET_SAMPLES) / 24_000
    samples = (8_000 * np.sin(2 * np.pi * 440 * time_s)).astype(np.int16)
    encoder = OpusEncoder()
    return [encoder.encode(packet) for packet in samples.reshape(-1, PACKET_SAMPLES)]


def run(payloads: list[bytes], lost: frozenset[int] = frozenset()) -> tuple[Inbound, list[float]]:
    """One packet and one read every 20 ms; returns the loudness of each 20 ms."""
    inbound, levels = Inbound(), []
    for index, payload in enumerate(payloads):
        now = 0.02 * index
        if index not in lost:
            inbound.push(index, payload, now)
        heard = inbound.read(now + 0.001)
        if heard is not None:
            assert heard.shape == (PACKET_SAMPLES,)
            levels.append(rms(heard))
    return inbound, levels


def test_a_stream_comes_out_every_20_ms() -> None:
    """After a short start the tone is there, and it stays."""
    _, levels = run(packets(100))
    assert len(levels) >= 96
    assert min(levels[3:]) == pytest.approx(8_000 / np.sqrt(2), rel=0.1)


def test_a_lost_packet_is_concealed() -> None:
    """The tone has no hole."""
    inbound, levels = run(packets(100), frozenset({50}))
    assert inbound.counters.concealed == 1
    assert min(levels[3:]) > 2_000


def test_loss_leaves_no_delay_behind() -> None:
    """Ten losses later, as much audio has come out as without any."""
    _, whole = run(packets(300))
    _, lossy = run(packets(300), frozenset(range(20, 300, 28)))
    assert len(lossy) == len(whole)


def test_a_broken_packet_is_concealed() -> None:
    """Its place is filled, and it is counted."""
    payloads = packets(100)
    payloads[50] = b"\xff\xff\xff\xff\xff"
    inbound, levels = run(payloads)
    assert inbound.undecodable == 1
    assert min(levels[3:]) > 2_000


def test_nothing_comes_out_of_nothing() -> None:
    """A browser that has not begun."""
    assert Inbound().read(0.0) is None
