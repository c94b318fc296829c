"""Right intents on held-out callers, and how well the answers can be heard: one JSON line.

Each utterance of `tests/data/cascade_callers/heldout.yaml` (telephone band, mu-law, 15 dB noise,
seven synthetic voices) is said in a call of its own after the greeting. The first line of the
answer tells the intent. The answer goes through the telephone to a recogniser; its word error
rate is taken over all answers together.

    python tests/bench/cascade_intents.py
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import jiwer
import numpy as np
import yaml

from engine.cascade.engine import CascadeEngine, CascadeSettings, load_parts
from engine.cascade.recogniser import Recogniser
from engine.cascade.script import Script, parse
from engine.cascade.workshop import InlineWorkshop
from personas import library
from tests.bench.cascade_caller import (
    Caller,
    call,
    session_spec,
    through_telephone,
    words,
)
from tests.recordings import read_mulaw

DATA = Path(__file__).parents[1] / "data" / "cascade_callers"


def lines_of(script: Script, intent: str) -> set[str]:
    """Everything that the agent may say first when it understood this intent."""
    wanted = script.intents[intent]
    questions = [slot.question for slot in wanted.slots]
    return {*wanted.answers, *questions} | ({wanted.confirm} if wanted.confirm else set())


def says(line: str, templates: set[str]) -> bool:
    """Tells whether a line is one of the templates with its slots filled."""
    heads = [template.split("{")[0] for template in templates]
    return any(line.startswith(head) for head in heads if head) or line in templates


def one_call(engine: CascadeEngine, spec: object, recording: Path) -> tuple[Caller, int]:
    """Says one utterance after the greeting; returns the caller and the answer's first tick."""
    caller = call(engine, spec)  # type: ignore[arg-type]
    caller.listen()
    caller.lines.clear()
    caller.speak(read_mulaw(recording))
    first_tick = caller.ticks
    caller.listen(limit_s=25.0)
    engine.release(caller.slot)
    return caller, first_tick


def main() -> None:
    """Runs all utterances and prints one JSON line."""
    options = argparse.ArgumentParser()
    options.add_argument("--listing", default="heldout.yaml")
    options.add_argument("--recordings", type=Path, default=DATA / "heldout")
    options.add_argument("--whisper", default="")
    options.add_argument("--verbose", action="store_true")
    chosen = options.parse_args()
    personas = library.load()
    settings = CascadeSettings(whisper=chosen.whisper)
    parts = load_parts(settings)
    judge: Recogniser = parts.networks.recogniser
    engine = CascadeEngine(settings, parts, InlineWorkshop())
    listing = yaml.safe_load((DATA / chosen.listing).read_text())
    utterances = [(persona, entry) for persona, group in listing.items() for entry in group]
    recordings = sorted(
        chosen.recordings.glob("*.wav"), key=lambda path: int(path.stem.split("-")[1])
    )
    right = asked = 0
    said, transcribed = [], []
    for (persona, entry), recording in zip(utterances, recordings, strict=True):
        spec = session_spec(personas, persona, recording.stem)
        script = parse(spec.dialogue or {})
        caller, first_tick = one_call(engine, spec, recording)
        first = caller.lines[0][1] if caller.lines else ""
        good = says(first, lines_of(script, entry["intent"]))
        topic = script.intents[entry["intent"]].topic
        meant = first == script.did_you_mean.replace("{topic}", topic)
        right += good
        asked += meant
        if chosen.verbose and not good:
            print(f"{recording.stem}: {entry['say']!r} -> {first!r}", file=sys.stderr)
        if caller.lines:
            answer = np.concatenate(caller.heard[first_tick:])
            said.append(words(" ".join(line for _, line in caller.lines)))
            transcribed.append(words(judge.transcribe(through_telephone(answer)).hypotheses[0]))
    print(
        json.dumps(
            {
                "bench": "cascade_intents",
                "utterances": len(utterances),
                "right_intent": round(right / len(utterances), 3),
                "did_you_mean_right": round(asked / len(utterances), 3),
                "answered": len(said),
                "answer_wer": round(jiwer.wer(said, transcribed), 3),
                "recogniser": chosen.whisper or "default",
            }
        )
    )


if __name__ == "__main__":
    main()
