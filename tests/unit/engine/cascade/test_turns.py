"""Whose turn it is, from voice and pauses alone."""

from itertools import cycle, islice

import pytest

from engine.cascade import turns
from engine.cascade.turns import CHUNK_S, Event, TurnTracker


class Line:
    """Feeds a tracker with stretches of voice and silence; collects (time, event)."""

    def __init__(self) -> None:
        self.tracker = TurnTracker()
        self.now_s = 0.0
        self.events: list[tuple[float, Event]] = []

    def feed(self, seconds: float, voiced: bool, agent: bool = False) -> list[type[Event]]:
        """Returns the kinds of the events of this stretch."""
        new: list[Event] = []
        for _ in range(round(seconds / CHUNK_S)):
            self.now_s += CHUNK_S
            new += self.tracker.update(voiced, agent, self.now_s)
        self.events += [(self.now_s, event) for event in new]
        return [type(event) for event in new]

    def judge(self, backchannel: float) -> list[type[Event]]:
        """Passes a verdict on the burst so far."""
        return [type(event) for event in self.tracker.judge_burst(backchannel, self.now_s)]

    def frames(self, count: int, voiced: bool, backchannel: float) -> list[type[Event]]:
        """Frames of two or three chunks over the agent's speech, each with a verdict."""
        kinds: list[type[Event]] = []
        for chunks in islice(cycle((3, 2)), count):
            kinds += self.feed(chunks * CHUNK_S, voiced, agent=True) + self.judge(backchannel)
        return kinds


@pytest.fixture
def line() -> Line:
    """A quiet line."""
    return Line()


def test_a_finished_turn_ends_soon(line: Line) -> None:
    """Words that sound complete end the turn after a third of a second."""
    line.feed(1.0, True)
    assert line.feed(0.16, False) == [turns.Paused]
    line.tracker.judge_turn(finished=0.95, understood=False)
    assert line.feed(0.25, False) == [turns.TurnEnded]
    assert not line.tracker.hears_voice


def test_a_turn_that_sounds_cut_off_waits(line: Line) -> None:
    """Without a good verdict the caller gets a second to think."""
    line.feed(1.0, True)
    line.feed(0.2, False)
    line.tracker.judge_turn(finished=0.1, understood=False)
    assert line.feed(0.7, False) == []
    assert line.feed(0.4, False) == [turns.TurnEnded]


@pytest.mark.parametrize(
    ("finished", "understood", "seconds"),
    [
        (0.95, False, 0.35),
        (0.4, True, 0.35),
        (0.6, False, 0.6),
        (0.1, True, 0.6),
        (0.1, False, 1.1),
    ],
)
def test_the_verdict_sets_the_pause(
    line: Line, finished: float, understood: bool, seconds: float
) -> None:
    """The surer the end, the shorter the wait."""
    line.feed(1.0, True)
    spoken_until_s = line.now_s
    line.feed(0.16, False)
    line.tracker.judge_turn(finished, understood)
    while not any(isinstance(event, turns.TurnEnded) for _, event in line.events):
        line.feed(CHUNK_S, False)
    assert line.now_s - spoken_until_s == pytest.approx(seconds, abs=CHUNK_S + 1e-6)


def test_going_on_voids_the_look(line: Line) -> None:
    """A pause inside a turn is looked at and then forgotten."""
    line.feed(1.0, True)
    assert line.feed(0.2, False) == [turns.Paused]
    assert line.feed(0.5, True) == [turns.Resumed]
    assert line.feed(0.2, False) == [turns.Paused]
    ended = [event for _, event in line.events if isinstance(event, turns.Paused)]
    assert ended[0].start_s == ended[1].start_s


def test_a_click_is_no_turn(line: Line) -> None:
    """Sound below 200 ms takes no floor and starts no look."""
    line.feed(0.064, True)
    assert line.feed(2.0, False) == []


def test_a_burst_over_the_agent_is_asked_about(line: Line) -> None:
    """As soon as it is no click any more, and with its lead-in."""
    line.feed(1.0, False, agent=True)
    line.feed(0.096, True, agent=True)
    assert line.tracker.open_burst(line.now_s) is None
    line.feed(0.032, True, agent=True)
    burst = line.tracker.open_burst(line.now_s)
    assert burst is not None
    assert burst.end_s == line.now_s
    assert burst.end_s - burst.start_s == pytest.approx(0.128 + turns.LEAD_IN_S)


