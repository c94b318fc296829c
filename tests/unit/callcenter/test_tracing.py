"""Traces of set-up: one trace a call, over processes; and nothing at all when they are off."""

import pytest

from callcenter import tracing
from callcenter.errors import ConfigurationError

sdk = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")


@pytest.fixture
def exporter():
    """Keeps spans."""
    return sdk.InMemorySpanExporter()


def record(exporter, *steps) -> None:
    """What one process contributes."""
    tracing.configure("test", None, exporter)
    try:
        for step in steps:
            step()
    finally:
        tracing.shutdown()


def test_the_steps_of_a_call_share_a_trace_across_processes(exporter) -> None:
    """Nothing is carried over but the call's id."""

    def announced() -> None:
        with (
            tracing.span("call.announce", "CA1", persona="bank"),
            tracing.span("call.claim", "CA1"),
        ):
            pass

    def admitted() -> None:
        with tracing.span("worker.admit", "CA1"):
            pass

    record(exporter, announced)
    other_process = sdk.InMemorySpanExporter()
    record(other_process, admitted)
    claim, announce = exporter.get_finished_spans()
    (admit,) = other_process.get_finished_spans()
    assert (announce.name, claim.name) == ("call.announce", "call.claim")
    assert {span.context.trace_id for span in (claim, announce, admit)} == {tracing.trace_id("CA1")}
    assert claim.parent.span_id == announce.context.span_id
    assert admit.parent.span_id == announce.parent.span_id
    assert dict(announce.attributes) == {"call.id": "CA1", "persona": "bank"}


def test_two_calls_have_two_traces(exporter) -> None:
    """Whatever runs in between."""

    def both() -> None:
        for call_id in ("CA1", "CA2"):
            with tracing.span("call.claim", call_id):
                pass

    record(exporter, both)
    one, two = exporter.get_finished_spans()
    assert one.context.trace_id != two.context.trace_id


def test_a_step_that_fails_is_marked(exporter) -> None:
    """And the exception goes on its way."""

    def fail() -> None:
        with pytest.raises(KeyError), tracing.span("call.claim", "CA1"):
            raise KeyError

    record(exporter, fail)
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok


def test_off_it_does_nothing(exporter) -> None:
    """Without an endpoint, and after the end."""
    tracing.configure("test", None)
    with tracing.span("call.claim", "CA1"):
        pass
    tracing.shutdown()
    record(exporter)
    with tracing.span("call.claim", "CA1"):
        pass
    assert exporter.get_finished_spans() == ()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants traces is told what to install."""
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match="otel"):
        tracing.configure("test", "http://collector:4318")
