"""Routes from the published configuration: kept in memory, brought up to date in the background.

Every call is decided on the snapshot that is in memory, so nothing here waits for Redis, the admin
app or its database: without them the last configuration counts. A new snapshot is rendered before
it replaces the old one, one persona at a time so that calls go on between, and only what is new in
it; one that cannot be read replaces nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from callcenter.errors import BrokerUnavailable
from callcenter.gateway.routes import Choice, Route
from callcenter.published.board import Board
from callcenter.published.routing import (
    TRIAL_PREFIX,
    Answer,
    IncomingCall,
    decide,
    voice_blocked,
)
from callcenter.published.snapshot import Snapshot, read_persona
from callcenter.published.trunk import Trunk
from personas.schema import RenderedPersona

LOOK_EVERY_S = 2.0
MAX_RENDERED = 5_000  # prompts of a few kB
BROWSER = "webrtc"

Rendered = dict[tuple[Any, ...], RenderedPersona | None]  # None: a value is missing

log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class PublishedRoutes:
    """The routes of the newest snapshot.

    Args:
        board: where snapshots are published.
        clock: the moment, aware; schedules and consents depend on it.

    Attributes:
        on_change: called after a new snapshot has come.
    """

    def __init__(self, board: Board, clock: Callable[[], datetime] = _now) -> None:
        self.on_change: Callable[[], None] = _nobody_listens
        self._board = board
        self._clock = clock
        self._snapshot = Snapshot(revision=-1)
        self._trouble = ""
        self._rendered: Rendered = {}

    @property
    def revision(self) -> int:
        """Of the snapshot in memory; -1 before the first one."""
        return self._snapshot.revision

    def trunks(self, kind: str) -> list[Trunk]:
        """The trunks of a carrier's protocol."""
        return [trunk for trunk in self._snapshot.trunks if trunk.kind == kind]

    def plan(self, call_id: str, call: IncomingCall) -> tuple[Choice, ...]:
        """What to do with a call: the first choice that works counts."""
        decision = decide(self._snapshot, call, self._clock(), _draw(call_id))
        choices = [
            self._route(action, decision.route, call.trunk)
            if isinstance(action, Answer)
            else action
            for action in decision.actions
        ]
        return tuple(choice for choice in choices if choice is not None)

    def by_persona(self, only: Collection[str] | None) -> Mapping[str, Route]:
        """The published personas that browsers may call, and trials by their made-up numbers.

        A trial needs no name here: an operator made its number, which nobody can guess, and it ends
        by itself.

        Args:
            only: their names; None for all.
        """
        return _Personas(self, only)

    def published(self, only: Collection[str] | None) -> list[str]:
        """Names of the personas that are published now."""
        return [name for name in self._snapshot.current if only is None or name in only]

    def of_persona(self, name: str) -> Route | None:
        """The route straight to a persona's published version, or to a trial."""
        if name.startswith(TRIAL_PREFIX):
            call = IncomingCall(BROWSER, name)
            found = self.plan(name, call)
            return next((choice for choice in found if isinstance(choice, Route)), None)
        version = self._snapshot.current.get(name)
        for persona in self._snapshot.personas:
            usable = not voice_blocked(self._snapshot, persona.content["voice"], self._clock())
            if (persona.name, persona.version) == (name, version) and usable:
                return self._route(Answer(persona, {}, None), "", BROWSER)
        return None

    async def keep_current(self) -> None:
        """Takes new snapshots over for ever; cancel it at the end of the process."""
        while True:
            await self.refresh()
            await self._board.wait_for_change(LOOK_EVERY_S)

    def warnings(self) -> list[str]:
        """What a person should look at."""
        found = [self._board.refused] if self._board.refused else []
        if self._board.keys.learns:
            found.append("CONFIG_PUBLIC_KEY is not set: the first key that was seen is trusted")
        return found

    def unconfigured(self) -> str:
        """Why there is no configuration, though one is published; "" else.

        So at an upgrade, calls stay with the old gateways until the admin app has signed anew.
        """
        return self._board.refused if self.revision < 0 else ""

    async def refresh(self) -> None:
        """Takes over what is published now; if it cannot be had, what is in memory stays."""
        try:
            known = await self._board.revision() == self._snapshot.revision
            if known and not self._board.refused:
                return
            snapshot = await self._board.snapshot()
        except BrokerUnavailable as error:  # Redis is away, or a stranger wrote there
            self._say("configuration_unchanged", str(error))
            return
        self._say("configuration_readable", "")
        if snapshot is not None and snapshot.revision != self._snapshot.revision:
            self._take_over(snapshot, await self._all_rendered(snapshot))

    def _say(self, event: str, trouble: str) -> None:
        """Logs what is wrong when that changes, not every other second."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.log(logging.WARNING if trouble else logging.INFO, event, detail=trouble)

    async def _all_rendered(self, snapshot: Snapshot) -> Rendered:
        """The personas' prompts without a call's values; one at a time, audio between them."""
        before = {(each.name, each.version): each.content for each in self._snapshot.personas}
        rendered: Rendered = {}
        for persona in snapshot.personas:
            key = _key(persona.name, persona.version, persona.content, {})
            same = before.get((persona.name, persona.version)) == persona.content
            if same and key in self._rendered:
                rendered[key] = self._rendered[key]
            else:
                rendered[key] = _rendered(persona.name, persona.version, persona.content, {})
                await asyncio.sleep(0)
        return rendered

    def _take_over(self, snapshot: Snapshot, rendered: Rendered | None = None) -> None:
        """A snapshot counts from here on; a missing prompt is rendered when a call asks for it."""
        self._snapshot, self._rendered = snapshot, rendered or {}
        log.info("configuration_changed", revision=snapshot.revision)
        self.on_change()

    def _route(self, answer: Answer, name: str, trunk: str) -> Route | None:
        """An answer with its prompt; None if the prompt lacks a value."""
        published = answer.persona
        rendered = self._render(
            published.name, published.version, published.content, answer.variables
        )
        if rendered is None:
            return None
        voices = {voice.name: voice.sha256 for voice in self._snapshot.voices}
        return Route(
            persona=rendered,
            transfer_to=answer.transfer_to,
            name=name,
            version=str(published.version),
            voice_sha256=voices.get(rendered.voice, ""),
            limits=self._limits(published.name, trunk),
        )

    def _limits(self, persona: str, trunk: str) -> dict[str, int]:
        """The limits that count a call: the admins' own, and the trunk's channels."""
        counted = {"all": None, "persona": persona, "trunk": trunk}
        found = {
            limit.name: limit.max_concurrent
            for limit in self._snapshot.limits
            if limit.subject == counted[limit.scope]
        }
        for known in self._snapshot.trunks:
            if known.name == trunk and known.max_channels is not None:
                found[f"trunk:{trunk}"] = known.max_channels
        return found

    def _render(
        self, name: str, version: int, content: dict[str, Any], variables: Mapping[str, str]
    ) -> RenderedPersona | None:
        key = _key(name, version, content, variables)
        if key not in self._rendered:
            if len(self._rendered) >= MAX_RENDERED:  # values may be callers': as many as there are
                self._rendered.clear()
            self._rendered[key] = _rendered(name, version, content, variables)
        return self._rendered[key]


def _key(
    name: str, version: int, content: dict[str, Any], variables: Mapping[str, str]
) -> tuple[Any, ...]:
    """A version's content never changes; a trial, version 0, has none of its own."""
    return (name, version, str(content) if not version else "", *sorted(variables.items()))


