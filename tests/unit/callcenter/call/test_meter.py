"""What a call adds to the metrics."""

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from callcenter.call.machine import Outcome
from callcenter.call.meter import CallMeter
from callcenter.events import (
    Backchannel,
    BargeIn,
    FalseStop,
    MissedBargeIn,
    OverlapStart,
    TurnGap,
    Yielded,
)
from callcenter.media.quality import CallQuality

NOTHING = CallQuality(0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0)
P = {"persona": "meter-test"}
T = {"transport": "meter-test"}
AGENT = {"engine": "cascade", **P}
ENGINES = ("personaplex", "cascade")


@pytest.fixture
def meter() -> CallMeter:
    """A call that was announced at 10 s; its labels are no other test's."""
    return CallMeter("meter-test", "meter-test", announced_at=10.0)


def value(name: str, **labels: str) -> float:
    """A sample's value now; 0 before the first observation."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_call_from_beginning_to_end(meter) -> None:
    """Active while it lasts, counted by outcome after."""
    meter.began()
    assert value("callcenter_calls_active", **T) == 1
    meter.ended(Outcome.ANSWERED)
    assert value("callcenter_calls_active", **T) == 0
    assert value("callcenter_calls_total", outcome="answered", **T) == 1


def test_a_set_up_counts_once(meter) -> None:
    """A second session of the call is no second set-up."""
    for now in (10.5, 20.0):
        meter.session_ready(now, "rehearsal")
    assert value("callcenter_call_setup_seconds_count", **T) == 1
    assert value("callcenter_call_setup_seconds_sum", **T) == 0.5


def test_lost_workers(meter) -> None:
    """A second session is a call that moved; an end for want of one is a call lost."""
    before = [value("callcenter_reclaims_total", result=result) for result in ("moved", "lost")]
    meter.session_ready(10.5, "personaplex")
    meter.session_ready(20.0, "personaplex")
    meter.ended(Outcome.FAILED, worker_lost=True)
    after = [value("callcenter_reclaims_total", result=result) for result in ("moved", "lost")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1]


def test_a_session_is_counted_by_its_engine(meter) -> None:
    """A call that moved from one to the other counts at both."""
    meter.session_ready(10.5, "personaplex")
    meter.session_ready(20.0, "cascade")
    began = [value("callcenter_sessions_total", engine=kind, **P) for kind in ENGINES]
    assert began[1] == 1
    assert began[0] >= 1


def test_the_first_sound_counts_once(meter) -> None:
    """A second session of the call has none."""
    for _ in range(2):
        meter.first_sound(0.25)
    assert value("callcenter_first_audio_seconds_count", **T, **P) == 1


@pytest.mark.parametrize(
    ("event", "result"),
    [
        (Yielded(5.0, 0.2, 0.25), "yielded"),
        (Backchannel(5.0, 0.3), "ignored_backchannel"),
        (MissedBargeIn(5.0), "missed"),
        (FalseStop(5.0), "false_stop"),
    ],
)
def test_how_a_barge_in_ended(meter, event, result: str) -> None:
    """One of four results; the beginning alone counts nothing."""
    meter.session_ready(10.5, "cascade")
    before = value("callcenter_bargein_total", result=result, **AGENT)
    meter.turn(BargeIn(4.0))
    meter.turn(event)
    assert value("callcenter_bargein_total", result=result, **AGENT) == before + 1


def test_stop_times(meter) -> None:
    """Sent, heard, and the difference."""
    sums = ("bargein_stop", "bargein_audible_stop", "bargein_overrun")
    meter.session_ready(10.5, "cascade")
    before = [value(f"callcenter_{name}_seconds_sum", **AGENT) for name in sums]
    meter.turn(Yielded(5.0, 0.2, 0.26))
    after = [value(f"callcenter_{name}_seconds_sum", **AGENT) for name in sums]
    gains = [now - then for now, then in zip(after, before, strict=True)]
    assert gains == pytest.approx([0.2, 0.26, 0.06])


def test_gaps_and_overlaps_are_apart(meter) -> None:
    """An overlap is no gap of zero."""
    meter.session_ready(10.5, "cascade")
    meter.turn(TurnGap(5.0, 0.4))
    meter.turn(OverlapStart(6.0))
    assert value("callcenter_turn_gap_seconds_count", kind="gap", **AGENT) == 1
    assert value("callcenter_turn_gap_seconds_sum", kind="gap", **AGENT) == 0.4
    assert value("callcenter_turn_overlap_starts_total", **AGENT) == 1


def test_waits_at_the_worker(meter) -> None:
    """Each frame's."""
    meter.waited(0.03)
    meter.waited(0.05)
    assert value("media_jitter_buffer_seconds_sum", **T) == pytest.approx(0.08)


def test_counters_gain_only_what_is_new(meter) -> None:
    """Snapshots are cumulative, metrics must not be counted twice."""
    half = replace(NOTHING, packets_in=50, packets_out=40, agent_talk_s=1.5, frames_dropped=2)
    meter.quality(half)
    meter.quality(replace(half, packets_in=70, caller_talk_s=0.5))
    assert value("media_packets_total", dir="in", **T) == 70
    assert value("media_packets_total", dir="out", **T) == 40
    assert value("callcenter_agent_talk_seconds_total", **P) == 1.5
    assert value("callcenter_user_talk_seconds_total", **P) == 0.5
