"""Every turn's words are found, however busy the worker threads are."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.cascade.looks import Looks, Words
from engine.cascade.turns import Event
from engine.cascade.workshop import TooManyJobsError
from tests.unit.engine.cascade.rooms import said


class Desk:
    """Takes jobs, does them when told, and refuses them when full; the sound is its own time."""

    def __init__(self) -> None:
        self.full = False
        self.jobs: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.looks = Looks(self.sound, self.understand, lambda sound: 0.7, self.submit)

    def sound(self, event: Event) -> NDArray[np.float32]:
        """Start and end."""
        return np.array([event.start_s, event.end_s], np.float32)

    def understand(self, sound: NDArray[np.float32]) -> Words:
        """The words are the time in which they were said."""
        return Words(said(f"{sound[0]:g}-{sound[1]:g}"), [])

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """As the workshop does it."""
        if self.full:
            raise TooManyJobsError
        future: Future[Any] = Future()
        self.jobs.append((future, work))
        return future

    def work(self) -> None:
        """Does all that was not cancelled."""
        for future, work in self.jobs:
            if future.set_running_or_notify_cancel():
                future.set_result(work())
        self.jobs.clear()

    def turn(self) -> str | None:
        """What was heard of a turn that is over."""
        words = self.looks.turn_words()
        return words.heard.hypotheses[0] if words else None


@pytest.fixture
def desk() -> Desk:
    """An idle one."""
    return Desk()


def test_a_pause_is_judged_while_it_lasts(desk: Desk) -> None:
    """By its sound and its words, when both are there."""
    desk.looks.pause(Event(1, 2))
    assert desk.looks.pause_verdict() is None
    desk.work()
    verdict = desk.looks.pause_verdict()
    assert verdict is not None
    assert (verdict.finished, verdict.words.heard.hypotheses) == (0.7, ("1-2",))
    assert desk.turn() is None


def test_the_look_at_the_pause_serves_the_turn(desk: Desk) -> None:
    """The words are told once, and nothing is recognised twice."""
    desk.looks.pause(Event(1, 2))
    desk.looks.turn_ended(Event(1, 3))
    assert len(desk.jobs) == 2
    assert desk.turn() is None
    desk.work()
    assert desk.looks.pause_verdict() is None
    assert (desk.turn(), desk.turn()) == ("1-2", None)


def test_going_on_voids_the_look(desk: Desk) -> None:
    """What was not begun is never done."""
    desk.looks.pause(Event(1, 2))
    desk.looks.resumed()
    assert all(future.cancelled() for future, _ in desk.jobs)
    desk.looks.turn_ended(Event(1, 5))
    assert desk.turn() is None
    desk.work()
    assert desk.turn() == "1-5"


def test_a_turn_is_looked_at_as_soon_as_there_is_room(desk: Desk) -> None:
    """A refused look costs time, not the turn."""
    desk.full = True
    desk.looks.pause(Event(1, 2))
    desk.looks.turn_ended(Event(1, 3))
    assert desk.turn() is None
    desk.full = False
    assert desk.turn() is None
    desk.work()
    assert desk.turn() == "1-3"


def test_a_caller_who_goes_on_before_being_understood_is_heard_in_whole(desk: Desk) -> None:
    """Two turns without an answer between are one."""
    desk.looks.turn_ended(Event(1, 2))
    assert desk.turn() is None
    desk.looks.pause(Event(3, 4))
    desk.looks.resumed()
    desk.looks.turn_ended(Event(3, 5))
    assert desk.turn() is None
    desk.work()
    assert (desk.turn(), desk.turn()) == ("1-5", None)


def test_a_pause_does_not_cost_the_turn_before(desk: Desk) -> None:
    """Its words are on their way; the pause is let go."""
    desk.looks.turn_ended(Event(1, 2))
    assert desk.turn() is None
    desk.looks.pause(Event(3, 4))
    desk.work()
    assert desk.turn() == "1-2"


def test_short_bursts_one_at_a_time(desk: Desk) -> None:
    """A second one meanwhile, and one in a storm of work, are let go."""
    desk.full = True
    desk.looks.burst_over(Event(0, 1))
    desk.full = False
    desk.looks.burst_over(Event(1, 2))
    desk.looks.burst_over(Event(2, 3))
    assert desk.looks.burst_words() is None
    desk.work()
    words = desk.looks.burst_words()
    assert words is not None
    assert words.heard.hypotheses == ("1-2",)
    assert desk.looks.burst_words() is None


def test_the_end_of_a_call_cancels_all(desk: Desk) -> None:
    """Nobody wants to know any more."""
    desk.looks.pause(Event(1, 2))
    desk.looks.burst_over(Event(3, 4))
    desk.looks.close()
    assert [future.cancelled() for future, _ in desk.jobs] == [True] * 3