def _rendered(
    name: str, version: int, content: dict[str, Any], variables: Mapping[str, str]
) -> RenderedPersona | None:
    try:
        return read_persona(content).render(variables)
    except ValueError as error:  # a variable without a value, another release's form
        why = {"detail": type(error).__name__, "pii.detail": str(error)}  # quotes prompts
        log.error("persona_not_usable", persona=name, version=version, **why)
        return None


class _Personas(Mapping[str, Route]):
    """A view that is always that of the newest snapshot."""

    def __init__(self, routes: PublishedRoutes, only: Collection[str] | None) -> None:
        self._routes = routes
        self._only = only

    def __getitem__(self, name: str) -> Route:
        known = name.startswith(TRIAL_PREFIX) or name in self._routes.published(self._only)
        route = self._routes.of_persona(name) if known else None
        if route is None:
            raise KeyError(name)
        return route

    def __iter__(self) -> Iterator[str]:
        names = self._routes.published(self._only)
        return (name for name in names if self._routes.of_persona(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _nobody_listens() -> None:
    """The routes are read at every call."""


def _draw(call_id: str) -> float:
    """A number in [0, 1) that belongs to the call, so that asking again changes nothing."""
    return int.from_bytes(hashlib.sha256(call_id.encode()).digest()[:6], "big") / 2**48
