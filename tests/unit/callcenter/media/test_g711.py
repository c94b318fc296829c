"""G.711 against the standard's own tables."""

from __future__ import annotations

import numpy as np
import pytest

from callcenter.media.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw

# G.711 table 2a/2b, column 6 and 8, in 14 bits: (decision value, quantised value below it).
ULAW_SEGMENTS_14BIT = [
    (4063, 3999),
    (2015, 1983),
    (991, 975),
    (479, 471),
    (223, 219),
    (95, 93),
    (31, 30),
]
# G.711 table 1a, in 13 bits (12 and a sign).
ALAW_SEGMENTS_13BIT = [(2048, 2016), (1024, 1008), (512, 504), (256, 252), (128, 126), (64, 63)]

ALL_CODES = bytes(range(256))
ALL_SAMPLES = np.arange(-32_768, 32_768).astype(np.int16)


def test_ulaw_decodes_the_end_points() -> None:
    """Code 0x80 is the largest positive value, 0x00 the largest negative, 0xFF and 0x7F are 0."""
    decoded = decode_ulaw(bytes([0x80, 0x00, 0xFF, 0x7F, 0xFE]))
    assert decoded.tolist() == [8031 * 4, -8031 * 4, 0, 0, 2 * 4]


@pytest.mark.parametrize(("decision", "below"), ULAW_SEGMENTS_14BIT)
def test_ulaw_segments_end_where_the_standard_says(decision: int, below: int) -> None:
    """Just below a decision value quantises to the value below; at it, to one above."""
    edge = decision * 4
    down, up = decode_ulaw(encode_ulaw(np.array([edge - 1, edge], np.int16)))
    assert down == below * 4
    assert up > edge


@pytest.mark.parametrize(("decision", "below"), ALAW_SEGMENTS_13BIT)
def test_alaw_segments_end_where_the_standard_says(decision: int, below: int) -> None:
    """The same for A-law, whose 13-bit values stand 3 bits higher in 16."""
    edge = decision * 8
    down, up = decode_alaw(encode_alaw(np.array([edge - 1, edge], np.int16)))
    assert down == below * 8
    assert up > edge


def test_ulaw_round_trip_keeps_every_code_but_negative_zero() -> None:
    """Decode then encode is the identity; 0x7F (negative zero) becomes 0xFF."""
    again = encode_ulaw(decode_ulaw(ALL_CODES))
    assert again[:0x7F] + again[0x80:] == ALL_CODES[:0x7F] + ALL_CODES[0x80:]
    assert again[0x7F] == 0xFF


def test_alaw_round_trip_keeps_every_code() -> None:
    """A-law has no zero, so nothing is lost."""
    assert encode_alaw(decode_alaw(ALL_CODES)) == ALL_CODES


def test_alaw_decodes_the_smallest_steps() -> None:
    """0xD5 and 0x55 are the two values next to zero."""
    assert decode_alaw(bytes([0xD5, 0x55])).tolist() == [8, -8]


@pytest.mark.parametrize(
    ("encode", "decode", "floor"), [(encode_ulaw, decode_ulaw, 4), (encode_alaw, decode_alaw, 8)]
)
def test_relative_error_stays_within_a_step(encode, decode, floor) -> None:  # type: ignore[no-untyped-def]
    """16 steps a segment: the error stays under 1/32 of the value (plus the lowest step)."""
    samples = ALL_SAMPLES.astype(np.int64)
    samples = samples[np.abs(samples) <= 32_124]
    decoded = decode(encode(samples.astype(np.int16))).astype(np.int64)
    assert (np.abs(decoded - samples) <= np.abs(samples) / 32 + floor * 2).all()


@pytest.mark.parametrize(
    ("encode", "decode"), [(encode_ulaw, decode_ulaw), (encode_alaw, decode_alaw)]
)
def test_louder_never_decodes_quieter(encode, decode) -> None:  # type: ignore[no-untyped-def]
    """Monotonic over all 65,536 samples: nothing wraps, at 14 bits or elsewhere."""
    assert (np.diff(decode(encode(ALL_SAMPLES)).astype(np.int32)) >= 0).all()


def test_full_scale_clips_instead_of_wrapping() -> None:
    """-32768 has no positive twin; it must become the largest negative code."""
    extremes = np.array([-32_768, 32_767], np.int16)
    assert encode_ulaw(extremes) == bytes([0x00, 0x80])
    assert encode_alaw(extremes) == bytes([0x2A, 0xAA])


def test_samples_above_14_bits_keep_their_level() -> None:
    """A loud sine keeps its level: a 14-bit clip constant on 16-bit samples would halve it."""
    sine = (30_000 * np.sin(np.arange(800) * 0.3)).astype(np.int16)
    assert np.abs(decode_ulaw(encode_ulaw(sine))).max() > 29_000


def test_signal_to_noise_of_a_sine() -> None:
    """Mu-law keeps 37 dB of a loud tone."""
    sine = (12_000 * np.sin(2 * np.pi * 1004 / 8000 * np.arange(8000))).astype(np.int16)
    noise = decode_ulaw(encode_ulaw(sine)).astype(np.float64) - sine
    assert 10 * np.log10(np.mean(sine.astype(np.float64) ** 2) / np.mean(noise**2)) > 37


def test_empty_is_empty() -> None:
    """No bytes, no samples."""
    assert decode_ulaw(b"").size == 0
    assert encode_alaw(np.zeros(0, np.int16)) == b""
