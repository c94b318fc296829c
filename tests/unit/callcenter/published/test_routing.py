"""Where calls go: order, conditions, weights, overflow, trials and blocked voices."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from callcenter.published.documents import TransferTarget
from callcenter.published.routing import Answer, IncomingCall, decide, fits, pick
from callcenter.published.snapshot import Snapshot

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
CALL = IncomingCall("twilio", "+15550100", "+15005550006", {"X-Line": "gold"})
ANYBODY = {"kind": "personas", "personas": [{"persona": "bank"}]}
DESK = {"kind": "transfer", "to": "+15550199"}


def persona(name: str, version: int = 1) -> dict:
    """A published version."""
    return {"name": name, "version": version, "content": {"voice": "clara"}}


def snapshot(**more: object) -> Snapshot:
    """A snapshot with two personas and a voice."""
    base = {
        "revision": 1,
        "current": {"bank": 1, "hotel": 1},
        "personas": [persona("bank"), persona("hotel"), persona("bank", 2)],
        "voices": [{"name": "clara", "sha256": "x"}],
    }
    return Snapshot.model_validate({**base, **more})


def route(name: str, priority: int = 10, target: dict = ANYBODY, **more: object) -> dict:
    """A route."""
    return {"name": name, "title": name, "priority": priority, "target": target, **more}


def who(found: Snapshot, call: IncomingCall = CALL, at: datetime = NOW, draw: float = 0.0) -> list:
    """Names of the personas, and other kinds of actions, in order."""
    return [
        f"{action.persona.name} {action.persona.version}"
        if isinstance(action, Answer)
        else action.kind
        for action in decide(found, call, at, draw).actions
    ]


def test_the_lowest_priority_number_goes_first() -> None:
    """Among equals the name; switched off is as not there."""
    routes = [
        route("c", 20, DESK),
        route("b", 10),
        route("a", 10, DESK),
        route("off", 1, enabled=False),
    ]
    decision = decide(snapshot(routes=routes), CALL, NOW, 0.0)
    assert decision.route == "a"
    assert [(step.subject, step.taken) for step in decision.steps[:2]] == [
        ("route off", False),
        ("route a", True),
    ]


@pytest.mark.parametrize(
    ("match", "takes"),
    [
        ({}, True),
        ({"trunk": "twilio"}, True),
        ({"trunk": "sip"}, False),
        ({"called": "+15550100"}, True),
        ({"called": "+1555*"}, True),
        ({"called": "+1556*"}, False),
        ({"caller": "+1500*", "called": "+15550100"}, True),
        ({"caller": "+1501*", "called": "+15550100"}, False),
        ({"headers": {"x-line": "gold"}}, True),
        ({"headers": {"X-Line": "g*"}}, True),
        ({"headers": {"X-Line": "silver"}}, False),
        ({"headers": {"X-Other": "*"}}, True),
        ({"schedule": "hours"}, True),
        ({"schedule": "hours", "when": "closed"}, False),
        ({"schedule": "gone"}, False),
    ],
)
def test_all_conditions_must_hold(match: dict, takes: bool) -> None:
    """One that does not is named in the steps."""
    weekly = [{"days": ["monday"], "opens": "00:00", "closes": "24:00"}]
    hours = {"name": "hours", "title": "H", "time_zone": "UTC", "weekly": weekly}
    found = decide(snapshot(routes=[route("r", match=match)], schedules=[hours]), CALL, NOW, 0.0)
    assert bool(found.actions) is takes
    assert found.steps[0].why


def test_a_number_has_its_own_persona_or_route() -> None:
    """Before all routes; on its trunk only; with neither, the routes count."""
    number = {"name": "+15550100", "title": "N"}
    routes = [route("all", 1, DESK), route("own", 99, enabled=True)]
    assert who(snapshot(numbers=[{**number, "persona": "hotel"}], routes=routes)) == ["hotel 1"]
    assert who(snapshot(numbers=[{**number, "route": "own"}], routes=routes)) == ["bank 1"]
    assert who(snapshot(numbers=[number], routes=routes)) == ["transfer"]
    sip = {**number, "persona": "hotel", "trunk": "sip"}
    assert who(snapshot(numbers=[sip], routes=routes)) == ["transfer"]
    assert who(snapshot(numbers=[{**number, "persona": "hotel"}])) == ["hotel 1"]
    assert who(snapshot()) == []


def test_overflow_comes_after_the_target() -> None:
    """In its order."""
    message = {"kind": "message", "text": "Bye."}
    found = snapshot(routes=[route("r", overflow=[DESK, message])])
    assert who(found) == ["bank 1", "transfer", "message"]


def test_a_pinned_version_and_the_published_one() -> None:
    """A route may name a version; another one follows what is published."""
    pinned = {"kind": "personas", "personas": [{"persona": "bank", "version": 2}]}
    assert who(snapshot(routes=[route("r", target=pinned)])) == ["bank 2"]
    assert who(snapshot(routes=[route("r")], current={"bank": 2})) == ["bank 2"]
    assert who(snapshot(routes=[route("r")], current={})) == []


def test_weights_share_the_calls() -> None:
    """In proportion; a weight of 0 gets none."""
    choices = [{"persona": "bank", "weight": 3}, {"persona": "hotel", "weight": 1}]
    choices.append({"persona": "bank", "version": 2, "weight": 0})
    found = snapshot(routes=[route("r", target={"kind": "personas", "personas": choices})])
    draws = Counter(who(found, draw=index / 1_000)[0] for index in range(1_000))
    assert draws == {"bank 1": 750, "hotel 1": 250}


def test_rounding_never_picks_a_weight_of_zero() -> None:
    """Even if the draw is at its very end."""
    target = {"kind": "personas", "personas": [{"persona": "a"}, {"persona": "b", "weight": 0}]}
    choices = snapshot(routes=[route("r", target=target)]).routes[0].target.personas
    assert pick(choices, 1.0).persona == "a"


def test_a_blocked_voice_sends_calls_on() -> None:
    """To the overflow, with the reason in the steps; an end of consent needs nobody's help."""
    routes = [route("r", overflow=[DESK])]
    blocked = [{"name": "clara", "sha256": "x", "blocked": "the consent was revoked"}]
    decision = decide(snapshot(routes=routes, voices=blocked), CALL, NOW, 0.0)
    assert isinstance(decision.actions[0], TransferTarget)
    assert "revoked" in decision.steps[-1].why
    ending = [{"name": "clara", "sha256": "x", "usable_until": NOW.isoformat()}]
    assert who(snapshot(routes=routes, voices=ending)) == ["transfer"]
    earlier = NOW - timedelta(seconds=1)
    assert who(snapshot(routes=routes, voices=ending), at=earlier) == ["bank 1", "transfer"]
    assert who(snapshot(routes=routes, voices=[])) == ["transfer"]


