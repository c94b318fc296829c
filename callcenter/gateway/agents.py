"""Agents for programs that bring their own callers, such as pipecat pipelines.

    async with agents(redis_url=..., link_secret=...) as found:
        service = PersonaPlexService(found.caller("bank"))

It joins the broker, the personas and the call runner; the caller's side is a `Leg`.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.call.machine import Limits
from callcenter.call.runner import CallResult, CallRunner
from callcenter.call.session import CallSession, LinkAccess, Slots, claim_slot
from callcenter.gateway.reception import open_session
from callcenter.gateway.routes import Route
from callcenter.telephony.leg import Leg
from personas import library

ID_BYTES = 18
START_TIMEOUT_S = 5.0
MAX_AUDIO_LEAD_S = 2.0
TOKEN_TTL_S = 30.0
OPEN_TIMEOUT_S = 5.0


class Agents:
    """Whom a leg can be connected with.

    Args:
        personas: by name.
        slots: the broker.
        access: how to open links.
    """

    def __init__(self, personas: library.Library, slots: Slots, access: LinkAccess) -> None:
        self._personas = personas
        self._slots = slots
        self._access = access

    def caller(
        self, persona: str, variables: Mapping[str, str] | None = None
    ) -> Callable[[Leg], Awaitable[CallResult]]:
        """A function that carries one leg's call with this persona, to its end.

        It raises NoCapacity or BrokerUnavailable when there is no agent.

        Raises:
            PersonaError: there is no such persona, or its variables are not these.
        """
        route = Route(self._personas[persona].render(dict(variables or {})), transfer_to=None)

        async def carry(leg: Leg) -> CallResult:
            return await self._carry(leg, route)

        return carry

    async def _carry(self, leg: Leg, route: Route) -> CallResult:
        call_id = secrets.token_urlsafe(ID_BYTES)
        claim = await claim_slot(
            self._slots, call_id, route.persona.prompt_hash, self._access.gateway_id
        )
        session = CallSession(open_session(call_id, route), claim, self._slots, self._access)
        limits = Limits(START_TIMEOUT_S, route.persona.limits.max_call_s)
        return await CallRunner(leg, session, limits, MAX_AUDIO_LEAD_S).run()


@asynccontextmanager
async def agents(
    *,
    redis_url: str,
    link_secret: str,
    pools: Sequence[str] = ("main",),
    personas: library.Library | None = None,
) -> AsyncIterator[Agents]:
    """Connects to the broker, as a gateway does.

    Args:
        redis_url: of the broker.
        link_secret: the secret that the workers hold.
        pools: worker pools in order of preference.
        personas: those that come with the package when left out.
    """
    redis = connect(redis_url)
    pool, *overflow = pools
    access = LinkAccess(
        gateway_id=f"agents-{secrets.token_hex(3)}",
        secret=link_secret,
        token_ttl_s=TOKEN_TTL_S,
        open_timeout_s=OPEN_TIMEOUT_S,
    )
    try:
        yield Agents(personas or library.load(), Broker(redis, pool, overflow=overflow), access)
    finally:
        await redis.aclose()
