"""Whom browsers may call: published personas by their names, and drafts by their trials' names.

It decides on the snapshot in memory, so that what is published meanwhile counts for the next call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from callcenter.gateway.published import PublishedRoutes
from callcenter.gateway.routes import Route
from callcenter.published.routing import TRIAL_PREFIX


class PublishedCallees(Mapping[str, Route]):
    """Persona -> route, as it is now.

    Trials can be asked for by name and are not listed: their names are secrets.

    Args:
        routes: the newest snapshot.
        names: the only personas that browsers may call; empty for all.
    """

    def __init__(self, routes: PublishedRoutes, names: Sequence[str]) -> None:
        self._routes = routes
        self._names = frozenset(names)

    def __getitem__(self, name: str) -> Route:
        """The route to a persona or a trial; KeyError if nobody may answer under that name."""
        if self._names and name not in self._names and not name.startswith(TRIAL_PREFIX):
            raise KeyError(name)
        route = self._routes.of_persona(name)
        if route is None:
            raise KeyError(name)
        return route

    def __iter__(self) -> Iterator[str]:
        return (name for name in sorted(self._names or self._routes.personas()) if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
