"""Names that lead nowhere, users, and routes that no call can reach."""

from datetime import UTC, datetime

import pytest

from callcenter.published.documents import Limit, Match, Number, Route, Schedule
from callcenter.published.references import (
    Configuration,
    covers,
    pins_of,
    problem_with,
    users_of,
    why_unreachable,
)
from callcenter.published.trunk import Trunk

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BANK = {"kind": "personas", "personas": [{"persona": "bank"}]}


def number(name: str = "+15550100", **more: object) -> Number:
    """A number."""
    return Number.model_validate({"name": name, "title": "N", **more})


def route(name: str = "r", target: dict = BANK, **more: object) -> Route:
    """A route."""
    return Route.model_validate({"name": name, "title": "R", "target": target, **more})


def configuration(*documents: object) -> Configuration:
    """A configuration of documents, with one published persona of two versions."""
    kinds = {Trunk: "trunks", Number: "numbers", Route: "routes", Schedule: "schedules"}
    found: dict[str, dict] = {}
    for document in documents:
        found.setdefault(kinds.get(type(document), "limits"), {})[document.name] = document
    return Configuration(
        personas={"bank": frozenset({1, 2}), "draft": frozenset()}, published={"bank": 2}, **found
    )


def trunk(**fields: object) -> Trunk:
    """A SIP trunk."""
    return Trunk.model_validate({"name": "t", "title": "T", "kind": "sip", **fields})


@pytest.mark.parametrize(
    ("document", "place", "words"),
    [
        (number(trunk="t"), "/trunk", "no trunk 't'"),
        (number(persona="x"), "/persona", "no persona 'x'"),
        (number(persona="draft"), "/persona", "is not published"),
        (number(route="x"), "/route", "no route 'x'"),
        (route(match={"schedule": "s"}), "/match/schedule", "no schedule 's'"),
        (
            route(target={"kind": "personas", "personas": [{"persona": "bank", "version": 3}]}),
            "/target/personas/0/persona",
            "no version 3",
        ),
        (
            route(overflow=[{"kind": "personas", "personas": [{"persona": "x"}]}]),
            "/overflow/0/personas/0/persona",
            "no persona 'x'",
        ),
        (
            Limit(name="l", title="L", scope="persona", subject="x", max_concurrent=1),
            "/subject",
            "no persona 'x'",
        ),
        (Schedule(name="s", title="S", time_zone="UTC"), "/weekly", "never opens"),
        (route(match={"called": "+1999*"}), "/match", "no number fits"),
        (trunk(secret_ref="LINK_SECRET"), "/secret_ref", "named TRUNK_..."),
        (trunk(secret_ref="HOME"), "/secret_ref", "named TRUNK_..."),
        (
            trunk(
                secret_ref="TRUNK_A",
                sip={"registrar": {"uri": "sip:a", "username": "u", "secret_ref": "PATH"}},
            ),
            "/sip/registrar/secret_ref",
            "named TRUNK_...",
        ),
    ],
)
def test_names_that_lead_nowhere(document, place: str, words: str) -> None:
    """The place is named, and what is wrong."""
    found = problem_with(configuration(), document, NOW)
    assert found[0] == place
    assert words in found[1]


def test_documents_that_are_fine() -> None:
    """Nothing is said of them."""
    closed = Schedule(name="s", title="S", time_zone="UTC", force="closed")
    login = trunk(secret_ref="TRUNK_A")
    for document in (number(persona="bank"), number(), route(), closed, trunk(), login):
        assert problem_with(configuration(), document, NOW)[1] == ""


def test_users_are_named() -> None:
    """Of every kind of document."""
    limit = Limit(name="l", title="L", scope="persona", subject="bank", max_concurrent=1)
    found = configuration(number(persona="bank"), route(), limit)
    assert users_of(found, "persona", "bank") == ["number +15550100", "route r", "limit l"]
    assert users_of(found, "persona", "hotel") == []


def test_pins_are_of_one_version() -> None:
    """A route that follows what is published pins nothing."""
    pinned = {"kind": "personas", "personas": [{"persona": "bank", "version": 1}]}
    found = configuration(route("a", pinned), route("b"))
    assert pins_of(found, "bank", 1) == ["route a"]
    assert pins_of(found, "bank", 2) == []


def test_routes_that_no_call_can_reach() -> None:
    """Shadowed, or all its numbers go elsewhere; a number that names it is enough."""
    late = route("late", priority=50, match={"called": "+15550100"})
    assert why_unreachable(configuration(number()), late) == ""
    taken = configuration(number(persona="bank"))
    assert "own persona or route" in why_unreachable(taken, late)
    shadow = route("early", priority=1, match={"called": "+1555*"})
    assert "route early comes first" in why_unreachable(configuration(number(), shadow), late)
    off = route("early", priority=1, enabled=False)
    assert why_unreachable(configuration(number(), off), late) == ""
    named = configuration(number(route="late"), shadow)
    assert why_unreachable(named, late) == ""
    elsewhere = route("late", match={"called": "+15550100", "trunk": "sip"})
    assert "on trunk sip" in why_unreachable(configuration(number(trunk="twilio")), elsewhere)


@pytest.mark.parametrize(
    ("wide", "narrow", "answer"),
    [
        ({}, {"called": "+1"}, True),
        ({"called": "+1"}, {}, False),
        ({"called": "+1*"}, {"called": "+1555*"}, True),
        ({"called": "+1555*"}, {"called": "+1*"}, False),
        ({"called": "+1"}, {"called": "+1"}, True),
        ({"trunk": "a"}, {"trunk": "a", "caller": "+1"}, True),
        ({"trunk": "a"}, {"trunk": "b"}, False),
        ({"headers": {"X-A": "1"}}, {"headers": {"x-a": "1", "b": "2"}}, True),
        ({"headers": {"X-A": "1"}}, {}, False),
        ({"schedule": "s"}, {"schedule": "s"}, True),
        ({"schedule": "s"}, {"schedule": "s", "when": "closed"}, False),
        ({"schedule": "s"}, {}, False),
    ],
)
def test_what_covers_what(wide: dict, narrow: dict, answer: bool) -> None:
    """Every call that the narrow one takes must be one of the wide one's."""
    assert covers(Match.model_validate(wide), Match.model_validate(narrow)) is answer
