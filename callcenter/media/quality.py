"""One call's quality in numbers, gathered from the cores that count.

Pure bookkeeping: the shell that owns the call observes the metrics and writes the record.
"""

from __future__ import annotations

from dataclasses import dataclass

from callcenter.media.bargein import TalkTime
from callcenter.media.downlink import DownlinkCounters
from callcenter.media.units import PACKET_S
from callcenter.media.uplink import UplinkCounters


@dataclass(frozen=True, slots=True)
class CallQuality:
    """A snapshot, for a call's record and for metrics.

    Attributes:
        packets_in: wire packets that came from the caller.
        packets_out: wire packets sent to the caller, cushions included.
        packets_lost: wire packets that the carrier skipped, by its timestamps.
        frames_in: frames handed to the model.
        frames_out: frames that the model made.
        frames_dropped: caller frames left out: overrun, and silence to win back latency.
        packets_trimmed: agent packets left out by the playout governor.
        packets_concealed: packets of silence sent because the far end had run dry.
        agent_talk_s, caller_talk_s, double_talk_s: speech by direction, and both at once.
    """

    packets_in: int
    packets_out: int
    packets_lost: int
    frames_in: int
    frames_out: int
    frames_dropped: int
    packets_trimmed: int
    packets_concealed: int
    agent_talk_s: float
    caller_talk_s: float
    double_talk_s: float


def call_quality(up: UplinkCounters, down: DownlinkCounters, talk: TalkTime) -> CallQuality:
    """Takes the snapshot."""
    return CallQuality(
        packets_in=up.packets,
        packets_out=down.packets,
        packets_lost=round(up.timestamp_gap_s / PACKET_S),
        frames_in=up.frames,
        frames_out=down.frames,
        frames_dropped=up.frames_dropped_overrun + up.frames_dropped_silent,
        packets_trimmed=down.packets_dropped_silent + down.packets_dropped_overrun,
        packets_concealed=down.packets_cushion,
        agent_talk_s=talk.agent_s,
        caller_talk_s=talk.caller_s,
        double_talk_s=talk.both_s,
    )
