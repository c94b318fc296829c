"""A small dialogue section that the cascade's tests share."""

from __future__ import annotations

import copy
from typing import Any

SECTION: dict[str, Any] = {
    "intents": [
        {
            "name": "hours",
            "topic": "our hours",
            "examples": [
                "when are you open",
                "what are your opening hours",
                "how late are you open",
            ],
            "answers": ["We open at nine."],
            "follow_up": {"question": "Would you like a table?", "yes": "table", "no": None},
        },
        {
            "name": "table",
            "topic": "booking a table",
            "examples": ["i want to book a table", "a table for tonight please", "reserve a table"],
            "slots": [
                {"name": "date", "kind": "date", "question": "For which day?"},
                {"name": "time", "kind": "time", "question": "At what time on {date}?"},
                {"name": "name", "kind": "name", "question": "Under which name?"},
            ],
            "confirm": "A table for {name}, {date} at {time}. Is that right?",
            "answers": ["Booked for {date} at {time}."],
            "task": "booking",
        },
        {
            "name": "parking",
            "topic": "parking",
            "examples": ["where can i park", "is there parking", "do you have a garage"],
            "answers": ["You can park behind the house."],
        },
        {
            "name": "human",
            "topic": "a colleague",
            "examples": ["i want to speak to a human", "give me a real person", "operator"],
            "answers": ["One moment, please."],
            "action": "handoff",
        },
        {
            "name": "bye",
            "topic": "ending the call",
            "examples": ["goodbye", "bye bye", "that is all thank you"],
            "answers": ["Goodbye!"],
            "action": "hangup",
        },
    ],
    "yes": {"examples": ["yes", "yes please", "that's right", "correct"], "answer": "Good."},
    "no": {"examples": ["no", "no thanks", "that's wrong"], "answer": "All right."},
    "repeat": {
        "examples": ["say that again", "pardon", "repeat please"],
        "answer": "Sure. {previous}",
    },
    "did_you_mean": "Is this about {topic}?",
    "corrected": "Sorry, once more.",
    "fallbacks": ["Sorry, what was that?", "In other words, please?"],
    "handoff_offer": {"question": "Shall I get a colleague?", "yes": "human", "no": None},
    "silence_prompts": ["Are you there?", "Hello?"],
    "goodbye": "I'll hang up now.",
    "backchannels": ["mm-hm"],
}


def changed(section: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Returns a deep copy with one place set."""
    copied = copy.deepcopy(section)
    place: Any = copied
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copied
