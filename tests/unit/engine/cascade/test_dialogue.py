"""The course of a conversation, turn by turn."""

from datetime import UTC, datetime

import pytest

from engine.cascade.dialogue import Conversation, Reply
from engine.cascade.matching import Match, Matcher, word_llama
from engine.cascade.script import parse
from tests.unit.engine.cascade.scripts import SECTION, changed

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SCRIPT = parse(SECTION)


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    """Trained once on the small section."""
    return Matcher(SCRIPT.examples(), word_llama())


@pytest.fixture
def talk(matcher: Matcher) -> Conversation:
    """A conversation just after its greeting."""
    return Conversation(SCRIPT, matcher, "Welcome.")


def say(talk: Conversation, *turns: str) -> Reply:
    """Says one turn after the other; returns the last reply."""
    replies = [talk.heard([turn], talk.rank([turn]), NOW) for turn in turns]
    return replies[-1]


def test_answers_and_asks_on(talk: Conversation) -> None:
    """The answer comes with its follow-up question."""
    reply = say(talk, "When are you open?")
    assert reply.lines == ("We open at nine.", "Would you like a table?")
    assert reply.intent == "hours"


def test_yes_follows_the_question(talk: Conversation) -> None:
    """A yes leads where the question said."""
    assert say(talk, "when are you open", "yes please").lines == ("For which day?",)


def test_no_without_a_target_is_acknowledged(talk: Conversation) -> None:
    """And the question is closed."""
    assert say(talk, "when are you open", "no thanks").lines == ("All right.",)
    assert say(talk, "yes").lines == ("Good.",)


def test_another_request_beats_the_question(talk: Conversation) -> None:
    """Callers need not answer what we asked."""
    assert say(talk, "when are you open", "where can i park").intent == "parking"


def test_collects_slots_and_reads_them_back(talk: Conversation) -> None:
    """One question after the other, then all of it, then the answer."""
    assert say(talk, "I want to book a table").lines == ("For which day?",)
    assert say(talk, "tomorrow").lines == ("At what time on tomorrow?",)
    assert say(talk, "half past seven").lines == ("Under which name?",)
    assert say(talk, "It's Anna Lopez").lines == (
        "A table for Anna Lopez, tomorrow at seven thirty. Is that right?",
    )
    assert say(talk, "that's right").lines == ("Booked for tomorrow at seven thirty.",)


def test_takes_what_is_said_along(talk: Conversation) -> None:
    """A date and a time in the request are not asked for."""
    assert say(talk, "I want to book a table for tomorrow at eight").lines == ("Under which name?",)


def test_a_correction_at_the_read_back(talk: Conversation) -> None:
    """A "no, at nine" changes the time and reads back again."""
    reply = say(talk, "book a table tomorrow at eight please", "Lee", "no, at nine please")
    assert reply.lines == ("A table for Lee, tomorrow at nine. Is that right?",)


def test_a_plain_no_asks_what_to_change(talk: Conversation) -> None:
    """What the caller then says changes its slot; a second plain no begins again."""
    booked = ("book a table tomorrow at eight please", "Lee", "no that's wrong")
    assert say(talk, *booked).lines == ("Sorry about that. What should I change?",)
    reply = say(talk, "at nine o'clock")
    assert reply.lines == ("A table for Lee, tomorrow at nine. Is that right?",)
    say(talk, "no")
    assert say(talk, "no").lines == ("Sorry, once more.", "For which day?")


def test_a_confirmed_form_becomes_a_record(talk: Conversation) -> None:
    """With its kind and what was read back; before the yes there is none."""
    asked = say(talk, "book a table tomorrow at eight please", "Lee")
    assert asked.task == ""
    reply = say(talk, "yes")
    assert reply.task == "booking"
    assert reply.fields == {"date": "tomorrow", "time": "eight", "name": "Lee"}


def test_a_form_without_a_task_is_only_noted(matcher: Matcher) -> None:
    """Nobody says "booked" where nothing is recorded."""
    section = changed(SECTION, ("intents", 1, "task"), None)
    talk = Conversation(parse(section), matcher)
    reply = say(talk, "book a table tomorrow at eight please", "Lee", "yes")
    assert (reply.lines, reply.task) == (("I have noted that.",), "")


def test_a_name_that_is_heard_the_same_again_is_spelled(talk: Conversation) -> None:
    """The letters replace the last name."""
    say(talk, "book a table tomorrow at eight please", "Anna Krisevski")
    assert "spell" in say(talk, "no, Anna Krisevski").lines[0]
    assert say(talk, "K, R, Z, Y, S, K, I").lines == (
        "A table for Anna Krzyski, tomorrow at eight. Is that right?",
    )


