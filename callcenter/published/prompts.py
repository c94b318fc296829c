"""The prompts that calls will bring, as far as a snapshot tells: so that they are ready before.

It knows no worker and no engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from callcenter.published.documents import PersonasTarget, Route
from callcenter.published.snapshot import Snapshot, read_persona
from personas.schema import RenderedPersona


@dataclass(frozen=True, slots=True)
class Prompt:
    """A persona as calls will ask for it.

    Attributes:
        voice_sha256: of the published clip; "" if its voice is not published.
    """

    persona: RenderedPersona
    voice_sha256: str

    @property
    def key(self) -> tuple[str, str]:
        """What an engine's snapshot depends on."""
        return self.persona.prompt_hash, self.voice_sha256


def prompts(snapshot: Snapshot) -> list[Prompt]:
    """Of all personas that are published or that routes name, without those of blocked voices.

    A persona with a variable that only a call fills in is left out.
    """
    contents = {(persona.name, persona.version): persona.content for persona in snapshot.personas}
    usable = {voice.name: voice.sha256 for voice in snapshot.voices if not voice.blocked}
    found: dict[tuple[str, str], Prompt] = {}
    for name, version, variables in _uses(snapshot):
        persona = _rendered(contents.get((name, version)), variables)
        if persona is not None and persona.voice in usable:
            prompt = Prompt(persona, usable[persona.voice])
            found[prompt.key] = prompt
    return list(found.values())


def _uses(snapshot: Snapshot) -> Iterator[tuple[str, int, dict[str, str]]]:
    for name, version in snapshot.current.items():
        yield name, version, {}
    for route in snapshot.routes:
        yield from _uses_of(route, snapshot)


def _uses_of(route: Route, snapshot: Snapshot) -> Iterator[tuple[str, int, dict[str, str]]]:
    for target in (route.target, *route.overflow):
        if isinstance(target, PersonasTarget):
            for choice in target.personas:
                version = choice.version or snapshot.current.get(choice.persona, 0)
                yield choice.persona, version, dict(choice.variables)


def _rendered(content: dict[str, Any] | None, variables: dict[str, str]) -> RenderedPersona | None:
    """None where values are missing that only a call brings."""
    if content is None:
        return None
    try:
        return read_persona(content).render(variables)
    except ValueError:
        return None
