"""Encodings by name."""

from __future__ import annotations

import numpy as np
import pytest

from callcenter.errors import ProtocolError
from callcenter.media.codec import check_rate, codec

SAMPLES = np.array([0, 1000, -1000, 30_000], np.int16)


@pytest.mark.parametrize("encoding", ["audio/x-mulaw", "audio/PCMA", "audio/l16", "audio/x-l16"])
def test_round_trip(encoding: str) -> None:
    """What was encoded decodes to nearly the same."""
    chosen = codec(encoding)
    payload = chosen.encode(SAMPLES)
    assert len(payload) == SAMPLES.size * chosen.bytes_per_sample
    assert np.abs(chosen.decode(payload).astype(int) - SAMPLES).max() <= 1_000


def test_l16_is_in_network_byte_order() -> None:
    """RFC 3551 4.5.11: most significant byte first."""
    assert codec("audio/l16").encode(np.array([0x0102], np.int16)) == b"\x01\x02"
    assert codec("audio/x-l16").encode(np.array([0x0102], np.int16)) == b"\x02\x01"


def test_half_a_sample_at_the_end_is_left_out() -> None:
    """A torn L16 packet is decoded as far as it goes."""
    assert codec("audio/l16").decode(b"\x00\x01\x02").tolist() == [1]


def test_an_unknown_encoding_is_named_with_those_that_are_known() -> None:
    """The error says what was wrong and what to use."""
    with pytest.raises(ProtocolError, match=r"'audio/opus'.*audio/x-mulaw"):
        codec("audio/opus")


@pytest.mark.parametrize("rate_hz", [0, 11_025, 48_000])
def test_an_unknown_rate_is_refused(rate_hz: int) -> None:
    """Only rates that the resampler serves pass."""
    with pytest.raises(ProtocolError, match=str(rate_hz)):
        check_rate(rate_hz)
