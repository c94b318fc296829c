"""The track that aiortc sends."""

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from callcenter.media.opus import PACKET_SAMPLES, OpusDecoder
from callcenter.media.units import rms
from callcenter.telephony.webrtc.track import AgentTrack

TONE = (6_000 * np.sin(2 * np.pi * 500 * np.arange(PACKET_SAMPLES) / 24_000)).astype("<i2")


class Clock:
    """Moves on by itself, so that nothing sleeps."""

    def __init__(self, step_s: float = 0.02) -> None:
        self.now, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        """Seconds; later each time."""
        self.now += self.step_s
        return self.now


async def test_silence_when_nothing_waits() -> None:
    """The stream has no gap, and its clock goes on."""
    track, decoder = AgentTrack(lambda _: None, Clock()), OpusDecoder()
    packets = [await track.recv() for _ in range(5)]
    assert [packet.pts % 960 for packet in packets] == [0] * 5
    assert packets[-1].pts > packets[0].pts
    assert rms(decoder.decode(bytes(packets[-1]))) < 5


async def test_audio_and_marks() -> None:
    """What was queued is heard, and its mark is told when it leaves."""
    reached: list[str] = []
    track, decoder = AgentTrack(reached.append, Clock()), OpusDecoder()
    for _ in range(3):
        track.queue.play(TONE.tobytes())
    track.queue.mark("m")
    heard = [decoder.decode(bytes(await track.recv())) for _ in range(2)]
    assert rms(heard[1]) == pytest.approx(6_000 / np.sqrt(2), rel=0.2)
    assert reached == []
    await track.recv()
    assert reached == ["m"]


async def test_stopped_track_ends() -> None:
    """As aiortc expects it."""
    track = AgentTrack(lambda _: None, Clock())
    await track.recv()
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_media_time_follows_the_clock_over_a_stall() -> None:
    """Half a second away: the time line jumps, the queue is as long as before."""
    clock = Clock(0.0)
    track = AgentTrack(lambda _: None, clock)
    first = await track.recv()
    clock.now += 0.5
    second = await track.recv()
    assert (second.pts - first.pts) / 48_000 == pytest.approx(0.5, abs=0.021)