def test_a_slot_that_is_not_understood_is_asked_three_times(talk: Conversation) -> None:
    """Each time in other words; then a colleague is offered, and an answer still counts."""
    first = say(talk, "I want to book a table").lines
    second = say(talk, "hm well you know").lines
    third = say(talk, "hm well you know").lines
    assert len({first, second, third}) == 3
    assert say(talk, "hm well you know").lines == ("Shall I get a colleague?",)
    assert say(talk, "tomorrow").lines == ("At what time on tomorrow?",)


def test_a_question_in_a_form_is_answered_and_the_form_goes_on(talk: Conversation) -> None:
    """The open question is asked again."""
    say(talk, "I want to book a table")
    assert say(talk, "where can i park").lines == (
        "You can park behind the house.",
        "For which day?",
    )


@pytest.mark.parametrize("words", ["i said goodbye to my friend in paris", "that was my goodbye"])
def test_a_weak_goodbye_does_not_end_the_call(talk: Conversation, words: str) -> None:
    """At the most it is asked about."""
    assert say(talk, words).action == ""


def test_a_sentence_of_no_intent_is_not_answered_as_if_sure(talk: Conversation) -> None:
    """It is asked back."""
    assert say(talk, "my grandmother knits red socks for the cat").intent in ("", "did_you_mean")


def test_leaving_a_form(talk: Conversation) -> None:
    """A sure request in the middle of a booking is answered."""
    assert say(talk, "I want to book a table", "where can i park").intent == "parking"


def test_repeats_the_last_answer(talk: Conversation) -> None:
    """Also the greeting, and as often as asked."""
    assert say(talk, "pardon").lines == ("Sure. Welcome.",)
    assert say(talk, "where can i park", "say that again").lines == (
        "Sure. You can park behind the house.",
    )
    assert say(talk, "repeat please").lines == ("Sure. You can park behind the house.",)


def test_fallbacks_escalate_to_an_offer(talk: Conversation) -> None:
    """Two different questions, then a colleague."""
    nonsense = "quantum chromodynamics lattice"
    assert say(talk, nonsense).lines == ("Sorry, what was that?",)
    assert say(talk, nonsense).lines == ("In other words, please?",)
    assert say(talk, nonsense).lines == ("Shall I get a colleague?",)


def test_understanding_resets_the_fallbacks(talk: Conversation) -> None:
    """A good turn starts the count anew."""
    nonsense = "quantum chromodynamics lattice"
    assert say(talk, nonsense, "where can i park", nonsense).lines == ("Sorry, what was that?",)


def test_did_you_mean(talk: Conversation) -> None:
    """An uncertain match is asked about by its topic; yes takes it."""
    doubt = [Match("parking", 0.22), Match("hours", 0.20)]
    assert talk.heard(["the car"], doubt, NOW).lines == ("Is this about parking?",)
    assert say(talk, "yes").lines == ("You can park behind the house.",)


def test_hangs_up_and_hands_over(talk: Conversation) -> None:
    """Actions come with the words that announce them."""
    assert say(talk, "goodbye") == Reply(("Goodbye!",), "hangup", "bye", pytest.approx(1, abs=0.7))
    assert say(talk, "give me a real person").action == "handoff"


def test_silence_prompts_then_hangs_up(talk: Conversation) -> None:
    """Two prompts; a word of the caller starts the count anew."""
    assert talk.silence().lines == ("Are you there?",)
    say(talk, "where can i park")
    assert talk.silence().lines == ("Are you there?",)
    assert talk.silence().lines == ("Hello?",)
    last = talk.silence()
    assert (last.lines, last.action) == (("I'll hang up now.",), "hangup")


def test_not_understood_counts_as_a_miss(talk: Conversation) -> None:
    """Another language gets the same patience."""
    assert talk.not_understood().lines == ("Sorry, what was that?",)


def test_understands_only_what_is_sure(talk: Conversation) -> None:
    """Ends a pause early for a clear request, not for half a sentence."""
    assert talk.understands(talk.rank(["where can i park"]))
    assert not talk.understands(talk.rank(["i would like to"]))
    assert not talk.understands([])


def test_knows_when_a_yes_is_awaited(talk: Conversation) -> None:
    """From the question to its answer."""
    assert not talk.awaits_yes_or_no
    say(talk, "when are you open")
    assert talk.awaits_yes_or_no
    say(talk, "no thanks")
    assert not talk.awaits_yes_or_no
