"""Faults of a recording that make it no voice, whoever listens.

Pure numbers on samples: what a person may do better is said by quality.py, what cannot be used at
all is said here, in words for whoever recorded it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

SILENT_DBFS = -60.0  # of a clip's level without its constant part; -24 LUFS is what engines make
# Two channels with a correlation under -0.8 lose more than 10 dB when they are added.
CANCELLED_SHARE = 0.1
# Share of the samples within 0.1 % of the clip's own peak: 0.03 in a plain sine, the steadiest tone
# there is, far less in speech; a clip whose tops are cut off, at whatever level, has more.
CLIPPED_SHARE = 0.05
PEAK_SHARE = 0.999
CONSTANT = 0.01


def fault(channels: Samples) -> str:
    """Why a clip cannot be a voice; "" if it can.

    Args:
        channels: float32 [n, channels], n > 0, every sample finite.
    """
    mono = channels.mean(axis=1, dtype=np.float64)
    constant = float(mono.mean())
    level_dbfs = _dbfs(mono)
    loudest_dbfs = max(_dbfs(channel.astype(np.float64)) for channel in channels.T)
    if channels.shape[1] > 1 and loudest_dbfs > SILENT_DBFS and _cancel(channels, mono):
        return (
            "its two channels cancel each other out: one of them is inverted; "
            "record in mono, or invert one channel"
        )
    if level_dbfs <= SILENT_DBFS and abs(constant) > CONSTANT:
        return "it holds a constant level (DC) and no sound; check the microphone and its cable"
    if level_dbfs <= SILENT_DBFS:
        return f"it is silent, or nearly so: {level_dbfs:.0f} dBFS; record it louder"
    if max(_share_at_peak(channel) for channel in channels.T) > CLIPPED_SHARE:
        return "it is overdriven: the tops of the sound are cut off; record it more quietly"
    return ""


def _dbfs(samples: NDArray[np.float64]) -> float:
    """Level without the constant part; a full-scale square wave has 0 dBFS."""
    return float(10 * np.log10(max(float(np.var(samples)), 1e-12)))


def _cancel(channels: Samples, mono: NDArray[np.float64]) -> bool:
    single = float(np.mean(np.var(channels.astype(np.float64), axis=0)))
    return float(np.var(mono)) < CANCELLED_SHARE * single


def _share_at_peak(channel: Samples) -> float:
    peak = float(np.max(np.abs(channel)))
    return float(np.mean(np.abs(channel) >= PEAK_SHARE * peak)) if peak > 0 else 0.0
