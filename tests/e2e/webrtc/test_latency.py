"""Mouth to ear, measured in the page, over an echoing leg."""

import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.webrtc import echo

BUSY = 1.8  # programs that want each core
ATTEMPTS = 3
LOST_PACKET = 250  # 5 s into the call
LASTING_MS = 60  # what the browser's own buffer adds and takes away again is small beside 200 ms


async def measure(
    open_page: Any,
    folder: Path,
    carry: Callable[..., Any],
    seconds: float,
    lost: frozenset[int] = frozenset(),
) -> list[float]:
    """The delay of each burst of a call of some seconds, ms."""
    bursts = folder / "bursts.wav"
    echo.write_bursts(bursts)
    async with echo.serving(echo.create_app(carry, lost)) as url:
        page = await open_page(url, microphone=bursts)
        await page.wait_for_function("window.state === 'talking'")
        await page.wait_for_timeout(1_000 * seconds)
        sent, heard = await page.evaluate("window.onsets")
        await page.close()
    return echo.delays_ms(sent, heard)


@pytest.mark.alone
@pytest.mark.timeout(90)
async def test_mouth_to_ear(open_page: Any, tmp_path: Path) -> None:
    """Microphone to loudspeaker through the browser, the leg, and back.

    A machine that is busy with something else makes both jitter buffers grow: the best of three
    calls is the path's own delay.
    """
    best_ms = float("inf")
    for _ in range(ATTEMPTS):
        delays = await measure(open_page, tmp_path, echo.echo_packets, 5.5)
        assert len(delays) >= 8
        best_ms = min(best_ms, *delays[4:])
        if best_ms <= 150:
            return
    _give_up(f"{best_ms:.0f} ms mouth to ear")


@pytest.mark.alone
@pytest.mark.timeout(90)
async def test_one_lost_packet_costs_no_lasting_delay(open_page: Any, tmp_path: Path) -> None:
    """With frames of 80 ms; again the best of three."""
    best_ms = lasting_ms = float("inf")
    for _ in range(ATTEMPTS):
        lost = frozenset({LOST_PACKET})
        delays = await measure(open_page, tmp_path, echo.echo_frames, 8.0, lost)
        assert len(delays) >= 13
        best_ms = min(best_ms, *delays[4:9])
        lasting_ms = min(
            lasting_ms, statistics.median(delays[-4:]) - statistics.median(delays[4:9])
        )
        if best_ms <= 200 and lasting_ms < LASTING_MS:
            return
    _give_up(f"{best_ms:.0f} ms mouth to ear, and {lasting_ms:.0f} ms more for a lost packet")


def _give_up(finding: str) -> None:
    """A failure, unless so much else runs here that no delay means anything."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    if load > BUSY:
        pytest.skip(f"{finding}; but {load:.1f} programs want each core, so it says nothing")
    pytest.fail(finding)
