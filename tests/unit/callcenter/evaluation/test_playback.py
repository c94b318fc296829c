"""The carrier's playout buffer."""

from __future__ import annotations

import numpy as np
import pytest

from callcenter.evaluation.playback import PlaybackBuffer
from callcenter.media.g711 import encode_ulaw

LOUD = encode_ulaw(np.full(160, 8_000, np.int16))


def test_audio_plays_in_order_at_real_time() -> None:
    """80 ms sent at once last four packets."""
    buffer = PlaybackBuffer()
    buffer.audio(LOUD * 4)
    assert buffer.backlog_s == pytest.approx(0.08)
    assert all(buffer.play().heard.min() > 7_000 for _ in range(4))
    assert not buffer.play().heard.any()


def test_irregular_pieces_are_joined() -> None:
    """Carriers take audio of any length."""
    buffer = PlaybackBuffer()
    for size in (1, 158, 2, 159):
        buffer.audio(LOUD[:size])
    assert buffer.play().heard.min() > 7_000
    assert buffer.play().heard.min() > 7_000
    assert buffer.packets_missing == 0


def test_a_hole_between_audio_is_missing() -> None:
    """Three packets of time without audio, then more audio: three are missing."""
    buffer = PlaybackBuffer()
    buffer.audio(LOUD)
    for _ in range(4):
        buffer.play()
    assert buffer.packets_missing == 0  # nobody knows yet that more will come
    buffer.audio(LOUD)
    assert buffer.packets_missing == 3


def test_silence_before_the_first_and_after_the_last_audio_is_not_missing() -> None:
    """Nothing is owed before the answer and after the end."""
    buffer = PlaybackBuffer()
    for _ in range(10):
        buffer.play()
    buffer.audio(LOUD)
    for _ in range(10):
        buffer.play()
    assert buffer.packets_missing == 0


def test_half_a_packet_is_a_missing_one() -> None:
    """A packet that is cut short has a click in it."""
    buffer = PlaybackBuffer()
    buffer.audio(LOUD[:80])
    heard = buffer.play().heard
    assert heard[:80].all()
    assert not heard[80:].any()
    buffer.audio(LOUD)
    assert buffer.packets_missing == 1


def test_a_mark_is_reached_when_all_before_it_has_been_played() -> None:
    """With the packet that plays the last sample before it."""
    buffer = PlaybackBuffer()
    buffer.audio(LOUD * 2)
    buffer.mark("a")
    buffer.audio(LOUD)
    buffer.mark("b")
    assert [buffer.play().marks for _ in range(4)] == [[], ["a"], ["b"], []]


def test_a_mark_in_an_empty_buffer_is_reached_at_once() -> None:
    """There is nothing before it."""
    buffer = PlaybackBuffer()
    buffer.mark("now")
    assert buffer.play().marks == ["now"]


def test_a_clear_drops_audio_and_echoes_its_marks() -> None:
    """As the carrier does: echoed, though never heard."""
    buffer = PlaybackBuffer()
    buffer.audio(LOUD * 50)
    buffer.mark("unheard")
    buffer.clear()
    played = buffer.play()
    assert not played.heard.any()
    assert played.marks == ["unheard"]
    assert buffer.backlog_s == 0.0
    assert buffer.clears == 1


def test_silence_after_a_clear_is_not_missing() -> None:
    """It was asked for."""
    buffer = PlaybackBuffer()
    buffer.audio(LOUD)
    buffer.clear()
    for _ in range(10):
        buffer.play()
    buffer.audio(LOUD)
    assert buffer.packets_missing == 0
