"""The step as CUDA graphs, one for each span of rows; whatever cannot be captured runs as it is.

A tick is some thousand kernels; launched one by one they would take longer than they run. The
step allocates nothing that outlives it and asks the device nothing, so a recording of it can be
played again and again on the same memory. All recordings share one memory pool: only one plays
at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from engine.phases import Span
from engine.step import Rows

StepFunction = Callable[[Rows], None]
Report = Callable[[str], None]


class CapturedStep:
    """A step that plays recordings where it has them.

    Args:
        step: the step, as rehearsed; it must leave idle rows as they are.
        rows: all rows.
        spans: rows to record.
        report: hears why a span could not be recorded.
    """

    def __init__(
        self, step: StepFunction, rows: Rows, spans: Sequence[Span], report: Report
    ) -> None:
        self._step = step
        self._graphs: dict[Span, torch.cuda.CUDAGraph] = {}
        pool = torch.cuda.graph_pool_handle()
        # Of the device at hand: PyTorch's own is the first device's that the process recorded on.
        self._stream = torch.cuda.Stream()
        # The largest first: the smaller ones then find their memory in the pool.
        for span in sorted(spans, key=lambda span: span.batch, reverse=True):
            try:
                self._graphs[span] = self._record(rows.narrow(span), pool)
            except torch.OutOfMemoryError:  # a RuntimeError, too: to run eagerly takes no less
                raise
            except RuntimeError as error:  # an operation that cannot be captured
                report(f"no CUDA graph for {span.batch} rows from {span.first} on: {error}")

    @property
    def recorded(self) -> tuple[Span, ...]:
        """The spans that have a recording."""
        return tuple(sorted(self._graphs))

    def _record(self, rows: Rows, pool: tuple[int, int]) -> torch.cuda.CUDAGraph:
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=self._stream):
            self._step(rows)
        return graph

    def __call__(self, rows: Rows) -> None:
        """Plays the recording of these rows, or runs the step."""
        graph = self._graphs.get(rows.span)
        if graph is None:
            self._step(rows)
        else:
            graph.replay()
