"""The snapshot of one call."""

from __future__ import annotations

from callcenter.media.bargein import TalkTime
from callcenter.media.downlink import DownlinkCounters
from callcenter.media.quality import call_quality
from callcenter.media.uplink import UplinkCounters


def test_counters_of_both_directions_come_together() -> None:
    """Sums where two reasons mean the same to a reader; packets where the carrier told seconds."""
    quality = call_quality(
        UplinkCounters(packets=100, frames=23, frames_dropped_overrun=1, frames_dropped_silent=2,
                       timestamp_gap_s=0.06),
        DownlinkCounters(frames=25, packets=98, packets_cushion=2, packets_dropped_silent=3,
                         packets_dropped_overrun=1),
        TalkTime(caller_s=1.0, agent_s=2.0, both_s=0.5),
    )  # fmt: skip
    assert (quality.packets_in, quality.packets_out, quality.packets_lost) == (100, 98, 3)
    assert (quality.frames_in, quality.frames_out, quality.frames_dropped) == (23, 25, 3)
    assert (quality.packets_trimmed, quality.packets_concealed) == (4, 2)
    assert (quality.caller_talk_s, quality.agent_talk_s, quality.double_talk_s) == (1.0, 2.0, 0.5)
