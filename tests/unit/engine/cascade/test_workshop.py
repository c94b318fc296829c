"""Jobs run by urgency, and one call cannot crowd the others out."""

import threading
import weakref

import pytest

from engine.cascade.workshop import InlineWorkshop, ThreadWorkshop, TooManyJobsError, Urgency


def test_inline_is_done_at_once() -> None:
    """Results and exceptions are in the future when submit returns."""
    shop = InlineWorkshop()
    assert shop.submit("a", Urgency.PAUSE, lambda: 7).result(0) == 7
    assert isinstance(shop.submit("a", Urgency.PAUSE, lambda: 1 // 0).exception(0), ArithmeticError)


def test_the_most_urgent_runs_first() -> None:
    """Whatever was submitted before it."""
    shop = ThreadWorkshop(threads=1)
    gate, order = threading.Event(), []
    shop.submit("x", Urgency.AHEAD, gate.wait)
    jobs = [
        shop.submit("a", Urgency.AHEAD, lambda: order.append("ahead")),
        shop.submit("b", Urgency.PAUSE, lambda: order.append("pause")),
        shop.submit("c", Urgency.SPEECH, lambda: order.append("speech")),
    ]
    gate.set()
    for job in jobs:
        job.result(5)
    shop.close()
    assert order == ["speech", "pause", "ahead"]


def test_a_cancelled_job_never_runs() -> None:
    """A look at a pause that is over costs nothing."""
    shop = ThreadWorkshop(threads=1)
    gate, ran = threading.Event(), []
    shop.submit("x", Urgency.SPEECH, gate.wait)
    job = shop.submit("x", Urgency.PAUSE, lambda: ran.append(1))
    assert job.cancel()
    gate.set()
    shop.submit("x", Urgency.PAUSE, lambda: None).result(5)
    shop.close()
    assert ran == []


def test_one_call_is_bounded_and_the_others_are_not() -> None:
    """The ninth look of a call is refused; its lines and another call's looks are not."""
    shop = ThreadWorkshop(threads=1)
    gate = threading.Event()
    jobs = [shop.submit("greedy", Urgency.PAUSE, gate.wait) for _ in range(8)]
    with pytest.raises(TooManyJobsError, match="greedy"):
        shop.submit("greedy", Urgency.PAUSE, gate.wait)
    others = [
        shop.submit("modest", Urgency.PAUSE, lambda: "ok"),
        shop.submit("greedy", Urgency.SPEECH, lambda: "ok"),
        shop.submit("greedy", Urgency.AHEAD, lambda: "ok"),
    ]
    gate.set()
    assert [other.result(5) for other in others] == ["ok"] * 3
    for job in jobs:
        job.result(5)
    assert shop.submit("greedy", Urgency.PAUSE, lambda: 1).result(5) == 1
    shop.close()


def test_a_failing_job_does_not_end_its_thread() -> None:
    """The next job runs on the same thread."""
    shop = ThreadWorkshop(threads=1)
    assert isinstance(shop.submit("a", Urgency.PAUSE, lambda: [][0]).exception(5), IndexError)
    assert shop.submit("a", Urgency.PAUSE, lambda: 3).result(5) == 3
    shop.close()


def test_a_thread_that_waits_keeps_nothing_of_the_last_call() -> None:
    """Its sound is the caller's, and goes when the call is over."""

    class Sound:
        """What a job works on."""

    shop, gone = ThreadWorkshop(threads=1), threading.Event()
    sound = Sound()
    weakref.finalize(sound, gone.set)
    shop.submit("a", Urgency.SPEECH, lambda sound=sound: sound).result(5)
    del sound
    assert gone.wait(5)
    shop.close()
