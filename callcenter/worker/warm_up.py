"""Takes the personas' prompts in before the first call comes.

A duplex engine computes a prompt once and keeps the result; done at start, no caller waits for it.
An engine that has no prompt work is through at once. It knows no call and no settings.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog

from callcenter import metrics
from engine.interface import Engine, NoFreeSlot, PromptRejected, SessionSpec
from personas.errors import PersonaError
from personas.schema import Persona, RenderedPersona

PRIME_PAUSE_S = 0.001  # an engine that prepares in threads of its own needs the time

log = structlog.get_logger(__name__)


def rendered(personas: Iterable[Persona]) -> list[RenderedPersona]:
    """The personas with their variables' defaults, but for those that need a call's value.

    Calls whose route sets other values have other prompts; these are computed with the first call.
    """
    found = []
    for persona in personas:
        try:
            found.append(persona.render())
        except PersonaError as error:
            log.info("persona_not_warmed_up", persona=persona.name, why=str(error))
    return found


def warm_up(engine: Engine, personas: Iterable[RenderedPersona]) -> list[str]:
    """Has the engine compute each prompt once, in a slot that is free again afterwards.

    Args:
        engine: not yet ticking; every slot is free.
        personas: whose prompts.

    Returns:
        The names (prompt hashes) of those that the engine took in. One that it refuses is logged:
        its calls will be refused with the same words, the others can be answered.
    """
    return [persona.prompt_hash for persona in personas if _prime(engine, persona)]


def session_of(persona: RenderedPersona, name: str) -> SessionSpec:
    """A session of the worker's own, for no call."""
    return SessionSpec(
        session_id=name,
        persona=persona.name,
        role_text=persona.role_text,
        voice=persona.voice,
        greeting=persona.greeting,
        dialogue=persona.dialogue,
    )


def _prime(engine: Engine, persona: RenderedPersona) -> bool:
    began_s = time.monotonic()
    slot = None
    try:
        slot = engine.admit(session_of(persona, f"warm-up of {persona.name}"))
        while slot not in engine.prime():
            time.sleep(PRIME_PAUSE_S)
    except (PromptRejected, NoFreeSlot) as error:
        log.warning("persona_refused", persona=persona.name, why=str(error))
        return False
    finally:
        if slot is not None:
            engine.release(slot)
    elapsed_s = time.monotonic() - began_s
    metrics.ENGINE_PROMPT_PREFILL_SECONDS.labels(engine.kind).observe(elapsed_s)
    log.info("persona_warmed_up", persona=persona.name, seconds=round(elapsed_s, 3))
    return True
