"""Where names lead: who uses what, which names lead nowhere, which routes no call can reach.

It knows documents only. What happens to a mistake is the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from callcenter.published.documents import (
    AnyDocument,
    Limit,
    Match,
    Number,
    PersonasTarget,
    Route,
    Schedule,
    Target,
)
from callcenter.published.number import fits
from callcenter.published.schedule import ever_opens
from callcenter.published.trunk import SECRETS_PREFIX, Trunk


@dataclass(frozen=True)
class Configuration:
    """All documents of one moment, by name.

    Attributes:
        personas: persona -> its voice as published, and the numbers of its versions.
        published: personas that have a published version.
    """

    trunks: Mapping[str, Trunk] = field(default_factory=dict)
    numbers: Mapping[str, Number] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    personas: Mapping[str, frozenset[int]] = field(default_factory=dict)
    published: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in a document, and what it must be the name of.

    Attributes:
        place: JSON pointer into the document.
        version: of a persona, where one is pinned.
    """

    place: str
    kind: str
    name: str
    version: int | None = None


def references(document: AnyDocument) -> Iterator[Reference]:
    """All names in a document that must lead somewhere."""
    match document:
        case Number():
            yield from _named("/trunk", "trunk", document.trunk)
            yield from _named("/persona", "persona", document.persona)
            yield from _named("/route", "route", document.route)
        case Route():
            yield from _named("/match/trunk", "trunk", document.match.trunk)
            yield from _named("/match/schedule", "schedule", document.match.schedule)
            yield from _of_target("/target", document.target)
            for index, target in enumerate(document.overflow):
                yield from _of_target(f"/overflow/{index}", target)
        case Limit(scope="persona" | "trunk" as scope):
            yield from _named("/subject", scope, document.subject)


def problem_with(
    configuration: Configuration, document: AnyDocument, now: datetime
) -> tuple[str, str]:
    """The first thing that makes a well-formed document useless.

    Returns:
        JSON pointer and explanation; ("", "") if it is fine.
    """
    for reference in references(document):
        if explanation := _leads_nowhere(configuration, reference):
            return reference.place, explanation
    if isinstance(document, Trunk):
        for place, name in document.secret_refs().items():
            if not name.startswith(SECRETS_PREFIX):
                return place, f"a trunk's secret is in a variable named {SECRETS_PREFIX}..."
    if isinstance(document, Schedule) and document.force is None and not ever_opens(document, now):
        return "/weekly", "this schedule never opens; add a window, or force it closed on purpose"
    if isinstance(document, Route) and document.enabled:
        return "/match", why_unreachable(configuration, document)
    return "", ""


def users_of(configuration: Configuration, kind: str, name: str) -> list[str]:
    """Who uses a document, as "kind name"."""
    return [
        f"{user} {document.name}"
        for user, documents in _all(configuration)
        for document in documents.values()
        if any((found.kind, found.name) == (kind, name) for found in references(document))
    ]


def pins_of(configuration: Configuration, persona: str, version: int) -> list[str]:
    """Which routes name this very version of a persona."""
    wanted = ("persona", persona, version)
    return [
        f"route {route.name}"
        for route in configuration.routes.values()
        if any((found.kind, found.name, found.version) == wanted for found in references(route))
    ]


def why_unreachable(configuration: Configuration, route: Route) -> str:
    """Why no call can come to an enabled route; "" if one can."""
    named = any(number.route == route.name for number in configuration.numbers.values())
    if named:
        return ""
    called = route.match.called
    if called is not None and not any(char.isalpha() for char in called):  # an address needs none
        numbers = [n for n in configuration.numbers.values() if fits(called, n.name)]
        if not numbers:
            return f"no number fits {called}; add the number first"
        if all(number.persona or number.route for number in numbers):
            return f"all calls to {called} go to the number's own persona or route"
        trunk = route.match.trunk
        if trunk and all(number.trunk not in (None, trunk) for number in numbers):
            return f"no number that fits {called} is answered on trunk {trunk}"
    for other in configuration.routes.values():
        earlier = (other.priority, other.name) < (route.priority, route.name)
        if other.enabled and earlier and covers(other.match, route.match):
            return f"route {other.name} comes first and takes every call that this one could"
    return ""


def covers(wide: Match, narrow: Match) -> bool:
    """Whether every call that `narrow` takes is also taken by `wide`."""
    if wide.trunk is not None and wide.trunk != narrow.trunk:
        return False
    if wide.schedule is not None and (wide.schedule, wide.when) != (narrow.schedule, narrow.when):
        return False
    pairs = [(wide.called, narrow.called), (wide.caller, narrow.caller)]
    given = {name.lower(): pattern for name, pattern in narrow.headers.items()}
    pairs += [(pattern, given.get(name.lower())) for name, pattern in wide.headers.items()]
    return all(_pattern_covers(*pair) for pair in pairs)


def _pattern_covers(wide: str | None, narrow: str | None) -> bool:
    if wide is None:
        return True
    if narrow is None:
        return False
    return wide == narrow or (wide.endswith("*") and narrow.startswith(wide[:-1]))


def _named(place: str, kind: str, name: str | None) -> Iterator[Reference]:
    if name is not None:
        yield Reference(place, kind, name)


def _of_target(place: str, target: Target) -> Iterator[Reference]:
    if isinstance(target, PersonasTarget):
        for index, choice in enumerate(target.personas):
            where = f"{place}/personas/{index}/persona"
            yield Reference(where, "persona", choice.persona, choice.version)


def _leads_nowhere(configuration: Configuration, reference: Reference) -> str:
    known: Mapping[str, Mapping[str, object]] = {
        "trunk": configuration.trunks,
        "route": configuration.routes,
        "schedule": configuration.schedules,
        "persona": configuration.personas,
    }
    if reference.name not in known[reference.kind]:
        return f"there is no {reference.kind} '{reference.name}'"
    if reference.kind != "persona":
        return ""
    if reference.version is None and reference.name not in configuration.published:
        return f"persona '{reference.name}' is not published; publish it first"
    if reference.version and reference.version not in configuration.personas[reference.name]:
        return f"persona '{reference.name}' has no version {reference.version}"
    return ""


def _all(configuration: Configuration) -> list[tuple[str, Mapping[str, AnyDocument]]]:
    return [
        ("number", configuration.numbers),
        ("route", configuration.routes),
        ("limit", configuration.limits),
    ]
