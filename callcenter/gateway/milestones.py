"""The milestones of a call, put down in its record and in the log, whichever carrier it came by.

It knows neither how a call comes in nor how its slot is found.
"""

from __future__ import annotations

from dataclasses import asdict

import structlog

from callcenter.broker.claims import Claim
from callcenter.call.runner import CallResult
from callcenter.gateway.routes import Route
from callcenter.published.routing import IncomingCall
from callcenter.records.journal import Journal, Note

log = structlog.get_logger(__name__)


class Milestones:
    """Of one gateway's calls.

    Args:
        journal: where they are put down.
        gateway_id: this process.
    """

    def __init__(self, journal: Journal, gateway_id: str) -> None:
        self._journal = journal
        self._gateway_id = gateway_id

    def of(self, call_id: str) -> Note:
        """Puts down what happens between the milestones."""
        return self._journal.of(call_id)

    def announced(
        self, call_id: str, transport: str, call: IncomingCall, route: Route, claim: Claim
    ) -> None:
        """A slot is claimed; what counts for this call is pinned."""
        entry = {
            "transport": transport,
            "trunk": call.trunk,
            "called": call.called,
            "caller": call.caller,
            "route": route.name,
            "persona": route.persona.name,
            "persona_version": route.version,
            "voice": route.persona.voice,
            "voice_sha256": route.voice_sha256,
            "prompt_hash": route.persona.prompt_hash,
            "worker_id": claim.worker_id,
        }
        self._journal.note(call_id, "call_announced", entry)

    def began(self, call_id: str, route: Route, claim: Claim) -> None:
        """The call has its leg and its session."""
        places = {"gateway_id": self._gateway_id, "worker_id": claim.worker_id}
        self._journal.note(call_id, "call_began", places)
        log.info(
            "call_began",
            persona=route.persona.name,
            worker_id=claim.worker_id,
            engine=claim.kind,
            pool=claim.pool,
        )

    def refused(
        self, call_id: str, transport: str, call: IncomingCall, outcome: str, code: str
    ) -> None:
        """A caller who got no agent: turned away, gone while it rang, or on a broken line.

        `outcome` is a value of the metric `callcenter_calls_total`, `code` says why.
        """
        entry = {
            "transport": transport,
            "trunk": call.trunk,
            "called": call.called,
            "caller": call.caller,
            "gateway_id": self._gateway_id,
            "outcome": outcome,
            "code": code,
        }
        self._journal.note(call_id, "call_refused", entry)

    def ended(self, call_id: str, result: CallResult) -> None:
        """The call is over."""
        outcome = {
            "outcome": result.outcome.value,
            "code": result.code,
            "duration_s": round(result.duration_s, 3),
        }
        quality = asdict(result.quality) if result.quality else {}
        self._journal.note(call_id, "call_ended", {**outcome, "quality": quality})
        log.info("call_ended", **outcome)
