"""Which of a persona's intents did the caller mean?

A kernel ridge classifier over the persona's own examples. Its kernel adds three likenesses:
meaning (WordLlama's static embeddings, MIT, rare words weighing more) for paraphrases, letter
groups for words that the recogniser bent, and words for rare terms. Trained in milliseconds when
a persona is first used. Besides the examples it learns some hundred sentences that no service
dialogue answers, which belong to no intent: whatever sounds more like them scores low for all.

This module knows texts and names of intents; not what is done with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

Floats = NDArray[np.float64]
Embed = Callable[[Sequence[str]], NDArray[np.float32]]

# Weights of the three kernels and the ridge, chosen on tests/data/cascade_callers/dev.yaml.
_MEANING: Final = 1.0
_LETTERS: Final = 0.3
_WORDS: Final = 0.3
_RIDGE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Match:
    """One intent and how well it fits: about 1 for an example itself, about 0 for no relation."""

    intent: str
    score: float


class Matcher:
    """Ranks intents by examples.

    Args:
        examples: (utterance, intent) pairs; an intent needs at least one.
        embed: words -> vectors, float32 [n, D].
        background: sentences of no intent; None takes the packaged ones.
    """

    def __init__(
        self,
        examples: Sequence[tuple[str, str]],
        embed: Embed,
        background: Sequence[str] | None = None,
    ) -> None:
        texts = [plain(text) for text, _ in examples]
        self._names = sorted({name for _, name in examples})
        self._embed = embed
        self._letters = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True
        ).fit(texts)
        self._words = TfidfVectorizer(
            ngram_range=(1, 2), tokenizer=str.split, token_pattern=None, sublinear_tf=True
        ).fit(texts)
        self._rarity = dict(zip(self._words.get_feature_names_out(), self._words.idf_, strict=True))
        self._rarest = float(max(self._words.idf_))  # of words that no example has
        others = background_sentences() if background is None else map(plain, background)
        nothing = [text for text in others if text not in set(texts)]
        self._known = self._features([*texts, *nothing])
        wanted = np.zeros((len(self._known), len(self._names)))
        for row, (_, name) in enumerate(examples):
            wanted[row, self._names.index(name)] = 1.0
        kernel = self._known @ self._known.T + _RIDGE * np.eye(len(self._known))
        self._weights = np.linalg.solve(kernel, wanted)  # [sentences, intents]

    def rank(self, heard: Sequence[str]) -> list[Match]:
        """Ranks all intents, best first.

        Args:
            heard: the recogniser's hypotheses for one turn; an intent's score is half the best
                of them and half their mean, so that a word which only one got right counts.
        """
        texts = [text for text in map(plain, heard) if text]
        if not texts:
            return []
        each = self._features(texts) @ self._known.T @ self._weights  # [hypotheses, intents]
        scores = (each.max(0) + each.mean(0)) / 2
        order = np.argsort(-scores)
        return [Match(self._names[index], float(scores[index])) for index in order]

    def _features(self, texts: Sequence[str]) -> Floats:
        return np.hstack(
            [
                np.sqrt(_MEANING) * np.vstack([self._meaning(text) for text in texts]),
                np.sqrt(_LETTERS) * self._letters.transform(texts).toarray(),
                np.sqrt(_WORDS) * self._words.transform(texts).toarray(),
            ]
        )

    def _meaning(self, text: str) -> Floats:
        """The mean of the words' vectors, weighted by rarity, as a unit vector [D]."""
        words = text.split()
        weights = np.array([self._rarity.get(word, self._rarest) for word in words])
        mean = weights @ self._embed(words).astype(np.float64)
        unit: Floats = mean / max(float(np.linalg.norm(mean)), 1e-9)
        return unit


def plain(text: str) -> str:
    """Lower case, words only: what examples and recognised texts have in common."""
    return " ".join(re.findall(r"[a-z']+", text.lower().replace("’", "'")))


@lru_cache(maxsize=1)
def background_sentences() -> tuple[str, ...]:
    """What callers say that is no request to a service line, as `plain` texts."""
    lines = (resources.files("engine.cascade") / "assets" / "background.txt").read_text("utf-8")
    return tuple(dict.fromkeys(plain(line) for line in lines.splitlines() if line))


@lru_cache(maxsize=1)
def word_llama() -> Embed:
    """Loads WordLlama's 256-dimensional table from its own package; never from a network."""
    import wordllama  # local: the table takes 16 MB, wanted only where texts are matched

    model = wordllama.WordLlama.load(
        dim=256, cache_dir=Path(wordllama.__file__).parent, disable_download=True
    )

    @lru_cache(maxsize=20_000)
    def vector(word: str) -> NDArray[np.float32]:
        return np.asarray(model.embed([word], norm=True)[0], np.float32)

    return lambda words: np.vstack([vector(word) for word in words])
