"""Lines become frames; silence comes at once; what was heard is known."""

from concurrent.futures import Future

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.cascade.mouth import Mouth
from engine.interface import FRAME_SAMPLES

Samples = NDArray[np.int16]


class Booth:
    """Renders lines: 100 samples of value 1000 a letter, when told to."""

    def __init__(self, at_once: bool = True) -> None:
        self.at_once = at_once
        self.asked: list[tuple[str, bool]] = []
        self.futures: dict[str, Future[Samples]] = {}

    def __call__(self, text: str, urgent: bool) -> Future[Samples]:
        future: Future[Samples] = Future()
        self.asked.append((text, urgent))
        self.futures[text] = future
        if self.at_once:
            self.finish(text)
        return future

    def finish(self, text: str) -> None:
        """Ends the rendering of one line."""
        self.futures[text].set_result(np.full(100 * len(text), 1_000, np.int16))


def loud(mouth: Mouth) -> int:
    """Samples of sound in the next frame."""
    return int(np.count_nonzero(mouth.next_frame()[0]))


def test_silence_when_there_is_nothing_to_say() -> None:
    """A frame is always full length."""
    frame, text = Mouth(Booth()).next_frame()
    assert frame.shape == (FRAME_SAMPLES,)
    assert not frame.any()
    assert text == ""


def test_plays_a_line_and_announces_it_once() -> None:
    """The text comes with the line's first frame."""
    mouth = Mouth(Booth())
    mouth.say("a" * 30)  # 3,000 samples
    assert mouth.next_frame()[1] == "a" * 30
    frame, text = mouth.next_frame()
    assert (np.count_nonzero(frame), text) == (3_000 - FRAME_SAMPLES, "")
    assert not mouth.speaking


def test_a_breath_between_lines() -> None:
    """160 ms of silence part two sentences, even across frames."""
    mouth = Mouth(Booth())
    mouth.say("a" * 10, "b" * 10)
    sound = np.concatenate([mouth.next_frame()[0] for _ in range(5)])
    edges = np.flatnonzero(np.diff((sound != 0).astype(int)))
    assert edges[1] - edges[0] == 3_840


def test_only_one_line_is_rendered_ahead() -> None:
    """An interrupted speech must not have been rendered in vain."""
    booth = Booth()
    mouth = Mouth(booth)
    mouth.say("one.", "two.", "three.")
    assert booth.asked == [("one.", True), ("two.", False)]
    mouth.next_frame()
    assert len(booth.asked) == 3


def test_waits_for_a_line_that_is_not_ready() -> None:
    """Silence meanwhile; the line starts when it is there."""
    booth = Booth(at_once=False)
    mouth = Mouth(booth)
    mouth.say("hello")
    assert loud(mouth) == 0
    assert mouth.speaking
    assert not mouth.sounding
    booth.finish("hello")
    assert mouth.sounding
    assert loud(mouth) == 500


def test_stops_within_the_next_frame() -> None:
    """A fade of 10 ms, then nothing; the rest of the speech is handed back."""
    mouth = Mouth(Booth())
    mouth.say("a" * 100, "later")
    mouth.next_frame()
    assert mouth.stop() == ("a" * 100, "later")
    frame, _ = mouth.next_frame()
    assert 0 < np.count_nonzero(frame) <= 240
    assert not frame[240:].any()
    assert loud(mouth) == 0


def test_pauses_in_the_middle_of_a_word() -> None:
    """A fade of 10 ms, then silence, for as long as it likes; it still has the floor."""
    mouth = Mouth(Booth())
    mouth.say("a" * 100)
    mouth.next_frame()
    mouth.hold()
    assert 0 < loud(mouth) <= 240
    assert [loud(mouth) for _ in range(3)] == [0, 0, 0]
    assert mouth.sounding
    assert mouth.held


def test_goes_on_between_two_syllables() -> None:
    """From the quietest place shortly before, not from the middle of the word."""
    booth = Booth(at_once=False)
    mouth = Mouth(booth)
    mouth.say("hello")
    sound = np.arange(1, 9_601).astype(np.int16)
    sound[960:1_440] = 0  # two blocks of 20 ms
    booth.futures["hello"].set_result(sound)
    for _ in range(2):
        mouth.next_frame()
    mouth.hold()
    mouth.next_frame()
    mouth.go_on()
    frame, _ = mouth.next_frame()
    assert not frame[:480].any()
    assert frame[480] == 1_441
    assert not mouth.held


def test_what_is_rendered_in_a_pause_is_said_after_it() -> None:
    """A line that was not begun has no place to go back to."""
    booth = Booth(at_once=False)
    mouth = Mouth(booth)
    mouth.say("hello")
    mouth.hold()
    booth.finish("hello")
    assert loud(mouth) == 0
    mouth.go_on()
    assert loud(mouth) == 500


def test_stops_for_good_in_a_pause() -> None:
    """Without a second fade, and knowing what was heard."""
    mouth = Mouth(Booth())
    mouth.say("one two three four five")
    mouth.next_frame()
    mouth.hold()
    mouth.next_frame()
    assert mouth.stop() == ("one two three four five",)
    assert loud(mouth) == 0
    assert mouth.take_heard() == "one two three four"
    assert not mouth.held


def test_knows_what_was_heard() -> None:
    """Whole lines in full, a broken one up to the last whole word played."""
    mouth = Mouth(Booth())
    mouth.say("one two three four five")  # 2,300 samples, 1,920 of them played
    mouth.next_frame()
    mouth.stop()
    assert mouth.take_heard() == "one two three four"
    assert mouth.take_heard() == ""


def test_a_line_that_fails_is_skipped() -> None:
    """The voice's trouble costs one line and is reported."""
    booth = Booth(at_once=False)
    mouth = Mouth(booth)
    mouth.say("bad", "good")
    booth.futures["bad"].set_exception(RuntimeError("no phonemes"))
    booth.finish("good")
    assert loud(mouth) == 400
    assert mouth.failures == ["no phonemes"]


@pytest.mark.parametrize("empty", ["", None])
def test_empty_lines_are_not_said(empty: str | None) -> None:
    """A persona without a greeting begins in silence."""
    mouth = Mouth(Booth())
    mouth.say(empty or "")
    assert not mouth.speaking
