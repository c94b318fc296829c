"""One call's audio in both directions."""

from pathlib import Path

import numpy as np
import pytest

from callcenter.call.audio import CallAudio
from callcenter.errors import ProtocolError
from callcenter.evaluation.wav import read_wav
from callcenter.events import LegStarted, SpeechStarted, SpeechStopped, Yielded
from callcenter.media.bargein import Party
from callcenter.media.downlink import AudioPayload
from callcenter.media.g711 import encode_ulaw
from callcenter.media.resample import resampler

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


def interrupted(flushed: bool) -> tuple[Yielded, float]:
    """The agent falls silent for a caller; also how far ahead of the far end it was at the end."""
    ahead_s = 0.0
    audio = CallAudio(TELEPHONE, now=0.0)
    speech = read_wav(SPEECH_WAV)
    loud = np.flatnonzero(np.abs(speech.astype(int)) > 1_500)
    voice = np.resize(speech[loud[0] : loud[-1]], 16_000)
    coded = encode_ulaw(np.concatenate((np.zeros(8_000, np.int16), voice)))
    said = resampler(8_000, 24_000).process(np.resize(voice, 16_000))
    for packet in range(150):
        now = (packet + 1) * 0.02
        audio.heard(coded[160 * packet : 160 * (packet + 1)], None, now)
        if packet % 4:
            continue
        frame = said[480 * packet : 480 * packet + 1_920]
        if packet == 72 and flushed:
            audio.flush(now)
        if packet < 72:
            ahead_s = audio.backlog_s(now)
        audio.said(frame if packet < 72 else SILENCE, now)
        for _ in range(3 if packet == 0 else 0):
            audio.said(frame, now)
    (event,) = [event for event in audio.turn_events(5.0) if isinstance(event, Yielded)]
    return event, ahead_s


def test_what_waits_at_the_far_end_is_heard_after_it_was_sent() -> None:
    """An agent that falls silent is heard for as long as it was ahead."""
    event, ahead_s = interrupted(flushed=False)
    assert ahead_s > 0.1
    assert event.audible_latency_s == pytest.approx(event.latency_s + ahead_s)


def test_what_was_flushed_is_not_heard() -> None:
    """The caller's silence begins with the clear, not after what the far end threw away."""
    event, _ = interrupted(flushed=True)
    assert event.at_s - event.latency_s + event.audible_latency_s <= 73 * 0.02 + 1e-6


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
