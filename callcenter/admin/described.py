"""Completes the API's description: what every field means, and examples.

What a field means stands once, in the docstring of its class under "Attributes:"; a class that
inherits fields inherits their meaning. It changes a description and knows no route.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

ABOUT = """The whole administration of the contact center: personas, voices, numbers, routes,
calls, workers, keys and webhooks.

* **Authentication**: `Authorization: Bearer <API key>`, or the console's session cookie.
* **Errors** are `application/problem+json` (RFC 9457). Programs look at `code`; `errors` names
  every mistake by its JSON pointer.
* **Changes** need the `ETag` of what they are based on in `If-Match`. A POST may carry an
  `Idempotency-Key`: sent again, it gets the first answer again.
* **Lists** come in pages: ask again with `cursor` set to `next_cursor`.
* **Moments** are UTC in RFC 3339. Lengths of time are seconds and end in `_s`.
* **Answers** carry `X-Request-Id`, and `RateLimit-Limit`, `RateLimit-Remaining` and
  `RateLimit-Reset` (seconds) of the key or person who asked.
"""
_COMMON = {  # fields that mean the same everywhere, or in one schema alone
    "id": "Id, made up by the server; never changes.",
    "name": "Name, unique among its kind; other objects refer to it.",
    "title": "Title, for people.",
    "revision": "Counts the changes of this object; its ETag.",
    "created_at": "When it was created.",
    "created_by": "Who created it.",
    "updated_at": "When it was changed last.",
    "updated_by": "Who changed it last.",
    "items": "The objects of this page.",
    "role": "viewer looks, operator handles live calls, schedules and workers, admin changes all.",
    "expires_at": "When it ends by itself; null for never.",
    "prefix": "How the secret begins, to tell keys apart.",
    "last_used_at": "When it was used last; null for never.",
    "revoked_at": "When it was taken back; null if it was not.",
    "secret": "An API key's secret; shown once, when the key is created.",
    "gender": "How the voice sounds: female, male or neutral.",
    "language": "Language tag (BCP 47), such as en or en-US.",
    "licence": "Under which the clip may be used.",
    "source": "Where the clip comes from.",
    "transcript": "What is said in the clip.",
    "disabled": "Whether no call may use it.",
    "original_sha256": "Hash of the file that was uploaded.",
    "quality": "What was measured in the clip.",
    "level": "error: calls suffer now; warning: they may.",
    "code": "Short and stable, for programs.",
    "text": "For people.",
    "at": "When.",
    "address": "IP address that it came from.",
    "action": "What was done.",
    "object_kind": "Kind of what it was done to.",
    "object_name": "Name of what it was done to.",
    "before": "What was there before; null for nothing.",
    "after": "What was there afterwards; null for nothing.",
    "Caller.number": "Whose calls are erased; every spelling of it counts.",
    "number": "Counts a persona's versions from 1.",
    "content_hash": "Hash of the content: the same content has the same one.",
    "comment": "For people who read the history.",
    "content": "A persona's content, as GET /v1/schemas/persona describes it.",
    "created": "How many were created.",
    "updated": "How many were changed.",
    "unchanged": "How many were so already.",
    "ended": "How many sessions were ended.",
    "erased": "How many calls were erased.",
    "owner": "Name of the key or person.",
    "kind": "Which of the kinds it is.",
    "authenticated_at": "When its owner last proved who they are.",
    "last_seen_at": "When it was used last.",
    "agent": "What the browser says of itself.",
    "current": "Whether it is the one that asks.",
    "day": "Date, in the schedule's time zone.",
    "windows": "Hours that it is open; none for closed.",
    "weekly": "Opening hours of every week.",
    "holidays": "Days that it is closed.",
    "overrides": "Days with hours of their own, before holidays and the week.",
    "opens": "Time of the day, such as 09:00.",
    "closes": "Time of the day, such as 17:00; 24:00 is the day's end.",
    "days": "Days of the week.",
    "when": "Whether the schedule must be open or closed.",
    "to": "Telephone number with its country code.",
    "reason": "What the caller hears or the carrier is told: busy or rejected.",
    "personas": "Who answers; several share the calls by weight.",
    "persona": "Name of the persona; null for none.",
    "version": "Number of a version; null for the published one.",
    "enabled": "Whether it is used.",
    "live_calls": "Calls that have not ended.",
    "slots": "Calls that can be answered at once.",
    "free_slots": "Slots that no call has.",
    "used": "Slots that calls have.",
    "pools": "Groups of workers, in the order in which they are asked.",
    "points": "The charts: equal stretches of time, the oldest first.",
    "alerts": "What a person should see to.",
    "first_steps": "What a new installation still needs.",
    "since": "When the stretch begins.",
    "barge_ins": "How often callers interrupted the agent.",
    "workers": "How many workers there are.",
    "draining": "How many of them take no new call.",
    "role_text": "The prompt as a call has it.",
    "greeting": "The agent's first line.",
    "voice": "Name of the voice.",
    "prompt_hash": "Hash of the prompt.",
    "prompt_tokens": "Length of the prompt in text tokens.",
    "max_prompt_tokens": "How many there may be.",
    "variables": "Values by the variables' names.",
    "valid": "Whether it can be published.",
    "why": "Why, for people.",
    "called": "The number that is dialled.",
    "caller": "Who calls.",
    "trunk": "Name of the trunk that the call comes over.",
    "headers": "SIP headers of the call by their names.",
    "subject": "What was looked at: a number, a route, a schedule.",
    "taken": "Whether it takes the call.",
    "route": "Name of the route; null for none.",
    "answered": "Whether a persona answers.",
    "actions": "What happens, then what happens instead if there is no room.",
    "steps": "What was looked at, in order, and why it holds or not.",
    "pool": "Group that the worker belongs to.",
    "url": "Where gateways reach it.",
    "model": "Name of the model.",
    "tick_p99_ms": "Milliseconds in which 99 of 100 passes of the engine end; null if unknown.",
    "heartbeat_age_s": "Seconds since it was last heard of.",
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "CallView": {
        "id": "CA5f0e6f0a9c1b4d7e", "state": "ended", "started_at": "2026-11-30T14:03:11.250Z",
        "ended_at": "2026-11-30T14:04:48.100Z", "transport": "twilio", "trunk": "twilio",
        "called": "+15550100", "caller": "+15005550006", "route": "", "persona": "bank",
        "persona_version": "3", "voice": "clara", "voice_sha256": "9f2c…", "prompt_hash": "41d0…",
        "gateway_id": "gateway-1", "worker_id": "worker-1", "outcome": "answered",
        "code": "hangup", "duration_s": 96.85, "setup_s": 0.31, "first_sound_s": 0.22,
        "barge_ins": 1, "yields": 1, "yield_mean_s": 0.29, "turn_gaps": 9,
        "turn_gap_mean_s": 0.64, "quality": {"packets_in": 4842, "packets_lost": 3},
    },
    "Transfer": {"to": "+15550199"},
    "Keys": {"keys": "123#"},
    "NewPersona": {"template": "bank", "name": "night_desk", "title": "Night desk"},
    "PersonaPatch": {"draft": {"greeting": "Good evening, how can I help?"}},
    "Webhook": {
        "name": "crm", "title": "CRM", "url": "https://example.com/calls",
        "events": ["call.ended", "call.refused"], "enabled": True,
    },
    "Number": {"name": "+15550100", "title": "Main line", "persona": "bank"},
    "Limit": {"name": "all_calls", "title": "All calls", "scope": "all", "max_concurrent": 40},
    "NewKey": {"name": "Wallboard", "role": "viewer"},
}  # fmt: skip


def complete(description: dict[str, Any]) -> None:
    """Adds what fields mean, and examples, to the schemas of a description."""
    # Of two classes with one name the API's own counts, whatever was imported first.
    ranked = sorted(_models(BaseModel), key=lambda one: (_is_own(one), one.__module__))
    models = {model.__name__: model for model in ranked}
    for name, schema in description["components"]["schemas"].items():
        if "description" in schema:
            schema["description"] = _without_attributes(schema["description"])
        model = models.get(schema.get("title", name), models.get(name))
        meanings = _meanings(model) if model is not None else {}
        for field, of_field in schema.get("properties", {}).items():
            meaning = meanings.get(field) or _COMMON.get(f"{name}.{field}") or _COMMON.get(field)
            if meaning and "description" not in of_field:
                of_field["description"] = meaning
        if name in EXAMPLES:
            schema["examples"] = [EXAMPLES[name]]


def _is_own(model: type[BaseModel]) -> bool:
    return model.__module__.startswith("callcenter.admin.")


def _models(of: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in of.__subclasses__():
        if model.__module__.startswith(("callcenter.", "personas.")):
            yield model
        yield from _models(model)


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """What the docstrings of a class and of those above it say, the nearest first."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if one.__module__.startswith(("callcenter.", "personas.")):
            found |= attributes_in(inspect.cleandoc(one.__doc__ or ""))
    return found


def attributes_in(docstring: str) -> dict[str, str]:
    """The entries below "Attributes:"; one may name several fields."""
    _, _, rest = docstring.partition("Attributes:\n")
    found: dict[str, str] = {}
    for entry in re.findall(r"^ {4}(\S.*(?:\n {6,}\S.*)*)", rest, re.MULTILINE):
        names, _, meaning = " ".join(entry.split()).partition(": ")
        for name in names.split(", "):
            found[name] = meaning[:1].upper() + meaning[1:]
    return found


def _without_attributes(text: str) -> str:
    return text.partition("Attributes:")[0].strip()
