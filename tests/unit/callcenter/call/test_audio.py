"""One call's audio in both directions."""

from pathlib import Path

import numpy as np
import pytest

from callcenter.call.audio import CallAudio
from callcenter.errors import ProtocolError
from callcenter.evaluation.wav import read_wav
from callcenter.events import LegStarted, SpeechStarted, SpeechStopped
from callcenter.media.bargein import Party
from callcenter.media.downlink import AudioPayload
from callcenter.media.g711 import encode_ulaw

TELEPHONE = LegStarted("audio/x-mulaw", 8_000)
PACKET = b"\x10" * 160
SILENCE = np.zeros(1_920, np.int16)
SPEECH_WAV = Path(__file__).parents[3] / "fixtures" / "question_8khz.wav"  # 1.8 s
TONE = (6_000 * np.sin(np.arange(1_920) / 8)).astype(np.int16)


def test_four_packets_make_a_frame() -> None:
    """Of the engine's size, and no sooner."""
    audio = CallAudio(TELEPHONE, now=0.0)
    frames = [audio.heard(PACKET, index * 0.02, index * 0.02) for index in range(8)]
    assert [len(found) for found in frames] == [0, 0, 0, 1, 0, 0, 0, 1]
    assert frames[3][0].shape == (1_920,)


def test_a_frame_makes_packets() -> None:
    """80 ms of mu-law are 640 bytes, with a cushion of silence ahead of the first."""
    audio = CallAudio(TELEPHONE, now=0.0)
    first = [item for item in audio.said(TONE, 0.0) if isinstance(item, AudioPayload)]
    second = [item for item in audio.said(TONE, 0.08) if isinstance(item, AudioPayload)]
    assert sum(len(item.payload) for item in second) == 640
    assert len(first) > len(second)
    assert audio.backlog_s(0.08) > 0.0


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "payload"),
    [("audio/x-mulaw", 8_000, PACKET), ("audio/l16", 16_000, b"\x00\x01" * 320)],
)
def test_how_far_audio_runs_ahead(encoding: str, rate_hz: int, payload: bytes) -> None:
    """A second of audio in half a second is half a second ahead, in any encoding."""
    audio = CallAudio(LegStarted(encoding, rate_hz), now=10.0)
    for _ in range(50):
        audio.heard(payload, None, 10.5)
    assert audio.lead_s(10.5) == pytest.approx(0.5)
    assert audio.lead_s(12.0) == pytest.approx(-1.0)


def test_the_first_sound_is_the_first_that_can_be_heard() -> None:
    """A listening model sends silence."""
    audio = CallAudio(TELEPHONE, now=0.0)
    audio.said(SILENCE, 0.0)
    assert audio.first_sound_at is None
    audio.said(TONE, 0.08)
    audio.said(TONE, 0.16)
    assert audio.first_sound_at == 0.08


def test_a_flush_forgets_what_was_queued() -> None:
    """After a clear nothing waits at the far end."""
    audio = CallAudio(TELEPHONE, now=0.0)
    for _ in range(5):
        audio.said(TONE, 0.0)
    assert audio.backlog_s(0.0) > 0.3
    audio.flush(0.0)
    assert audio.backlog_s(0.0) == 0.0


def test_frame_boundaries_move_towards_the_ticks() -> None:
    """A worker that tells of long waits gets its frames later, in the caller's next pause."""
    audio = CallAudio(TELEPHONE, now=0.0)
    quiet = b"\xff" * 160
    came_at = []
    for index in range(200):
        now = index * 0.02
        if audio.heard(quiet, now, now):
            came_at.append(now)
            audio.waited(0.055)
    phases = {round(now % 0.08, 3) for now in came_at}
    assert len(phases) > 1
    assert audio.quality().frames_dropped == 0


def test_who_spoke_is_known_when_somebody_asks() -> None:
    """Packets pass first; later the edges come with the times at which they were heard."""
    audio = CallAudio(TELEPHONE, now=0.0)
    quiet = np.zeros(8_000, np.int16)
    spoken = np.concatenate((quiet, read_wav(SPEECH_WAV), quiet))
    coded, loud = encode_ulaw(spoken), np.flatnonzero(np.abs(spoken.astype(int)) > 500)
    for index in range(len(coded) // 160):
        audio.heard(coded[160 * index : 160 * (index + 1)], None, (index + 1) * 0.02)
    edges = audio.speech_edges()
    assert [(party, type(edge)) for party, edge in edges] == [
        (Party.CALLER, SpeechStarted),
        (Party.CALLER, SpeechStopped),
    ]
    assert edges[0][1].at_s == pytest.approx(loud[0] / 8_000, abs=0.2)
    assert edges[1][1].at_s == pytest.approx(loud[-1] / 8_000, abs=0.2)
    assert audio.speech_edges() == []


def test_counters() -> None:
    """For metrics and records."""
    audio = CallAudio(TELEPHONE, now=0.0)
    for index in range(4):
        audio.heard(PACKET, index * 0.02, index * 0.02)
    audio.said(TONE, 0.08)
    quality = audio.quality()
    assert (quality.packets_in, quality.frames_in, quality.frames_out) == (4, 1, 1)
    assert audio.turn_events(1.0) == []


def test_an_unknown_encoding() -> None:
    """The error names those that are known."""
    with pytest.raises(ProtocolError, match="x-mulaw"):
        CallAudio(LegStarted("audio/opus", 48_000), now=0.0)
