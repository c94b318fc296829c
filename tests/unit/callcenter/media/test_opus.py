"""Opus at 24 kHz."""

import numpy as np
import pytest

from callcenter.errors import ProtocolError
from callcenter.media.opus import PACKET_SAMPLES, OpusDecoder, OpusEncoder


def tone(seconds: float, hz: float = 440.0) -> np.ndarray:
    """int16 at 24 kHz, at a quarter of full scale."""
    time_s = np.arange(round(24_000 * seconds)) / 24_000
    return (8_000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)


def through(samples: np.ndarray) -> np.ndarray:
    """Encodes and decodes packet by packet."""
    encoder, decoder = OpusEncoder(), OpusDecoder()
    packets = samples.reshape(-1, PACKET_SAMPLES)
    return np.concatenate([decoder.decode(encoder.encode(packet)) for packet in packets])


def test_every_packet_gives_a_packet() -> None:
    """20 ms in, 20 ms out, from the first one on: the frame clock never slips."""
    encoder, decoder = OpusEncoder(), OpusDecoder()
    for packet in tone(0.4).reshape(-1, PACKET_SAMPLES):
        assert decoder.decode(encoder.encode(packet)).shape == (PACKET_SAMPLES,)


@pytest.mark.parametrize("hz", [300.0, 1_000.0, 6_000.0])
def test_a_tone_survives(hz: float) -> None:
    """Same pitch and level after both ways."""
    heard = through(tone(1.0, hz))[4_800:].astype(float)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(heard.size)))
    assert np.argmax(spectrum) * 24_000 / heard.size == pytest.approx(hz, abs=3)
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(8_000 / np.sqrt(2), rel=0.1)


def test_delay_is_a_few_milliseconds() -> None:
    """Codec look-ahead and both filters together."""
    samples = np.concatenate([np.zeros(12_000, np.int16), tone(0.5)])
    onset = int(np.argmax(np.abs(through(samples)) > 2_000))
    assert 0.0 <= (onset - 12_000) / 24 <= 6.0


def test_bit_rate_is_bounded() -> None:
    """Noise, the worst case, stays near 48 kbit/s."""
    noise = np.random.default_rng(1).integers(-8_000, 8_000, 24_000).astype(np.int16)
    encoder = OpusEncoder()
    size = sum(len(encoder.encode(p)) for p in noise.reshape(-1, PACKET_SAMPLES))
    assert 8 * size < 60_000


@pytest.mark.parametrize("samples", [0, 479, 960])
def test_encoder_wants_whole_packets(samples: int) -> None:
    """The message says how much."""
    with pytest.raises(ValueError, match=r"480"):
        OpusEncoder().encode(np.zeros(samples, np.int16))


@pytest.mark.parametrize("payload", [b"", b"\xff\xff\xff\xff\xff", b"\x03"])
def test_what_is_no_opus_is_refused(payload: bytes) -> None:
    """A broken packet is an error of its own, and the decoder lives on."""
    decoder = OpusDecoder()
    with pytest.raises(ProtocolError):
        decoder.decode(payload)
    good = OpusEncoder().encode(np.zeros(PACKET_SAMPLES, np.int16))
    assert decoder.decode(good).shape == (PACKET_SAMPLES,)
