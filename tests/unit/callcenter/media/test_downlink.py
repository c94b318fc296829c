"""Model -> caller: the playout governor against the carrier's playout model."""

from __future__ import annotations

import numpy as np
import pytest

from callcenter.evaluation.playback import PlaybackBuffer
from callcenter.media.downlink import HARD_LIMIT_S, AudioPayload, Downlink, Mark
from callcenter.media.g711 import decode_ulaw
from callcenter.media.units import FRAME_S, FRAME_SAMPLES, PACKET_S

SPEECH = (8_000 * np.sin(np.arange(FRAME_SAMPLES) * 0.2)).astype(np.int16)
SILENCE = np.zeros(FRAME_SAMPLES, np.int16)
TICKS_PER_FRAME = 4


class Call:
    """A downlink, a network that can stall, and the carrier's buffer, on one 20 ms clock."""

    def __init__(self, echo_marks: bool = True) -> None:
        self.downlink = Downlink("audio/x-mulaw", 8_000)
        self.carrier = PlaybackBuffer()
        self.echo_marks = echo_marks
        self.tick = 0
        self.on_the_wire: list[AudioPayload | Mark] = []

    @property
    def now(self) -> float:
        return self.tick * PACKET_S

    def pass_time(self, frames: list[np.ndarray], stalled: bool = False) -> None:
        """One tick: frames arrive from the worker, the wire delivers, the carrier plays 20 ms."""
        for frame in frames:
            self.downlink.push(frame, self.now)
        self.on_the_wire += self.downlink.pop()
        if not stalled:
            self._deliver()
        for name in self.carrier.play().marks:
            if self.echo_marks:
                self.downlink.mark_played(name, self.now)
        self.tick += 1

    def frames(self, frame: np.ndarray, count: int, stalled: bool = False) -> None:
        """`count` frames at real time."""
        for _ in range(count):
            for part in range(TICKS_PER_FRAME):
                self.pass_time([frame] if part == 0 else [], stalled)

    def _deliver(self) -> None:
        for item in self.on_the_wire:
            if isinstance(item, Mark):
                self.carrier.mark(item.name)
            else:
                self.carrier.audio(item.payload)
        self.on_the_wire = []


def test_a_frame_becomes_four_packets() -> None:
    """Behind the cushion of the very first frame."""
    downlink = Downlink("audio/x-mulaw", 8_000)
    downlink.push(SPEECH, 0.0)
    packets = [item.payload for item in downlink.pop() if isinstance(item, AudioPayload)]
    assert [len(payload) for payload in packets] == [160] * 6
    assert not decode_ulaw(b"".join(packets[:2])).any()
    assert np.abs(decode_ulaw(b"".join(packets[2:]))).max() > 7_000
    downlink.push(SPEECH, FRAME_S)
    assert len(downlink.pop()) == 4


def test_a_leg_that_takes_any_length_gets_a_frame_in_one_payload() -> None:
    """The same bytes, the same counters, a quarter of the messages."""
    one, four = Downlink("audio/x-mulaw", 8_000, any_length=True), Downlink("audio/x-mulaw", 8_000)
    for now in (0.0, FRAME_S):
        for downlink in (one, four):
            downlink.push(SPEECH, now)
        (whole,), packets = one.pop(), four.pop()
        assert isinstance(whole, AudioPayload)
        assert whole.payload == b"".join(
            item.payload for item in packets if isinstance(item, AudioPayload)
        )
    assert one.counters == four.counters


def test_pop_hands_over_once() -> None:
    """What was taken is gone."""
    downlink = Downlink("audio/x-mulaw", 8_000)
    downlink.push(SPEECH, 7.0)
    assert downlink.pop()
    assert downlink.pop() == []


def test_marks_come_about_three_times_a_second() -> None:
    """Often enough to see a stall, rare enough to cost nothing."""
    call = Call()
    call.frames(SPEECH, 125)
    assert 25 <= call.downlink.counters.marks <= 40


def test_a_steady_call_is_untouched() -> None:
    """10 s of silence and speech: nothing trimmed or missing, 120 ms at the far end."""
    call = Call()
    for _ in range(5):
        call.frames(SILENCE, 12)
        call.frames(SPEECH, 13)
    counters = call.downlink.counters
    assert counters.packets == 125 * 4 + 2
    assert counters.packets_cushion == 2
    assert call.carrier.packets_missing == 0
    assert call.carrier.backlog_s <= 0.12


def test_delay_that_no_frame_needs_goes_in_the_next_pause() -> None:
    """A late first frame left 40 ms too much; a second later, silence wins a packet back."""
    call = Call()
    call.pass_time([SPEECH])
    call.pass_time([])
    call.frames(SPEECH, 20)  # the first of them 40 ms after the late one
    before_s = call.carrier.backlog_s
    call.frames(SILENCE, 30)
    assert call.carrier.backlog_s == pytest.approx(before_s - PACKET_S)
    assert call.downlink.counters.packets_dropped_silent == 1
    assert call.carrier.packets_missing == 0


