"""Decides where a call goes, and says why: the same code answers calls and simulates them.

    trial                                   a draft under test, by its made-up number
    number with a persona or a route        that one
    routes from the lowest priority up      the first whose conditions all hold

Numbers are compared by `number`, in any spelling. It knows no carrier, no slot and no clock.
Whether there is a free slot comes later: the decision is a chain of targets, the first one and the
overflow after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from callcenter.published import number as numbers
from callcenter.published import schedule as hours
from callcenter.published.documents import (
    Match,
    MessageTarget,
    Number,
    PersonasTarget,
    RejectTarget,
    Route,
    Target,
    TransferTarget,
    WeightedPersona,
)
from callcenter.published.snapshot import PublishedPersona, Snapshot

TRIAL_PREFIX = "trial-"


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """What is known of a call before it is answered.

    Attributes:
        trunk: name of the trunk that it came over.
        called, caller: as the carrier spells them.
        headers: the carrier's headers or attributes.
    """

    trunk: str
    called: str
    caller: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A persona answers.

    Attributes:
        persona: the pinned version.
        variables: values for its variables.
        transfer_to: where its handoff goes.
    """

    persona: PublishedPersona
    variables: Mapping[str, str]
    transfer_to: str | None


Action = Answer | TransferTarget | MessageTarget | RejectTarget


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at, for people: what, whether it took the call, and why."""

    subject: str
    taken: bool
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a call goes.

    Attributes:
        route: name of the route; "" for a number's own persona, a trial, or nothing.
        actions: tried in order until one works; empty if the call is not for us.
        steps: how the decision came about.
    """

    route: str
    actions: tuple[Action, ...]
    steps: tuple[Step, ...]


def decide(snapshot: Snapshot, call: IncomingCall, at: datetime, draw: float) -> Decision:
    """Finds the targets of a call.

    Args:
        snapshot: the configuration.
        call: what is known of it.
        at: the moment, aware.
        draw: a number in [0, 1) that picks among weighted personas; the same call must always
            bring the same one.
    """
    call, steps = spelled(snapshot, call), list[Step]()
    for trial in snapshot.trials:
        if trial.called == call.called and at < trial.expires_at:
            why = voice_blocked(snapshot, str(trial.persona.content.get("voice", "")), at)
            steps.append(Step(f"trial {trial.called}", not why, why or "a draft is being tried"))
            return Decision("", () if why else (Answer(trial.persona, {}, None),), tuple(steps))
    number = _dialled(snapshot, call.called)
    if number is not None and (own := _of_number(snapshot, number, call, steps)) is not None:
        return _decided(snapshot, own, at, draw, steps)
    for route in sorted(snapshot.routes, key=lambda route: (route.priority, route.name)):
        why_not = "" if route.enabled else "is switched off"
        why_not = why_not or mismatch(snapshot, route.match, call, at)
        steps.append(Step(f"route {route.name}", not why_not, why_not or "all conditions hold"))
        if not why_not:
            return _decided(snapshot, route, at, draw, steps)
    return Decision("", (), tuple(steps))


def spelled(snapshot: Snapshot, call: IncomingCall) -> IncomingCall:
    """The call with its numbers in their canonical form, by the ways of its trunk."""
    trunk = next((trunk for trunk in snapshot.trunks if trunk.name == call.trunk), None)
    prefixes = trunk.sip.international_prefixes if trunk is not None and trunk.sip else []
    called, caller = (numbers.canonical(text, prefixes) for text in (call.called, call.caller))
    return replace(call, called=called, caller=caller)


def _dialled(snapshot: Snapshot, called: str) -> Number | None:
    """The number that was dialled: the one with its very spelling before one but for the plus."""
    for name in numbers.variants(called):
        for number in snapshot.numbers:
            if number.name == name:
                return number
    return None


