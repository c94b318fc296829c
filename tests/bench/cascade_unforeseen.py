"""What the cascade answers to sentences that no dialogue was written for: one JSON line.

Every sentence of `tests/data/cascade_callers/unforeseen.yaml` is said, as text, to every persona
as the caller's first words. Asking back, offering a colleague and saying that it cannot help are
right; an answer as if sure is right only for the intents that the sentence names; ending the call
never is, but where the caller said goodbye.

    python -m tests.bench.cascade_unforeseen
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from datetime import UTC, datetime

import yaml

from engine.cascade.dialogue import Conversation, Reply
from engine.cascade.matching import Matcher, word_llama
from engine.cascade.script import parse
from personas import library
from tests.recordings import CALLERS

UNSURE = ("", "did_you_mean", "handoff_offer", "silence")


def verdict(reply: Reply, fits: list[str]) -> str:
    """`hangup`, `right`, `wrong` or how the agent was unsure."""
    if reply.action == "hangup":
        return "right" if "goodbye" in fits else "hangup"
    if reply.intent in UNSURE:
        return reply.intent or "not_understood"
    return "right" if reply.intent in fits else "wrong"


def main() -> None:
    """Says all of them and prints one JSON line."""
    options = argparse.ArgumentParser()
    options.add_argument("--verbose", action="store_true")
    chosen = options.parse_args()
    sentences = yaml.safe_load((CALLERS / "unforeseen.yaml").read_text())
    counts: Counter[str] = Counter()
    personas = library.load()
    embeddings = word_llama()
    for name in personas:
        rendered = personas[name].render({})
        script = parse(rendered.dialogue or {})
        matcher = Matcher(script.examples(), embeddings)
        for sentence in sentences:
            conversation = Conversation(script, matcher, rendered.greeting)
            heard = [sentence["say"]]
            reply = conversation.heard(heard, conversation.rank(heard), datetime.now(UTC))
            found = verdict(reply, sentence["fits"])
            counts[found] += 1
            if chosen.verbose and found in ("wrong", "hangup"):
                print(
                    f"{name}: {sentence['say']!r} -> {reply.intent} {reply.lines[:1]}",
                    file=sys.stderr,
                )
    total = sum(counts.values())
    print(
        json.dumps(
            {
                "bench": "cascade_unforeseen",
                "sentences": total,
                "hangups": counts["hangup"],
                "sure_and_wrong": counts["wrong"],
                "share_wrong": round(counts["wrong"] / total, 3),
                "sure_and_right": counts["right"],
                "asked_back": counts["did_you_mean"],
                "offered_a_colleague": counts["handoff_offer"],
                "not_understood": counts["not_understood"],
            }
        )
    )


if __name__ == "__main__":
    main()
