"""Caller -> model: nothing lost in order, nothing late for good."""

from __future__ import annotations

import numpy as np
import pytest

from callcenter.errors import ProtocolError
from callcenter.media.g711 import encode_ulaw
from callcenter.media.units import FRAME_S, PACKET_S
from callcenter.media.uplink import INBOX_LIMIT_S, Uplink

LOUD = encode_ulaw((8_000 * np.sin(np.arange(160) * 0.7)).astype(np.int16))
SILENT = b"\xff" * 160


def feed(uplink: Uplink, packets: int, start_s: float, spacing_s: float, payload: bytes) -> int:
    """Pushes packets and pops as a shell does; returns the frames that came out."""
    frames = 0
    for index in range(packets):
        now = start_s + index * spacing_s
        uplink.push(payload, now)
        while uplink.pop(now) is not None:
            frames += 1
    return frames


def test_four_packets_make_a_frame() -> None:
    """80 ms at 24 kHz, as soon as the fourth packet is there."""
    uplink = Uplink("audio/x-mulaw", 8_000)
    for index in range(3):
        uplink.push(LOUD, index * PACKET_S)
        assert uplink.pop(index * PACKET_S) is None
    uplink.push(LOUD, 0.06)
    frame = uplink.pop(0.06)
    assert frame is not None
    assert frame.shape == (1_920,)
    assert frame.dtype == np.int16
    assert 7_500 < np.abs(frame).max() < 8_500


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "packet_bytes"),
    [("audio/x-mulaw", 8_000, 160), ("audio/x-alaw", 8_000, 160), ("audio/l16", 8_000, 320),
     ("audio/l16", 16_000, 640), ("audio/x-l16", 24_000, 960)],
)  # fmt: skip
def test_every_wire_format_makes_frames(encoding: str, rate_hz: int, packet_bytes: int) -> None:
    """The format comes from the carrier's start message."""
    uplink = Uplink(encoding, rate_hz)
    assert feed(uplink, 8, 0.0, PACKET_S, b"\x55" * packet_bytes) == 2


def test_a_wrong_format_is_refused_at_the_start() -> None:
    """Not at the first packet."""
    with pytest.raises(ProtocolError, match="audio/mpeg"):
        Uplink("audio/mpeg", 8_000)
    with pytest.raises(ProtocolError, match="44100"):
        Uplink("audio/l16", 44_100)


def test_a_real_time_call_loses_nothing() -> None:
    """A minute of speech: every frame passes."""
    uplink = Uplink("audio/x-mulaw", 8_000)
    assert feed(uplink, 3_000, 0.0, PACKET_S, LOUD) == 750
    assert uplink.counters.frames_dropped_overrun == 0


def test_jitter_of_two_packets_loses_nothing() -> None:
    """Packets that come in pairs, 40 ms apart, are ordinary."""
    uplink = Uplink("audio/x-mulaw", 8_000)
    frames = 0
    for pair in range(200):
        frames += feed(uplink, 2, pair * 0.04, 0.0, LOUD)
    assert frames == 100


def test_audio_faster_than_real_time_is_dropped_and_counted() -> None:
    """Four times real time: about a quarter passes, and memory stays bounded."""
    uplink = Uplink("audio/x-mulaw", 8_000)
    passed = feed(uplink, 4_000, 0.0, PACKET_S / 4, LOUD)
    assert 250 <= passed <= 250 + INBOX_LIMIT_S / FRAME_S + 1
    assert passed + uplink.counters.frames_dropped_overrun >= 1_000 - 3


def test_a_flood_in_one_message_keeps_the_newest() -> None:
    """One huge payload: the inbox's worth passes, and it is the end of it."""
    uplink = Uplink("audio/x-mulaw", 8_000)
    quiet = encode_ulaw((1_000 * np.sin(np.arange(160) * 0.7)).astype(np.int16))
    uplink.push(quiet * 100 + LOUD * 12, 0.0)
    frames = []
    while (frame := uplink.pop(0.0)) is not None:
        frames.append(frame)
    assert len(frames) == 3
    assert all(np.abs(frame[200:]).max() > 7_000 for frame in frames)
    assert uplink.counters.frames_dropped_overrun == 25


def test_a_burst_after_a_stall_does_not_add_latency_for_good() -> None:
    """1 s of late speech: the inbox's worth passes; the caller's next pause wins the rest back."""
    uplink = Uplink("audio/x-mulaw", 8_000)
    feed(uplink, 50, 0.0, PACKET_S, LOUD)
    burst = feed(uplink, 50, 2.0, 0.0, LOUD)
    assert burst <= INBOX_LIMIT_S / FRAME_S
    feed(uplink, 50, 2.02, PACKET_S, LOUD)
    assert uplink.counters.frames_dropped_overrun > 0
    before = uplink.counters.frames_dropped_silent
    feed(uplink, 50, 3.02, PACKET_S, SILENT)
    assert uplink.counters.frames_dropped_silent > before
    overrun = uplink.counters.frames_dropped_overrun
    assert feed(uplink, 400, 4.02, PACKET_S, LOUD) >= 100
    assert uplink.counters.frames_dropped_overrun == overrun


def test_silence_in_real_time_is_never_dropped() -> None:
    """Only latency makes silence superfluous; the model needs to hear pauses."""
    uplink = Uplink("audio/x-mulaw", 8_000)
    assert feed(uplink, 400, 0.0, PACKET_S, SILENT) == 100
    assert uplink.counters.frames_dropped_silent == 0


def test_a_frame_beyond_the_inbox_waits_for_room() -> None:
    """It passes when the worker has played one."""
    uplink = Uplink("audio/x-mulaw", 8_000)
    feed(uplink, 20, 0.0, 0.0, LOUD)
    assert uplink.pop(FRAME_S - 0.01) is None
    assert uplink.pop(FRAME_S + 1e-9) is not None


def test_gaps_in_the_carriers_timestamps_are_counted_not_filled() -> None:
    """The worker's clock has already fed silence for them."""
    uplink = Uplink("audio/x-mulaw", 8_000)
    for timestamp_s in (0.0, 0.02, 0.10, 0.12):
        uplink.push(LOUD, timestamp_s, timestamp_s)
    assert uplink.counters.timestamp_gap_s == pytest.approx(0.06)
    assert uplink.pop(0.12) is not None
    assert uplink.pop(0.12) is None


def test_an_empty_payload_changes_nothing() -> None:
    """Some carriers send them; they are packets without audio."""
    uplink = Uplink("audio/x-mulaw", 8_000)
    uplink.push(b"", 0.0)
    assert uplink.pop(0.0) is None
    assert uplink.counters.packets == 1