def mismatch(snapshot: Snapshot, match: Match, call: IncomingCall, at: datetime) -> str:
    """The first condition that does not hold, in words; "" if all hold."""
    if match.trunk is not None and match.trunk != call.trunk:
        return f"the trunk is {call.trunk}, not {match.trunk}"
    if match.called is not None and not numbers.fits(match.called, call.called):
        return f"the called number is not {match.called}"
    if match.caller is not None and not numbers.fits(match.caller, call.caller):
        return f"the caller is not {match.caller}"
    headers = {name.lower(): value for name, value in call.headers.items()}
    for name, pattern in match.headers.items():
        if not fits(pattern, headers.get(name.lower(), "")):
            return f"header {name} is not {pattern}"
    if match.schedule is not None:
        return _schedule_mismatch(snapshot, match, at)
    return ""


def fits(pattern: str, value: str) -> bool:
    """Whether a value is the pattern, or begins with what stands before the pattern's star."""
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return value == pattern


def _schedule_mismatch(snapshot: Snapshot, match: Match, at: datetime) -> str:
    for schedule in snapshot.schedules:
        if schedule.name == match.schedule:
            state = "open" if hours.is_open(schedule, at) else "closed"
            return "" if state == match.when else f"schedule {schedule.name} is {state}"
    return f"there is no schedule {match.schedule}"


def _of_number(
    snapshot: Snapshot, number: Number, call: IncomingCall, steps: list[Step]
) -> Route | None:
    """The route that a number brings with it, if any."""
    place = f"number {number.name}"
    if number.trunk is not None and number.trunk != call.trunk:
        steps.append(Step(place, False, f"is answered on trunk {number.trunk} only"))
        return None
    if number.persona is not None:
        steps.append(Step(place, True, f"is answered by persona {number.persona}"))
        target = PersonasTarget(kind="personas", personas=[WeightedPersona(persona=number.persona)])
        return Route(name="number", title=number.title, target=target)
    for route in snapshot.routes:
        if route.name == number.route and route.enabled:
            steps.append(Step(place, True, f"goes to route {route.name}"))
            return route
    steps.append(Step(place, False, "has no persona and no route of its own"))
    return None


def _decided(
    snapshot: Snapshot, route: Route, at: datetime, draw: float, steps: list[Step]
) -> Decision:
    targets = (route.target, *route.overflow)
    actions = [
        action for target in targets for action in _actions(snapshot, target, at, draw, steps)
    ]
    name = "" if route.name == "number" else route.name
    return Decision(name, tuple(actions), tuple(steps))


def _actions(
    snapshot: Snapshot, target: Target, at: datetime, draw: float, steps: list[Step]
) -> Iterator[Action]:
    """The action of a target; none if it may not be used."""
    if not isinstance(target, PersonasTarget):
        yield target
        return
    choice = pick(target.personas, draw)
    persona = _version(snapshot, choice)
    if persona is None:
        steps.append(Step(f"persona {choice.persona}", False, "is not published"))
    elif why := voice_blocked(snapshot, str(persona.content.get("voice", "")), at):
        steps.append(Step(f"persona {choice.persona}", False, why))
    else:
        steps.append(Step(f"persona {choice.persona}", True, f"version {persona.version}"))
        yield Answer(persona, choice.variables, target.transfer_to)


def pick(choices: list[WeightedPersona], draw: float) -> WeightedPersona:
    """One of them, each in proportion to its weight."""
    left = draw * sum(choice.weight for choice in choices)
    for choice in choices:
        left -= choice.weight
        if left < 0:
            return choice
    return next(choice for choice in reversed(choices) if choice.weight)  # rounding


def voice_blocked(snapshot: Snapshot, name: str, at: datetime) -> str:
    """Why a voice may not be used for a new call; "" if it may."""
    for voice in snapshot.voices:
        if voice.name == name:
            if voice.usable_until is not None and at >= voice.usable_until:
                return f"the consent for voice {name} has expired"
            return voice.blocked
    return f"voice {name} is not published"


def _version(snapshot: Snapshot, choice: WeightedPersona) -> PublishedPersona | None:
    version = choice.version or snapshot.current.get(choice.persona)
    for persona in snapshot.personas:
        if (persona.name, persona.version) == (choice.persona, version):
            return persona
    return None