def test_a_trial_is_for_those_who_know_its_number() -> None:
    """And for its time only."""
    trial = {
        "called": "trial-abc",
        "persona": persona("bank", 0),
        "expires_at": (NOW + timedelta(minutes=1)).isoformat(),
    }
    call = IncomingCall("webrtc", "trial-abc")
    assert who(snapshot(trials=[trial]), call) == ["bank 0"]
    assert who(snapshot(trials=[trial]), call, at=NOW + timedelta(minutes=1)) == []
    assert who(snapshot(trials=[trial])) == []
    revoked = [{"name": "clara", "sha256": "x", "blocked": "the consent was revoked"}]
    assert who(snapshot(trials=[trial], voices=revoked), call) == []


def test_a_star_stands_for_any_end() -> None:
    """And nothing else is special."""
    assert fits("+1555*", "+15550100")
    assert fits("*", "")
    assert not fits("+1555", "+15550100")
    assert not fits(".*", "+1")


@pytest.mark.parametrize(
    "called",
    ["+15550100", "15550100", "+1 (555) 0100", "%2B15550100", "tel:+1-555-0100", "0015550100"],
)
def test_a_number_in_any_spelling_is_that_number(called) -> None:
    """Before any route takes the call, by the prefixes of its trunk; as gateways and simulator."""
    pbx = {"name": "pbx", "title": "x", "kind": "sip", "addresses": ["192.0.2.0/24"]}
    found = snapshot(
        numbers=[{"name": "+15550100", "title": "x", "persona": "bank"}],
        routes=[route("everything", 1, DESK)],
        trunks=[{**pbx, "sip": {"international_prefixes": ["00"]}}],
    )
    assert who(found, IncomingCall("pbx", called)) == ["bank 1"]
    assert who(found, IncomingCall("pbx", "+15550101")) == ["transfer"]


def test_conditions_on_numbers_hold_in_any_spelling() -> None:
    """Called and caller, exact or by their beginning; addresses of other kinds as they stand."""
    match = {"called": "+1555*", "caller": "+15005550006"}
    found = snapshot(routes=[route("a", match=match), route("b", 20, DESK)])
    assert who(found, IncomingCall("pbx", "15550100", "1 500 555-0006")) == ["bank 1"]
    assert who(found, IncomingCall("pbx", "15560100", "15005550006")) == ["transfer"]
    app = snapshot(routes=[route("a", match={"called": "sip:help@*", "caller": "client:*"})])
    call = IncomingCall("twilio", "sip:help@Acme.sip.twilio.com;transport=udp", "client:bob")
    assert who(app, call) == ["bank 1"]
    assert who(app, IncomingCall("twilio", call.called, "+15550100")) == []
