"""Recordings: which spans get one, and what becomes of those that do not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from engine import graphs
from engine.graphs import CapturedStep
from engine.phases import Span

SPANS = (Span(0, 1), Span(0, 2), Span(2, 2), Span(0, 4))


@dataclass(frozen=True)
class FewRows:
    """Rows that only know which they are."""

    span: Span

    def narrow(self, span: Span) -> FewRows:
        return FewRows(span)


class Device:
    """Stands for `torch.cuda`: notes what is recorded and what is played."""

    def __init__(self) -> None:
        self.recording = False
        self.played = 0
        self.stream = object()

    def Stream(self) -> object:  # noqa: N802 - torch's name
        return self.stream

    def graph_pool_handle(self) -> tuple[int, int]:
        return (0, 1)

    def synchronize(self) -> None:
        assert not self.recording

    def CUDAGraph(self) -> SimpleNamespace:  # noqa: N802 - torch's name
        return SimpleNamespace(replay=self._play)

    def _play(self) -> None:
        self.played += 1

    @contextlib.contextmanager
    def graph(self, graph: object, pool: tuple[int, int], stream: object) -> Iterator[None]:
        assert stream is self.stream
        self.recording = True
        try:
            yield
        finally:
            self.recording = False


def test_a_span_that_cannot_be_recorded_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are played; the reason names the rows."""
    device, ran, heard = Device(), [], []
    monkeypatch.setattr(
        graphs, "torch", SimpleNamespace(cuda=device, OutOfMemoryError=torch.OutOfMemoryError)
    )

    def step(rows: FewRows) -> None:
        if device.recording and rows.span == Span(2, 2):
            raise RuntimeError("operation not permitted when stream is capturing")
        ran.append(rows.span)

    captured = CapturedStep(step, FewRows(Span(0, 4)), SPANS, heard.append)
    assert captured.recorded == (Span(0, 1), Span(0, 2), Span(0, 4))
    assert [span.batch for span in ran] == [4, 2, 1], "the largest first"
    assert heard == [
        "no CUDA graph for 2 rows from 2 on: operation not permitted when stream is capturing"
    ]
    ran.clear()
    for span in SPANS:
        captured(FewRows(span))
    assert (ran, device.played) == ([Span(2, 2)], 3)


def test_memory_that_runs_out_is_no_span_to_go_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eagerly the step would take as much: the start fails with what to change."""
    monkeypatch.setattr(
        graphs, "torch", SimpleNamespace(cuda=Device(), OutOfMemoryError=torch.OutOfMemoryError)
    )

    def step(rows: FewRows) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        CapturedStep(step, FewRows(Span(0, 4)), SPANS, print)
