"""Browser calls by unusual offers: heard and spoken to, or alive, all the same."""

import asyncio
import fractions
import re
import time

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack

from callcenter.media.units import SAMPLE_RATE_HZ, Pcm16
from callcenter.telephony.webrtc.leg import MEDIA_TIMEOUT_S
from tests.browsers import calling

TONE_HZ = 440  # a jitter buffer that catches up shifts it by 2.5 %
PACKET = 480


class Tone(MediaStreamTrack):
    """A tone from the browser's microphone."""

    kind = "audio"
    _sent, _began = 0, 0.0

    async def recv(self) -> av.AudioFrame:
        """20 ms, when they are due."""
        self._began = self._began or time.monotonic()
        await asyncio.sleep(max(0.0, self._began + 0.02 * self._sent - time.monotonic()))
        samples = tone(np.arange(960) + 960 * self._sent, 48_000)
        av_frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        av_frame.sample_rate, av_frame.pts = 48_000, 960 * self._sent
        av_frame.time_base = fractions.Fraction(1, 48_000)
        self._sent += 1
        return av_frame


def tone(places: np.ndarray, rate_hz: int) -> Pcm16:
    """Samples of the tone."""
    return (8_000 * np.sin(2 * np.pi * TONE_HZ * places / rate_hz)).astype(np.int16)


def pitch_hz(samples: np.ndarray, rate_hz: int) -> float:
    """The strongest frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum) * rate_hz / samples.size)


@pytest.mark.parametrize(("codec", "number"), [("opus", "96"), ("pcmu", "0"), ("pcma", "8")])
async def test_every_codec_talks_both_ways(codec: str, number: str) -> None:
    """The browser hears the agent's tone, and the agent the browser's."""

    def rewrite(sdp: str) -> str:
        sdp = re.sub(r"(m=audio \d+ \S+) .*", rf"\1 {number}", sdp)
        return re.sub(rf"a=(rtpmap|fmtp|rtcp-fb):(?!{number} )\d+ .*\r\n", "", sdp)

    async with calling(Tone(), rewrite) as call:
        assert f"a=rtpmap:{number} {codec}/" in call.answer.lower()
        track = call.browser.getReceivers()[0].track
        came: list[np.ndarray] = []
        for index in range(60):
            places = np.arange(PACKET) + PACKET * index
            await call.leg.play(tone(places, SAMPLE_RATE_HZ).astype("<i2").tobytes())
            av_frame = await track.recv()
            came.append(av_frame.to_ndarray().reshape(-1, len(av_frame.layout.channels))[:, 0])
        heard = np.concatenate(call.heard[-25:]).astype(float)
        said = np.concatenate(came[-25:]).astype(float)
        assert call.leg._inbound.undecodable == 0
    assert pitch_hz(heard, SAMPLE_RATE_HZ) == pytest.approx(TONE_HZ, abs=15)
    assert pitch_hz(said, av_frame.sample_rate) == pytest.approx(TONE_HZ, abs=15)
    assert np.sqrt(np.mean(heard**2)) > 3_000  # aiortc makes a mono track quieter on its way


async def test_a_page_whose_microphone_is_away_lives() -> None:
    """No audio comes, but the browser's reports and consent checks do (RFC 7675)."""
    async with calling() as call:
        call.browser.getSenders()[0].replaceTrack(None)
        await asyncio.sleep(0.3)
        call.leg._lived_at -= MEDIA_TIMEOUT_S - 3.0
        await asyncio.sleep(4.0)
        assert not call.over