def test_jitter_keeps_the_delay_that_it_needs() -> None:
    """One frame in ten is 40 ms late: nothing is left out while such a frame is remembered."""
    call = Call()
    call.pass_time([SILENCE])
    call.pass_time([])
    for _ in range(6):
        call.frames(SILENCE, 8)
        for frames in ([], [], [SILENCE], [], [SILENCE], [], [], []):
            call.pass_time(frames)
    assert call.downlink.counters.packets_dropped_silent == 0
    assert call.carrier.packets_missing == 0


def test_a_late_frame_within_the_cushion_is_not_heard() -> None:
    """40 ms of jitter between frames leave no hole."""
    call = Call()
    for _ in range(20):
        call.frames(SPEECH, 1)
        call.pass_time([])
        call.pass_time([])
        call.pass_time([SPEECH])
        call.pass_time([])
    assert call.carrier.packets_missing == 0


def test_a_stall_of_the_worker_is_won_back_in_the_next_pause() -> None:
    """Frames that come 0.5 s late and all at once lie at the far end until the agent is silent."""
    call = Call()
    call.frames(SPEECH, 10)
    for _ in range(24):
        call.pass_time([])
    call.pass_time([SPEECH] * 6)
    call.frames(SPEECH, 5)
    assert call.carrier.backlog_s > 0.4
    call.frames(SILENCE, 12)
    assert call.carrier.backlog_s <= 0.12
    assert call.downlink.counters.packets_dropped_silent >= 18
    assert call.downlink.counters.packets_dropped_overrun == 0


def test_a_stall_of_the_network_is_won_back_by_marks() -> None:
    """Our own clock sees nothing of it: without echoes the backlog stays, with them it goes."""
    after = {}
    for echo_marks in (True, False):
        call = Call(echo_marks)
        call.frames(SPEECH, 20)
        call.frames(SPEECH, 8, stalled=True)
        call.frames(SILENCE, 13)
        after[echo_marks] = call.carrier.backlog_s
    assert after[True] <= 0.12
    assert after[False] > 0.5


def test_speech_is_not_trimmed_below_the_hard_limit() -> None:
    """A late burst of speech is heard late, not chopped."""
    call = Call()
    call.pass_time([SPEECH] * 12)
    assert call.downlink.counters.packets_dropped_silent == 0
    assert call.downlink.counters.packets_dropped_overrun == 0


def test_beyond_the_hard_limit_even_speech_goes() -> None:
    """A flood of frames cannot fill memory here or there."""
    call = Call()
    call.pass_time([SPEECH] * 100)
    assert call.downlink.backlog_s(0.0) <= HARD_LIMIT_S + FRAME_S
    assert call.downlink.counters.packets_dropped_overrun > 200


def test_running_dry_earns_a_new_cushion() -> None:
    """After a hole, audio starts behind 40 ms of silence again."""
    call = Call()
    call.frames(SPEECH, 5)
    for _ in range(20):
        call.pass_time([])
    call.frames(SPEECH, 5)
    assert call.downlink.counters.packets_cushion == 4


def test_flush_throws_away_what_is_ready_and_starts_anew() -> None:
    """With the carrier's clear: no backlog, and echoes of cleared marks are ignored."""
    call = Call()
    call.frames(SPEECH, 10)
    call.pass_time([SPEECH] * 10)
    call.downlink.push(SPEECH, call.now)
    call.downlink.flush(call.now)
    call.carrier.clear()
    assert call.downlink.pop() == []
    assert call.downlink.backlog_s(call.now) == 0.0
    cleared = call.carrier.play().marks
    assert cleared
    assert not any(call.downlink.mark_played(name, call.now) for name in cleared)


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "packet_bytes"),
    [("audio/x-alaw", 8_000, 160), ("audio/l16", 16_000, 640), ("audio/x-l16", 24_000, 960)],
)
def test_every_wire_format_has_20_ms_packets(
    encoding: str, rate_hz: int, packet_bytes: int
) -> None:
    """The packet's length follows encoding and rate."""
    downlink = Downlink(encoding, rate_hz)
    downlink.push(SPEECH, 0.0)
    sizes = {len(i.payload) for i in downlink.pop() if isinstance(i, AudioPayload)}
    assert sizes == {packet_bytes}


@pytest.mark.parametrize(("paced", "cushion"), [(False, 2), (True, 1)])
def test_a_paced_leg_needs_a_smaller_cushion(paced: bool, cushion: int) -> None:
    """No network stands before its queue, so one packet of silence goes ahead, not two."""
    downlink = Downlink("audio/x-l16", 24_000, paced=paced)
    downlink.push(SPEECH, 0.0)
    assert downlink.counters.packets_cushion == cushion


@pytest.mark.parametrize(("paced", "limit_s"), [(False, 0.10), (True, 0.05)])
def test_a_paced_leg_trims_earlier(paced: bool, limit_s: float) -> None:
    """What a stall left in the queue is won back in silence, down to less."""
    downlink = Downlink("audio/x-l16", 24_000, paced=paced)
    for _ in range(5):
        downlink.push(SPEECH, 0.0)
    for tick in range(1, 50):
        downlink.push(SILENCE, tick * FRAME_S)
    assert downlink.backlog_s(50 * FRAME_S) <= limit_s
