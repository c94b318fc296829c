"""Answers from the role text: which of its sentences says what the caller asks?

Retrieval over the sentences of the rendered role prompt (opening hours, prices, rules), so that a
persona says what was edited into it. It knows texts; not the course of a call.
"""

from __future__ import annotations

from collections.abc import Sequence


class NoFacts:
    """A persona without a role text: it answers nothing."""

    def answer(self, hypotheses: Sequence[str]) -> str:
        """Returns "": there is no sentence that answers."""
        return ""


class Facts(NoFacts):
    """Placeholder of the next commit."""