def test_a_turn_is_no_burst(line: Line) -> None:
    """While the agent is silent nobody is interrupted."""
    line.feed(0.3, True)
    assert line.tracker.open_burst(line.now_s) is None


def test_a_sure_interruption_takes_the_floor_at_once(line: Line) -> None:
    """After 200 ms, in the same breath."""
    line.feed(0.224, True, agent=True)
    assert line.judge(-5.0) == [turns.Interrupted]


def test_no_interruption_is_sure_before_200_ms(line: Line) -> None:
    """Whatever it sounds like, it is hesitated for only."""
    line.feed(0.16, True, agent=True)
    assert line.judge(-5.0) == [turns.Hesitated]


def test_a_backchannel_passes(line: Line) -> None:
    """An "mm-hm" ends as a short burst; the agent has gone on before."""
    line.feed(0.16, True, agent=True)
    assert line.judge(3.0) == [turns.Hesitated]
    assert line.frames(3, True, 3.0) == [turns.WentOn]
    assert line.feed(0.4, False, agent=True) == [turns.ShortBurst]
    assert not line.tracker.hears_voice


def test_doubt_ends_in_an_interruption(line: Line) -> None:
    """The caller speaks on after three frames, and it does not sound like a backchannel."""
    line.feed(0.16, True, agent=True)
    assert line.judge(0.5) == [turns.Hesitated]
    assert line.frames(2, True, 0.5) == []
    assert line.frames(1, True, -0.5) == [turns.Interrupted]


@pytest.mark.parametrize(("voiced", "verdict"), [(True, 0.5), (False, -0.5)])
def test_doubt_ends_in_going_on(line: Line, voiced: bool, verdict: float) -> None:
    """It sounds like a backchannel, or it is over; a second time is not hesitated for."""
    line.feed(0.16, True, agent=True)
    assert line.judge(0.5) == [turns.Hesitated]
    kinds = line.frames(3, voiced, verdict)
    assert kinds[0] is turns.WentOn
    assert turns.Interrupted not in kinds
    assert turns.Hesitated not in line.frames(1, voiced, verdict)


def test_a_caller_who_speaks_on_is_yielded_to_later(line: Line) -> None:
    """The agent went on too soon; now more of the words are known."""
    line.feed(0.16, True, agent=True)
    line.judge(1.0)
    assert line.frames(3, True, 1.0) == [turns.WentOn]
    assert line.frames(1, True, -2.0) == [turns.Interrupted]


def test_a_hesitation_ends_with_its_burst(line: Line) -> None:
    """Even if nobody judges it any more, the agent goes on."""
    line.feed(0.16, True, agent=True)
    line.judge(0.0)
    assert line.feed(0.4, False, agent=True) == [turns.WentOn, turns.ShortBurst]


def test_a_hesitation_ends_when_the_agent_has_nothing_left_to_say(line: Line) -> None:
    """The burst becomes a turn, and the answer to it is not held back."""
    line.feed(0.16, True, agent=True)
    assert line.judge(0.0) == [turns.Hesitated]
    assert line.feed(0.4, True, agent=False) == [turns.WentOn]


def test_no_backchannel_is_that_long(line: Line) -> None:
    """Whoever speaks on for 0.9 s wants the floor, whatever it sounds like."""
    kinds = line.feed(1.1, True, agent=True)
    assert kinds.count(turns.Interrupted) == 1


def test_silence_is_asked_about_again_and_again(line: Line) -> None:
    """Every six seconds, counted from the last sound of either side."""
    line.feed(3.0, False, agent=True)
    assert line.feed(5.9, False) == []
    assert line.feed(0.2, False) == [turns.SilenceElapsed]
    assert line.feed(5.7, False) == []
    assert line.feed(0.4, False) == [turns.SilenceElapsed]


def test_an_endless_turn_is_cut(line: Line) -> None:
    """After 28 s without a pause the agent has to say something."""
    assert line.feed(30.0, True) == [turns.TurnCut]


def test_long_turns_invite_a_nod(line: Line) -> None:
    """A long pause after five seconds of speech is a place for "mm-hm"."""
    line.feed(6.0, True)
    assert turns.LongTurn in line.feed(0.7, False)


def test_the_turn_includes_its_lead_in(line: Line) -> None:
    """The first consonant is quieter than what the detector hears."""
    line.feed(1.0, False)
    line.feed(0.5, True)
    line.feed(0.2, False)
    paused = line.events[-1][1]
    assert paused.start_s == pytest.approx(0.7, abs=2 * CHUNK_S)
