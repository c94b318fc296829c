"""Routes from the published configuration: kept in memory, brought up to date in the background.

Every call is decided on the snapshot that is in memory, so nothing here waits for Redis, the admin
app or its database: without them the last configuration counts. A new snapshot is rendered before
it replaces the old one, and one that cannot be read replaces nothing.
"""

from __future__ import annotations

import hashlib
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
BROWSER = "webrtc"

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
        self._rendered: dict[tuple[Any, ...], RenderedPersona | None] = {}

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

    def by_persona(self, only: Collection[str] = ()) -> Mapping[str, Route]:
        """The published personas that browsers may call, and trials by their made-up numbers.

        Args:
            only: names; none for all.
        """
        return _Personas(self, only)

    def published(self, only: Collection[str]) -> list[str]:
        """Names of the personas that are published now."""
        return [name for name in self._snapshot.current if not only or name in only]

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

    async def refresh(self) -> None:
        """Takes over what is published now; with Redis away, what is in memory stays."""
        try:
            if await self._board.revision() == self._snapshot.revision:
                return
            snapshot = await self._board.snapshot()
        except BrokerUnavailable as error:
            log.warning("configuration_unchanged", detail=str(error))
            return
        if snapshot is not None and snapshot.revision != self._snapshot.revision:
            self._take_over(snapshot)

    def _take_over(self, snapshot: Snapshot) -> None:
        self._snapshot, self._rendered = snapshot, {}
        for persona in snapshot.personas:
            self._render(persona.name, persona.version, persona.content, {})
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
        key = (name, version, str(content) if not version else "", *sorted(variables.items()))
        if key not in self._rendered:
            try:
                self._rendered[key] = read_persona(content).render(variables)
            except ValueError as error:  # a variable without a value, another release's form
                log.error("persona_not_usable", persona=name, version=version, detail=str(error))
                self._rendered[key] = None
        return self._rendered[key]


class _Personas(Mapping[str, Route]):
    """A view that is always that of the newest snapshot."""

    def __init__(self, routes: PublishedRoutes, only: Collection[str]) -> None:
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
