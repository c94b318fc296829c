"""The sizing calculator: Erlang's formula, the measured curve, and sums by hand."""

import json

import pytest

from callcenter.errors import ConfigurationError
from callcenter.evaluation.sizing import (
    Measurement,
    Wishes,
    erlang_b,
    measurements,
    parse,
    size,
    slots_for,
)

CURVE = [
    Measurement("NVIDIA H100", "fp8", "bf16", 32, 21.0),
    Measurement("NVIDIA H100", "fp8", "bf16", 64, 33.0),
    Measurement("NVIDIA H100", "fp8", "bf16", 128, 71.0),  # beyond the tick's limit
    Measurement("NVIDIA H100", "bf16", "bf16", 36, 31.0),
]


@pytest.mark.parametrize(
    ("load", "slots", "blocked"),
    [(1.0, 1, 0.5), (2.0, 2, 0.4), (10.0, 18, 0.0071), (100.0, 117, 0.0098)],
)
def test_erlang_b_is_that_of_the_tables(load: float, slots: int, blocked: float) -> None:
    """The first two by hand; the others from a table of traffic engineering."""
    assert erlang_b(load, slots) == pytest.approx(blocked, abs=1e-4)


@pytest.mark.parametrize("load", [0.5, 3.0, 40.0, 400.0])
def test_slots_are_the_fewest_that_do(load: float) -> None:
    """One less would turn too many away."""
    slots = slots_for(load, 0.01)
    assert erlang_b(load, slots) <= 0.01 < erlang_b(load, slots - 1)


def test_concurrent_calls_by_hand() -> None:
    """500 calls on GPUs of 64: eight, and a spare; bandwidth both ways."""
    sizing = size(Wishes(concurrent=500, calls_per_gateway=50, kv="fp8"), CURVE)
    assert (sizing.slots, sizing.slots_per_gpu, sizing.gpus, sizing.gateways) == (500, 64, 9, 11)
    assert sizing.sip_mbit_per_s == 80.0  # 80 kbit/s a way
    assert sizing.link_mbit_per_s == pytest.approx(392, abs=1)
    assert sizing.cost_per_call is None


def test_calls_an_hour_become_slots_and_a_price() -> None:
    """1,500 calls of four minutes are 100 Erlang, 117 slots at one in a hundred turned away."""
    wishes = Wishes(calls_per_hour=1_500, average_s=240, gpu_price_per_hour=3.0, kv="fp8")
    sizing = size(wishes, CURVE)
    assert (sizing.slots, sizing.gpus) == (117, 3)
    assert sizing.cost_per_call == pytest.approx(3 * 3.0 / 1_500)


def test_a_point_beyond_the_limit_is_not_used_and_precision_matters() -> None:
    """128 calls were measured, but leave no time for prompts."""
    assert size(Wishes(concurrent=1, kv="fp8"), CURVE).slots_per_gpu == 64
    assert size(Wishes(concurrent=1, kv="bf16"), CURVE).slots_per_gpu == 36


def test_an_unmeasured_gpu_is_told_with_what_there_is() -> None:
    """Nothing is guessed."""
    with pytest.raises(ConfigurationError, match=r"nothing was measured on B200.*NVIDIA H100"):
        size(Wishes(concurrent=1, device="B200"), CURVE)


@pytest.mark.parametrize(
    "wishes",
    [Wishes(), Wishes(concurrent=5, calls_per_hour=5), Wishes(concurrent=5, blocking=0.0)],
)
def test_wishes_without_sense_are_refused(wishes: Wishes) -> None:
    """The message names the options."""
    with pytest.raises(ConfigurationError, match="--"):
        size(wishes, CURVE)


def test_the_benchmarks_lines_are_read_and_others_passed_over() -> None:
    """As they come from the benchmark, with fields that nobody asked for."""
    line = {"bench": "curve", "device": "X", "kv": "fp8", "weights": "fp8", "calls": 3}
    lines = [json.dumps(line | {"p99_ms": 9.5, "p50_ms": 9.0}), '{"bench": "join"}', ""]
    assert parse(lines) == [Measurement("X", "fp8", "fp8", 3, 9.5)]


def test_the_measured_curves_rise() -> None:
    """More calls never take less time: a slip in the data file would."""
    measured = measurements()
    for curve in {(one.device, one.kv, one.weights) for one in measured}:
        points = sorted(
            (one.calls, one.p99_ms)
            for one in measured
            if (one.device, one.kv, one.weights) == curve
        )
        assert [time for _, time in points] == sorted(time for _, time in points)


def test_for_people_and_for_programs() -> None:
    """The same numbers."""
    sizing = size(Wishes(concurrent=500, gpu_price_per_hour=2.0, kv="fp8"), CURVE)
    assert "GPUs                 9" in sizing.to_text()
    assert "cost of a call" in sizing.to_text()
    assert json.loads(sizing.to_json())["gpus"] == 9
