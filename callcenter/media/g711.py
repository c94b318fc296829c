"""ITU-T G.711: mu-law and A-law, both ways, by table.

Levels are those of 16-bit audio: the standard's 14-bit (mu) and 13-bit (A) values, shifted left.
Knows nothing of packets: any number of bytes, one a sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from callcenter.media.units import Pcm16

ULAW_BIAS = 33 << 2  # G.711 table 2a: every segment starts at a power of two less 33
ULAW_CLIP = 32_635  # largest magnitude whose sum with the bias keeps 15 bits
ALAW_TOGGLE = 0x55  # G.711 3.2: even bits are inverted on the line


def _magnitude_exponents(magnitude: NDArray[np.int32], lowest_bit: int) -> NDArray[np.int32]:
    """Index of the highest set bit, counted from `lowest_bit`; 0 for anything lower."""
    highest = np.frexp(np.maximum(magnitude, 1))[1].astype(np.int32) - 1
    return np.maximum(highest - lowest_bit, 0)


def _ulaw_decode_table() -> Pcm16:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    exponent, mantissa = (code >> 4) & 7, code & 0xF
    magnitude = (((mantissa << 3) + ULAW_BIAS) << exponent) - ULAW_BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _ulaw_encode_table() -> NDArray[np.uint8]:
    """Indexed by the sample's bits read as uint16."""
    sample = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.minimum(np.abs(sample), ULAW_CLIP) + ULAW_BIAS
    exponent = _magnitude_exponents(magnitude, lowest_bit=7)
    mantissa = (magnitude >> (exponent + 3)) & 0xF
    sign = np.where(sample < 0, 0x80, 0)
    code: NDArray[np.int32] = ~(sign | exponent << 4 | mantissa) & 0xFF
    return code.astype(np.uint8)


def _alaw_decode_table() -> Pcm16:
    code = np.arange(256, dtype=np.int32) ^ ALAW_TOGGLE
    exponent, mantissa = (code >> 4) & 7, code & 0xF
    magnitude = (mantissa << 4) + 8 + np.where(exponent > 0, 0x100, 0)
    magnitude <<= np.maximum(exponent - 1, 0)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _alaw_encode_table() -> NDArray[np.uint8]:
    """Indexed by the sample's bits read as uint16."""
    sample = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.where(sample < 0, ~sample, sample)  # one's complement: -1 is the first negative
    exponent = _magnitude_exponents(magnitude, lowest_bit=7)
    mantissa = (magnitude >> (np.maximum(exponent, 1) + 3)) & 0xF
    sign = np.where(sample < 0, 0, 0x80)
    code: NDArray[np.int32] = (sign | exponent << 4 | mantissa) ^ ALAW_TOGGLE
    return code.astype(np.uint8)


_ULAW_DECODE = _ulaw_decode_table()
_ULAW_ENCODE = _ulaw_encode_table()
_ALAW_DECODE = _alaw_decode_table()
_ALAW_ENCODE = _alaw_encode_table()


def decode_ulaw(payload: bytes) -> Pcm16:
    """Turns mu-law bytes into int16 [n], one sample a byte."""
    return _ULAW_DECODE[np.frombuffer(payload, np.uint8)]


def encode_ulaw(samples: Pcm16) -> bytes:
    """Turns int16 [n] into n mu-law bytes; beyond +-32635 it clips, as the standard does."""
    return _ULAW_ENCODE[samples.view(np.uint16)].tobytes()


def decode_alaw(payload: bytes) -> Pcm16:
    """Turns A-law bytes into int16 [n], one sample a byte."""
    return _ALAW_DECODE[np.frombuffer(payload, np.uint8)]


def encode_alaw(samples: Pcm16) -> bytes:
    """Turns int16 [n] into n A-law bytes."""
    return _ALAW_ENCODE[samples.view(np.uint16)].tobytes()
