"""Traces of a call's set-up, over all processes that take part in it.

    with tracing.span("call.claim", call_id):
        ...

All spans of a call share a trace whose id is made of the call's id, so nothing has to be carried
from the webhook to the socket and on to the worker. Without `configure`, or without the optional
packages (the extra `otel`), a span costs one comparison and does nothing else. Only names, codes
and the call's id go out: no number, no prompt, no word of a call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from callcenter.errors import ConfigurationError

Attributes = dict[str, str | int | float | bool]
OpenSpan = Callable[[str, str, Attributes], Any]

_open_span: OpenSpan | None = None
_close: Callable[[], None] | None = None


@contextmanager
def span(name: str, call_id: str, **attributes: str | int | float | bool) -> Iterator[None]:
    """Measures a step of a call's set-up; an exception marks it as failed.

    Args:
        name: the step, such as "call.claim".
        call_id: whose.
        attributes: what else should stand in the trace.
    """
    if _open_span is None:
        yield
        return
    with _open_span(name, call_id, attributes):
        yield


def configure(program: str, endpoint: str | None, exporter: Any = None) -> None:
    """Turns tracing on, once, at start-up.

    Args:
        program: the service's name in traces.
        endpoint: OTLP over HTTP, such as http://otel-collector:4318; None leaves tracing off.
        exporter: instead of one for the endpoint.

    Raises:
        ConfigurationError: tracing is wanted but its packages are not installed.
    """
    global _open_span, _close
    if endpoint is None and exporter is None:
        return
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the packages for traces are not installed: "
            "pip install 'personaplex-callcenter[otel]'"
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": f"callcenter-{program}"}))
    provider.add_span_processor(BatchSpanProcessor(exporter or _otlp_exporter(str(endpoint))))
    tracer = provider.get_tracer("callcenter")

    def open_span(name: str, call_id: str, attributes: Attributes) -> Any:
        inside = trace.get_current_span().get_span_context().is_valid
        context = None if inside else trace.set_span_in_context(_root(call_id))
        marks = {"call.id": call_id, **attributes}
        return tracer.start_as_current_span(name, context, attributes=marks)

    _open_span, _close = open_span, provider.shutdown


def shutdown() -> None:
    """Sends what is still waiting and turns tracing off; harmless when it is off."""
    global _open_span, _close
    close, _open_span, _close = _close, None, None
    if close is not None:
        close()


def trace_id(call_id: str) -> int:
    """The 128-bit trace id of a call; the same in every process."""
    return int.from_bytes(hashlib.sha256(call_id.encode()).digest()[:16], "big")


def _root(call_id: str) -> Any:
    """The call itself, as the parent of the steps that have none in their process."""
    from opentelemetry import trace

    sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    span_id = int.from_bytes(hashlib.sha256(call_id.encode()).digest()[16:24], "big")
    return trace.NonRecordingSpan(
        trace.SpanContext(trace_id(call_id), span_id, is_remote=True, trace_flags=sampled)
    )


def _otlp_exporter(endpoint: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
