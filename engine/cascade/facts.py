"""Answers from the role text: which of its sentences says what the caller asks?

Retrieval over the sentences of the rendered role prompt (opening hours, prices, rules), so that a
persona says what was edited into it. Each word of the question looks for its likeliest partner in
a sentence, rare words weighing more (WordLlama's embeddings). It knows texts; not the course of a
call.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.cascade.matching import Embed, background_sentences, plain

# Chosen on questions about the shipped personas and on dev_unforeseen.yaml.
_ENOUGH: Final = 0.66  # share of the question that a sentence has partners for
_PARTNER: Final = 0.35  # likeness from which two words are about the same
_SINGLE: Final = 0.95  # the same of a question with one word that means anything

_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+")
# Orders to the agent are no answers to callers.
_ORDER: Final = re.compile(
    r"^(?:you (?:work|are|can|must|should)|if asked|answer|never|always|do not|don't|give|ask|say|"
    r"verify|be |speak|information:?$|in an emergency tell|callers? who)",
    re.IGNORECASE,
)
_EMPTY: Final = frozenset(
    re.findall(
        r"\S+",
        "a an the i you we he she it is are am was were be been being to of in on at for and "
        "or but do does did my your our me us this that these those can could would will "
        "shall should have has had with from by as if not no so please there any some i'm "
        "it's that's i'd i'll you're tell know want like get got hi hello okay well just "
        "about what which who how where when much many long ",
    )
)
# What a question word asks for, in words that the answer may have.
_ASKS_FOR: Final = (
    (
        re.compile(r"\bhow much\b|\bwhat (?:does|do) .*\bcosts?\b|\bprices?\b|\bexpensive\b"),
        "costs",
    ),
    (re.compile(r"\bwhen\b|\bwhat time\b|\bhow late\b|\bhow early\b|\bhours\b"), "open"),
    (re.compile(r"\bwhere\b|\bdirections\b"), "address"),
)


class NoFacts:
    """A persona without a role text: it answers nothing."""

    def answer(self, hypotheses: Sequence[str]) -> str:
        """Returns the sentence that answers, or ""."""
        return ""

    def states(self, value: str) -> bool:
        """Tells whether a fact of the persona stands in the role text."""
        return True


class Facts(NoFacts):
    """The facts of one role text.

    Args:
        role_text: rendered.
        embed: words -> vectors, float32 [n, D].
    """

    def __init__(self, role_text: str, embed: Embed) -> None:
        self._text = " ".join(role_text.lower().split())
        self._embed = embed
        self._sentences = _sentences(role_text)
        self._vectors = [_units(embed, _content(sentence)) for sentence in self._sentences]

    def states(self, value: str) -> bool:
        """Tells whether a fact of the persona stands in the role text."""
        return value.lower() in self._text

    def answer(self, hypotheses: Sequence[str]) -> str:
        """Returns the sentence that answers, or ""."""
        words = _content(hypotheses[0]) if hypotheses else []
        if not words or not self._sentences:
            return ""
        question = _units(self._embed, words)
        weights = np.array([_rarity(word) for word in words])
        scores = [self._covered(question, weights, sentence) for sentence in self._vectors]
        best = int(np.argmax(scores))
        enough = _ENOUGH if len(words) > 1 else _SINGLE
        return self._sentences[best] if scores[best] >= enough else ""

    def _covered(
        self,
        question: NDArray[np.float32],
        weights: NDArray[np.float64],
        sentence: NDArray[np.float32],
    ) -> float:
        if not len(sentence):
            return 0.0
        partners = (question @ sentence.T).max(axis=1)
        partners[partners < _PARTNER] = 0.0
        return float(weights @ partners / weights.sum())


def _sentences(role_text: str) -> list[str]:
    """Sentences that state something, as they can be said."""
    parts = [part.strip(" ;") for part in _SENTENCE.split(role_text)]
    stated = [re.sub(r"^information:\s*", "", part, flags=re.I) for part in parts]
    kept = [part for part in stated if part and not _ORDER.match(part)]
    return [f"{part[:1].upper()}{part[1:].rstrip('.;')}." for part in kept]


def _content(text: str) -> list[str]:
    """The words that say what it is about, and what a question word asks for."""
    said = plain(text)
    words = [word for word in said.split() if word not in _EMPTY]
    return words + [word for pattern, word in _ASKS_FOR if pattern.search(said)]


def _units(embed: Embed, words: Sequence[str]) -> NDArray[np.float32]:
    if not words:
        return np.zeros((0, 1), np.float32)
    vectors = embed(words)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-9), np.float32)


@lru_cache(maxsize=1)
def _counts() -> tuple[Counter[str], int]:
    sentences = background_sentences()
    return Counter(word for text in sentences for word in set(text.split())), len(sentences)


def _rarity(word: str) -> float:
    """Inverse document frequency in what callers say about anything."""
    counts, total = _counts()
    return math.log((total + 1) / (counts[word] + 1)) + 0.5
