"""English text to the IPA phonemes that Piper voices for `en-us` were trained on.

Words come from misaki's pronunciation dictionaries (Apache-2.0), unknown ones from hama's small
grapheme-to-phoneme network (Apache-2.0); both write General American. Their notation is then
respelled as eSpeak NG spells it, for that is what the voices know.

This module does not know audio, voices or phoneme ids, and nothing but English.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import resources
from typing import Final

from engine.cascade.spelling import spoken

Guess = Callable[[str], str]

_WORD_OR_MARK: Final = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)*|[.,;:!?]")
_VOWELS: Final = "aeiouAEIOUWYæɑɔɛɜɪʊʌəᵊᵻɐ"
_STRESS: Final = "ˈˌ"

# misaki's one-letter notation (its EN_PHONES.md) -> eSpeak NG's en-us, longest match first.
# A stressed or r-coloured vowel is long there; the bare letters stand for the short form.
_RESPELL: Final = {
    "ɜɹ": "ɜː", "əɹ": "ɚ", "ɑɹ": "ɑːɹ", "ɔɹ": "ɔːɹ", "ɪɹ": "ɪɹ", "ɛɹ": "ɛɹ",
    "ᵊl": "əl", "ᵊn": "ən", "ᵊm": "əm", "ᵊ": "ə",
    "A": "eɪ", "I": "aɪ", "W": "aʊ", "O": "oʊ", "Y": "ɔɪ",
    "ʤ": "dʒ", "ʧ": "tʃ", "T": "ɾ", "ɑ": "ɑː", "ɔ": "ɔː", "g": "ɡ",
    "ˈi": "ˈiː", "ˌi": "ˌiː", "u": "uː",
}  # fmt: skip
_RESPELL_PATTERN: Final = re.compile("|".join(sorted(_RESPELL, key=len, reverse=True)))

_HAMA: Final = {"t͡ʃ": "ʧ", "d͡ʒ": "ʤ", "ɝ": "ɜɹ", "ɚ": "əɹ"}

# Function words lose their stress in running speech; dictionaries give the stressed form.
_WEAK: Final = {
    "a": "ɐ", "an": "ɐn", "and": "ænd", "are": "ɑːɹ", "as": "æz", "at": "æt", "be": "biː",
    "can": "kæn", "do": "duː", "for": "fɔːɹ", "from": "fɹʌm", "had": "hæd", "has": "hæz",
    "have": "hæv", "he": "hiː", "i": "aɪ", "if": "ɪf", "in": "ɪn", "is": "ɪz", "it": "ɪt",
    "me": "miː", "my": "maɪ", "of": "ʌv", "on": "ɔn", "or": "ɔːɹ", "our": "ˌaʊɚ", "she": "ʃiː",
    "so": "sˌoʊ", "that": "ðæt", "the": "ðə", "their": "ðɛɹ", "they": "ðeɪ", "this": "ðɪs",
    "to": "tə", "us": "ˌʌs", "was": "wʌz", "we": "wiː", "were": "wɜː", "will": "wɪl",
    "with": "wɪð", "you": "juː", "your": "jʊɹ",
}  # fmt: skip
_BEFORE_VOWEL: Final = {"the": "ðɪ", "to": "tʊ"}


class Pronouncer:
    """Turns one sentence into one string of phonemes, words divided by spaces.

    Args:
        lexicon: word -> phonemes in misaki's notation; capitals where the word has them.
        guess: phonemes for a word that the lexicon does not have.
    """

    def __init__(self, lexicon: Mapping[str, str], guess: Guess) -> None:
        self._lexicon = lexicon
        self._guess = guess

    def phonemes(self, text: str) -> str:
        """Returns eSpeak-like IPA with the punctuation that carries melody (`.,;:!?`)."""
        spelled: list[str] = []
        following = ""
        for part in reversed(_WORD_OR_MARK.findall(spoken(text))):
            following = part if part in ".,;:!?" else self._word(part, following)
            spelled.append(following)
        line = " ".join(reversed(spelled))
        return re.sub(r" ([.,;:!?])", r"\1", line)

    def _word(self, word: str, following: str) -> str:
        plain = word.replace("’", "'")
        weak = _WEAK.get(plain.lower())
        if weak is None:
            return self._full_form(plain)
        if following.lstrip(_STRESS)[:1] in tuple(_VOWELS):
            return _BEFORE_VOWEL.get(plain.lower(), weak)
        return weak

    def _full_form(self, word: str) -> str:
        found = self._look_up(word)
        if found is None and word.isupper() and len(word) <= 5:
            return " ".join(respell(self._look_up(letter) or "") for letter in word)
        return respell(found if found is not None else self._guess(word.lower()))

    def _look_up(self, word: str) -> str | None:
        for form in (word, word.lower(), word.capitalize()):
            if form in self._lexicon:
                return self._lexicon[form]
        return self._inflected(word.lower())

    def _inflected(self, word: str) -> str | None:
        """Plural, possessive, past and -ing forms from their stem, by the rules of English."""
        for ending, add in (("'s", _add_s), ("s'", _add_s), ("s", _add_s), ("ed", _add_ed)):
            stem = word.removesuffix(ending)
            if stem != word and stem in self._lexicon:
                return add(self._lexicon[stem])
        if word.endswith("ing"):
            stem = word.removesuffix("ing")
            for form in (stem, stem + "e"):
                if form in self._lexicon:
                    return self._lexicon[form] + "ɪŋ"
        return None


def respell(sounds: str) -> str:
    """Respells misaki's notation as eSpeak NG's.

    >>> respell("wˈɔɾəɹ")
    'wˈɔːɾɚ'
    """
    return _RESPELL_PATTERN.sub(lambda match: _RESPELL[match.group()], sounds)


def _add_s(stem: str) -> str:
    if stem[-1] in "szʃʒʧʤ":
        return stem + "ᵻz"
    return stem + ("s" if stem[-1] in "ptkfθ" else "z")


def _add_ed(stem: str) -> str:
    if stem[-1] in "td":
        return stem + "ᵻd"
    return stem + ("t" if stem[-1] in "pkfθʃʧs" else "d")


@lru_cache(maxsize=1)
def english() -> Pronouncer:
    """Loads misaki's American dictionaries and hama's network, once."""
    from hama import G2PModel  # local: its engine is a shared library, loaded on first use

    network = G2PModel()
    return Pronouncer(misaki_lexicon(), lambda word: stressed(network.predict(word).ipa))


def stressed(sounds: str) -> str:
    """Rewrites hama's IPA, which carries no stress, in misaki's notation.

    The first vowel takes the stress: right for most English nouns and names.
    """
    for hama, misaki in _HAMA.items():
        sounds = sounds.replace(hama, misaki)
    return re.sub(f"([{_VOWELS}])", r"ˈ\1", sounds, count=1)


def misaki_lexicon() -> dict[str, str]:
    """Loads the dictionary: word -> phonemes (180,000 words, 0.1 s)."""
    packed = (resources.files("engine.cascade") / "assets" / "pronunciations.tsv.xz").read_bytes()
    lines = lzma.decompress(packed).decode().splitlines()
    return dict(line.split("\t", 1) for line in lines)
