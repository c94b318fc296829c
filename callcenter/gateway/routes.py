"""Which number is answered by which persona: a YAML file, read once at start-up.

It knows the personas' names and variables, so that a wrong route stops the start and not a call.
It does not know carriers, slots or workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from callcenter.errors import ConfigurationError
from callcenter.published import number as numbers
from callcenter.published.documents import MessageTarget, RejectTarget, TransferTarget
from callcenter.published.routing import IncomingCall
from personas.errors import PersonaError
from personas.library import Library
from personas.schema import Limits, RenderedPersona, Sampling


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Target(_Strict):
    persona: str
    variables: dict[str, str] = Field(default_factory=dict)
    transfer_to: str | None = None

    @field_validator("transfer_to")
    @classmethod
    def _check_transfer_to(cls, value: str | None) -> str | None:
        return None if value is None else normalised(value)


class _NumberRoute(_Target):
    number: str

    @field_validator("number")
    @classmethod
    def _check_number(cls, value: str) -> str:
        return address(value)


class _File(_Strict):
    routes: list[_NumberRoute] = Field(default_factory=list)
    default: _Target | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Where a number leads.

    Attributes:
        persona: rendered; every call on this route shares its prompt and so its snapshot.
        transfer_to: where a handoff goes; None leaves it to the carrier's fallback verb.
        name: of the published route; "" for one of a file.
        version: of the persona: the published number, or its content hash.
        voice_sha256: of the published clip; "" if the voice is not published.
        limits: those that count this call: name -> calls at once.
    """

    persona: RenderedPersona
    transfer_to: str | None
    name: str = ""
    version: str = ""
    voice_sha256: str = ""
    limits: Mapping[str, int] = field(default_factory=dict)

    def pinned(self) -> dict[str, Any]:
        """The route as JSON data: a call keeps it, whatever is published after its claim."""
        persona = self.persona
        return {
            "transfer_to": self.transfer_to,
            "name": self.name,
            "version": self.version,
            "voice_sha256": self.voice_sha256,
            "limits": dict(self.limits),
            "persona": {
                **{name: getattr(persona, name) for name in persona.__dataclass_fields__},
                "sampling": persona.sampling.model_dump(),
                "limits": persona.limits.model_dump(),
            },
        }

    @staticmethod
    def unpinned(data: Mapping[str, Any]) -> Route:
        """The opposite of `pinned`."""
        persona = dict(data["persona"])
        persona["sampling"] = Sampling(**persona["sampling"])
        persona["limits"] = Limits(**persona["limits"])
        return Route(**{**data, "persona": RenderedPersona(**persona)})


Choice = Route | TransferTarget | MessageTarget | RejectTarget


class RouteSource(Protocol):
    """Whoever says what to do with a call."""

    def plan(self, call_id: str, call: IncomingCall) -> tuple[Choice, ...]:
        """The choices in order: the first one that works counts; none refuses the call."""
        ...


@dataclass(frozen=True)
class Routes:
    """All routes.

    Attributes:
        by_number: E.164 number, SIP address or client -> route.
        default: for every other number; None refuses those calls.
    """

    by_number: Mapping[str, Route]
    default: Route | None

    def find(self, called: str) -> Route | None:
        """The route of a dialled number in any common spelling."""
        return numbers.find_in(self.by_number, called) or self.default

    def plan(self, call_id: str, call: IncomingCall) -> tuple[Choice, ...]:
        """The one route of the dialled number, if any."""
        route = self.find(call.called)
        return () if route is None else (route,)

    def by_persona(self) -> dict[str, Route]:
        """The first route of each persona, by the persona's name."""
        found: dict[str, Route] = {}
        routes = [*self.by_number.values(), *([self.default] if self.default else [])]
        for route in routes:
            found.setdefault(route.persona.name, route)
        return found


def load(path: Path, library: Library) -> Routes:
    """Reads a routes file and renders the persona of every route.

    Raises:
        ConfigurationError: names the file and the field that is wrong.
    """
    file = _read(path)
    by_number: dict[str, Route] = {}
    for index, target in enumerate(file.routes):
        place = f"{path}: routes[{index}]"
        if target.number in by_number:
            raise ConfigurationError(f"{place}.number: {target.number} has a route already")
        by_number[target.number] = _route(place, target, library)
    default = _route(f"{path}: default", file.default, library) if file.default else None
    if not by_number and default is None:
        raise ConfigurationError(f"{path}: neither routes nor a default: nobody would be answered")
    return Routes(by_number, default)


def normalised(number: str) -> str:
    """A telephone number in E.164.

    Raises:
        ValueError: it is not one.
    """
    bare = numbers.canonical(number)
    if not numbers.E164.fullmatch(bare):
        raise ValueError("must be an E.164 number in quotes, such as '+15550100'")
    return bare


def address(text: str) -> str:
    """What can be dialled: a number in E.164, a SIP address, or one of Twilio's clients.

    Raises:
        ValueError: it is none of them.
    """
    if text.lower().startswith(("sip:", "sips:", "client:")):
        return numbers.canonical(text)
    return normalised(text)


def _read(path: Path) -> _File:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not YAML: {error}") from None
    try:
        return _File.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {place}: {first['msg']}") from None


def _route(place: str, target: _Target, library: Library) -> Route:
    try:
        persona = library[target.persona].render(target.variables)
    except PersonaError as error:
        raise ConfigurationError(f"{place}: {error}") from None
    return Route(persona, target.transfer_to, version=persona.version)
