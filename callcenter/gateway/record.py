"""What a gateway puts down about a call for its record, whatever the carrier.

It knows shapes only; the journal carries them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from callcenter.broker.claims import Claim
from callcenter.call.runner import CallResult
from callcenter.gateway.routes import Route


def announced(trunk: str, called: str, caller: str, route: Route, claim: Claim) -> dict[str, Any]:
    """What is pinned when a call is claimed."""
    return {
        "trunk": trunk,
        "called": called,
        "caller": caller,
        "route": route.name,
        "persona": route.persona.name,
        "persona_version": route.version,
        "voice": route.persona.voice,
        "voice_sha256": route.voice_sha256,
        "prompt_hash": route.persona.prompt_hash,
        "worker_id": claim.worker_id,
    }


def began(gateway_id: str, claim: Claim) -> dict[str, Any]:
    """Who carries the call."""
    return {"gateway_id": gateway_id, "worker_id": claim.worker_id}


def ended(result: CallResult) -> dict[str, Any]:
    """How the call went."""
    return {
        "outcome": result.outcome.value,
        "code": result.code,
        "duration_s": round(result.duration_s, 3),
        "quality": asdict(result.quality) if result.quality else {},
    }
