"""Mouth-to-ear delay of a browser call over an echoing leg, and what one lost packet leaves behind.

Needs Chromium and the package playwright. Prints one JSON line.
"""

import asyncio
import json
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from tests.e2e.webrtc import echo

SECONDS = 10
LOST_PACKET = 250  # 5 s into the call


async def measure(browser: Browser, carry: object, lost: frozenset[int]) -> list[float]:
    """The delay of each burst, ms."""
    async with echo.serving(echo.create_app(carry, lost)) as url:  # type: ignore[arg-type]
        page = await browser.new_page()
        await page.goto(url)
        await page.wait_for_timeout(1_000 * SECONDS)
        sent, heard = await page.evaluate("window.onsets")
        await page.close()
    return echo.delays_ms(sent, heard)


async def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        bursts = Path(folder) / "bursts.wav"
        echo.write_bursts(bursts)
        arguments = [
            "--no-sandbox",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={bursts}",
            "--autoplay-policy=no-user-gesture-required",
        ]
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=arguments
            )
            packets = await measure(browser, echo.echo_packets, frozenset())
            frames = await measure(browser, echo.echo_frames, frozenset())
            lossy = await measure(browser, echo.echo_frames, frozenset({LOST_PACKET}))
            await browser.close()
    figures = {
        "packets_ms": statistics.median(packets[4:]),
        "frames_ms": statistics.median(frames[4:]),
        "lasting_delay_after_loss_ms": statistics.median(lossy[-4:])
        - statistics.median(lossy[4:9]),
    }
    rounded = {name: round(value, 1) for name, value in figures.items()}
    print(json.dumps({"bench": "webrtc_echo", **rounded}))


if __name__ == "__main__":
    asyncio.run(main())
