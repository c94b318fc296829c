"""The worker's own session, on made-up clocks."""

import numpy as np
import pytest

from callcenter.worker.probe import AGAIN_S, EVERY_S, FRESH_S, Probe
from callcenter.worker.sessions import Delivery, Session
from engine.interface import FrameOutput, SessionSpec

SPEC = SessionSpec("probe", "bank", "Be kind.", "nora")
OUTPUT = FrameOutput(np.zeros(1_920, np.int16))


def other() -> Session:
    """Somebody's call."""
    return Session(SessionSpec("CA1", "bank", "Be kind.", "nora"), lambda delivery: None)


def test_it_is_due_at_once_then_seldom_and_never_beside_calls() -> None:
    """Live calls answer the question by themselves."""
    probe = Probe(SPEC)
    assert probe.due(100.0, sessions=0)
    assert not probe.due(100.0, sessions=1)
    probe.begin(100.0)
    probe.stepped(100.1)
    assert not probe.due(100.0 + EVERY_S - 0.1, sessions=0)
    assert probe.due(100.0 + EVERY_S, sessions=0)


def test_a_late_answer_is_asked_for_again_soon() -> None:
    """One stall at start keeps a worker out for a second, not for ten."""
    probe = Probe(SPEC)
    probe.begin(100.0)
    probe.end()
    assert not probe.due(100.0 + AGAIN_S - 0.1, sessions=0)
    assert probe.due(100.0 + AGAIN_S, sessions=0)


def test_it_goes_when_it_has_heard_one_frame() -> None:
    """And its frame reaches nobody else."""
    probe, call = Probe(SPEC), other()
    session = probe.begin(0.0)
    assert probe.over() is None
    post = [(call, Delivery(OUTPUT)), (session, Delivery(OUTPUT))]
    assert probe.take_out(post) == [(call, Delivery(OUTPUT))]
    assert probe.over() is session
    probe.end()
    assert probe.session is None
    assert probe.over() is None
    assert probe.take_out(post[:1]) == post[:1]


def test_the_engine_is_unready_until_it_has_stepped_and_when_it_stops() -> None:
    """A worker that has shown nothing gets no call."""
    probe = Probe(SPEC)
    assert "80 ms" in probe.unready(0.0)
    probe.stepped(10.0)
    assert probe.unready(10.0 + FRESH_S - 0.1) == ""
    assert "80 ms" in probe.unready(10.0 + FRESH_S)


def test_what_the_engine_said_against_it_is_told() -> None:
    """An operator reads the reason on the readiness page."""
    probe = Probe(SPEC)
    probe.begin(0.0)
    probe.refused("voice 'nora' is not known")
    assert probe.session is None
    assert probe.unready(1.0) == "voice 'nora' is not known"
    session = probe.begin(EVERY_S)
    probe.take_out([(session, Delivery(None, failure="no numbers"))])
    assert probe.unready(EVERY_S) == "no numbers"


def test_without_a_prompt_an_idle_engine_is_trusted() -> None:
    """There is nothing to ask it with."""
    probe = Probe(None)
    assert not probe.due(0.0, sessions=0)
    assert probe.unready(1e9) == ""
    with pytest.raises(ValueError, match="never due"):
        probe.begin(0.0)
