"""The route simulator: where would a call go, and why; the gateways' own code decides."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from callcenter.admin.api.common import ERRORS, WorkIn
from callcenter.admin.problems import invalid
from callcenter.admin.publishing import build
from callcenter.admin.security.gate import ApiRoute, needs
from callcenter.published.routing import Action, Answer, IncomingCall, decide

Word = Annotated[str, StringConstraints(max_length=120)]

routes = APIRouter(prefix="/v1", tags=["routes"], route_class=ApiRoute, responses=ERRORS)


class SimulatedCall(BaseModel):
    """A call that might come.

    Attributes:
        at: when; now by default.
        draw: picks among weighted personas: 0 takes the first one's share, 0.99 the last one's.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    called: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    caller: Word = ""
    trunk: Word = "twilio"
    headers: Annotated[dict[Word, Word], Field(max_length=50)] = {}
    at: datetime | None = None
    draw: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


class SimulatedStep(BaseModel):
    """What was looked at, whether it took the call, and why."""

    subject: str
    taken: bool
    why: str


class SimulatedAction(BaseModel):
    """What would be done; the first one that has room is.

    Attributes:
        kind: answer, transfer, message or reject.
        detail: the persona's version, the number, the text or the reason.
    """

    kind: str
    persona: str | None
    version: int | None
    detail: str


class Simulation(BaseModel):
    """Where the call would go."""

    route: str
    answered: bool
    actions: list[SimulatedAction]
    steps: list[SimulatedStep]


@routes.post("/routes:simulate", openapi_extra=needs("viewer", changes=False))
async def simulate_route(body: SimulatedCall, work: WorkIn) -> Simulation:
    """Routes a made-up call by the configuration as it is now."""
    at = body.at or work.now
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if not 1970 < at.year < 2200:
        raise invalid("give a moment between 1971 and 2199", "/at")
    call = IncomingCall(body.trunk, body.called, body.caller, body.headers)
    decision = decide(await build(work.db, work.now), call, at, body.draw)
    return Simulation(
        route=decision.route,
        answered=any(isinstance(action, Answer) for action in decision.actions),
        actions=[_shown(action) for action in decision.actions],
        steps=[
            SimulatedStep(subject=step.subject, taken=step.taken, why=step.why)
            for step in decision.steps
        ],
    )


def _shown(action: Action) -> SimulatedAction:
    fields: dict[str, Any] = {"persona": None, "version": None}
    if isinstance(action, Answer):
        name, version = action.persona.name, action.persona.version
        return SimulatedAction(
            kind="answer", persona=name, version=version, detail=f"{name} version {version}"
        )
    detail = {"transfer": "to", "message": "text", "reject": "reason"}[action.kind]
    return SimulatedAction(kind=action.kind, detail=getattr(action, detail), **fields)
