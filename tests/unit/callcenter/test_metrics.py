"""The metrics table as a whole."""

from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram

from callcenter import metrics

TABLE = {
    name: value
    for name, value in vars(metrics).items()
    if isinstance(value, Counter | Gauge | Histogram)
}
PREFIXES = (
    *("callcenter_", "media_", "engine_", "worker_", "broker_", "event_loop_"),
    *("sip_", "rtp_", "webrtc_"),
)
ALLOWED_LABELS = {
    *("transport", "persona", "engine", "outcome", "result", "dir", "reason", "kind", "by"),
    *("stage", "code", "pool", "trunk", "status", "state", "phase"),
}


def test_every_metric_is_observed_somewhere() -> None:
    """The pages show no number that never moves."""
    package = Path(metrics.__file__).parent
    table = package / "metrics.py"
    code = "".join(path.read_text() for path in package.rglob("*.py") if path != table)
    assert [name for name in TABLE if f"metrics.{name}" not in code] == []


@pytest.mark.parametrize("metric", TABLE.values(), ids=TABLE)
def test_names_and_labels(metric) -> None:
    """One of few prefixes, a unit at the end of histograms, labels of low cardinality only."""
    family = metric.describe()[0]
    assert family.name.startswith(PREFIXES)
    assert family.documentation.endswith(".")
    assert set(metric._labelnames) <= ALLOWED_LABELS
    if isinstance(metric, Histogram):
        assert family.name.endswith(("_seconds", "_ratio", "_mos"))


def test_the_anchors_of_the_service_levels_are_bucket_bounds() -> None:
    """A share of calls inside a level is exact only at a bound."""
    assert {1.115, 1.4} <= set(metrics.TURN_GAP_BUCKETS_S)
    assert 0.2 in metrics.STOP_BUCKETS_S
    assert 0.08 in metrics.FRAME_BUCKETS_S


@pytest.mark.parametrize(
    "buckets", [value for name, value in vars(metrics).items() if name.endswith("_BUCKETS_S")]
)
def test_buckets_rise(buckets) -> None:
    """Prometheus would refuse others at run time."""
    assert list(buckets) == sorted(set(buckets))
