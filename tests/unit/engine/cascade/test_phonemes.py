"""Text becomes the phonemes that Piper's en-us voices know."""

import pytest

from engine.cascade.phonemes import Pronouncer, english, respell, stressed

LEXICON = {
    "apple": "ˈæpᵊl", "cat": "kˈæt", "judge": "ʤˈʌʤ", "wait": "wˈAt", "load": "lˈOd",
    "bake": "bˈAk", "dog": "dˈɔɡ", "A": "ˈA", "T": "tˈi", "M": "ˈɛm", "water": "wˈɔɾəɹ",
}  # fmt: skip


@pytest.fixture
def pronouncer() -> Pronouncer:
    """A pronouncer with a dozen words and a guess that shows itself."""
    return Pronouncer(LEXICON, lambda word: f"<{word}>")


@pytest.mark.parametrize(
    ("notation", "espeak"),
    [("wˈɔɾəɹ", "wˈɔːɾɚ"), ("bˈɜɹd", "bˈɜːd"), ("ɹˈidɪŋ", "ɹˈiːdɪŋ"), ("hˈæpi", "hˈæpi"),
     ("ʤˈus", "dʒˈuːs"), ("bˈYl", "bˈɔɪl"), ("kˈɑɹ", "kˈɑːɹ")],
)  # fmt: skip
def test_respells(notation: str, espeak: str) -> None:
    """Diphthongs, r-colours and length are spelled eSpeak's way."""
    assert respell(notation) == espeak


def test_function_words_are_weak_and_look_ahead(pronouncer: Pronouncer) -> None:
    """'the' and 'to' change before a vowel; content words keep their stress."""
    assert pronouncer.phonemes("the cat") == "ðə kˈæt"
    assert pronouncer.phonemes("the apple") == "ðɪ ˈæpəl"
    assert pronouncer.phonemes("to apple") == "tʊ ˈæpəl"


@pytest.mark.parametrize(
    ("word", "sounds"),
    [("cats", "kˈæts"), ("dogs", "dˈɔːɡz"), ("judges", "dʒˈʌdʒᵻz"), ("waited", "wˈeɪtᵻd"),
     ("baking", "bˈeɪkɪŋ"), ("loaded", "lˈoʊdᵻd"), ("cat's", "kˈæts")],
)  # fmt: skip
def test_inflects_known_stems(pronouncer: Pronouncer, word: str, sounds: str) -> None:
    """Endings follow the stem's last sound."""
    assert pronouncer.phonemes(word) == sounds


def test_spells_initialisms_and_guesses_the_rest(pronouncer: Pronouncer) -> None:
    """Capitals are read letter by letter; other unknown words are guessed."""
    assert pronouncer.phonemes("ATM") == "ˈeɪ tˈiː ˈɛm"
    assert pronouncer.phonemes("zorb") == "<zorb>"


def test_keeps_punctuation_with_the_word(pronouncer: Pronouncer) -> None:
    """Marks that carry melody stay, without a space before them."""
    assert pronouncer.phonemes("Cat, dog?") == "kˈæt, dˈɔːɡ?"


def test_stressed_takes_the_first_vowel() -> None:
    """A guessed word is stressed at its first vowel, in the dictionary's notation."""
    assert stressed("t͡ʃɝt͡ʃ") == "ʧˈɜɹʧ"


@pytest.mark.timeout(30)
def test_real_dictionaries() -> None:
    """The packaged dictionaries and network pronounce known and unknown words."""
    speaker = english()
    assert speaker.phonemes("Water is fine.") == "wˈɔːɾɚ ɪz fˈaɪn."
    assert "ˈ" in speaker.phonemes("Zorblatt")
