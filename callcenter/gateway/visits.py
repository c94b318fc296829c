"""Browser calls: who may call whom, and the call itself.

    page -> grant  (persona, origin)        -> visit token, ICE servers
    page -> connect(token, offer)           -> slot, answer, CallRunner
    page -> add_candidates(pc_id, ...)

It knows routes, the broker and the WebRTC leg; it does not know HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection

from callcenter import metrics
from callcenter.background import end_all
from callcenter.broker.claims import Claim
from callcenter.broker.once import Once
from callcenter.call.machine import Limits
from callcenter.call.runner import CallRunner
from callcenter.call.session import CallSession, LinkAccess, Slots, claim_slot, release_slot
from callcenter.errors import (
    BrokerUnavailable,
    NoCapacity,
    ProtocolError,
    Refused,
    Unauthorized,
)
from callcenter.gateway.live import LiveCalls
from callcenter.gateway.milestones import Milestones
from callcenter.gateway.quotas import Quotas
from callcenter.gateway.reception import open_session
from callcenter.gateway.routes import Route
from callcenter.published.routing import IncomingCall
from callcenter.records.journal import Journal
from callcenter.telephony.webrtc import visit
from callcenter.telephony.webrtc.leg import WebRtcLeg
from callcenter.telephony.webrtc.limits import VisitorLimits, visitor_of
from callcenter.telephony.webrtc.signaling import (
    Answer,
    Candidates,
    Offer,
    add_candidates,
    negotiate,
)
from callcenter.telephony.webrtc.turn import IcePlan, IceServer

TRANSPORT = "webrtc"
ID_BYTES = 18

log = structlog.get_logger(__name__)


class OriginRefused(Unauthorized):
    """Calls may not be placed from this page."""

    code = "origin_refused"


class TokenUsed(Unauthorized):
    """The visit token has served its one call."""

    code = "token_used"


class TokenUnchecked(TokenUsed):
    """Nobody can tell whether the visit token has served its call: Redis is away."""

    code = "token_unchecked"


class UnknownPersona(Refused):
    """No browser may call a persona of this name."""

    code = "unknown_persona"


@dataclass(frozen=True, slots=True)
class VisitPolicy:
    """The limits of browser calls, from the settings.

    Attributes:
        secret: signs visit tokens.
        origins: of pages that may place calls.
        token_ttl_s, max_call_s, max_calls, connect_timeout_s, max_audio_lead_s, phone: see the
            settings.
    """

    secret: str
    origins: frozenset[str]
    token_ttl_s: float
    max_call_s: float
    max_calls: int
    connect_timeout_s: float
    max_audio_lead_s: float
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a page needs to place one call."""

    token: str
    expires_in_s: float
    ice_servers: list[IceServer]
    title: str
    max_call_s: float
    phone: str


class Visits:
    """Browser calls of one gateway.

    Args:
        routes: persona -> route, for the personas that browsers may call.
        slots: the broker.
        live: all calls of this gateway.
        access: how to open links.
        limits: of one visitor.
        ice: STUN and TURN servers.
        policy: everything else that bounds a visit.
        journal: where calls are put down.
        quotas: the admins' limits.
        unix_time: clock of the tokens, seconds.
        once: where all gateways put down which visit tokens were used; without it none counts.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        slots: Slots,
        live: LiveCalls,
        access: LinkAccess,
        limits: VisitorLimits,
        ice: IcePlan,
        policy: VisitPolicy,
        journal: Journal,
        quotas: Quotas,
        unix_time: Callable[[], float] = time.time,
        once: Once | None = None,
    ) -> None:
        self.routes = routes
        self._slots = slots
        self._live = live
        self._access = access
        self._limits = limits
        self._ice = ice
        self._policy = policy
        self._milestones = Milestones(journal, access.gateway_id)
        self._quotas = quotas
        self._unix_time = unix_time
        self._once = once
        self._begun: set[str] = set()  # ids of calls, from their offer to their end
        self._legs: dict[str, WebRtcLeg] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def grant(self, persona: str, origin: str, address: str) -> Grant:
        """Allows a page one call.

        Args:
            persona: whom it wants to call.
            origin: of the page, as its browser says.
            address: of the visitor.

        Raises:
            OriginRefused, UnknownPersona, TooManyRequests: as they say.
            NoCapacity, Draining: no room on this gateway.
        """
        self._check_origin(origin)
        route = self._route(persona)
        visitor = visitor_of(address)
        self._limits.ask(visitor, time.monotonic())
        try:
            self._check_room()
        except Refused as refusal:
            self._turned_away(secrets.token_urlsafe(ID_BYTES), persona, visitor, refusal)
            raise
        now, policy = self._unix_time(), self._policy
        token = visit.VisitToken(
            visit_id=secrets.token_urlsafe(ID_BYTES),
            persona=persona,
            origin=origin,
            expires_at_s=now + policy.token_ttl_s,
        )
        return Grant(
            token=visit.sign(token, policy.secret),
            expires_in_s=policy.token_ttl_s,
            ice_servers=self._ice.servers(token.visit_id, now),
            title=route.persona.title,
            max_call_s=self._max_call_s(route),
            phone=policy.phone,
        )

    async def connect(self, offer: Offer, token_text: str, origin: str, address: str) -> Answer:
        """Begins the call that was granted.

        Raises:
            OriginRefused, TokenExpired, TokenUsed, Unauthorized, UnknownPersona: as they say.
            TokenUnchecked: Redis does not answer; the page may ask again with the same token.
            TooManyCalls, NoCapacity, Draining: no room for it.
            BrokerUnavailable: Redis does not answer.
            ProtocolError: the offer cannot be answered.
            NoRestart: it is for a connection that is there already.
        """
        self._check_origin(origin)
        offer.check_is_first()
        token = visit.verify(token_text, self._policy.secret, origin, self._unix_time())
        route, visitor = self._route(token.persona), visitor_of(address)
        with structlog.contextvars.bound_contextvars(call_id=token.visit_id):
            try:
                self._check_room()
                await self._use_up(token)
                self._check_room()  # others came while Redis was asked
                return await self._begin(offer, token, route, visitor)
            except TokenUsed:  # a page that asks twice, of a call that was counted
                raise
            except (Refused, BrokerUnavailable, ProtocolError) as trouble:
                self._turned_away(token.visit_id, token.persona, visitor, trouble)
                raise

    async def add_candidates(self, message: Candidates, origin: str) -> None:
        """Late addresses of a browser.

        Raises:
            OriginRefused: another page.
            ProtocolError: no such call, or no candidate.
        """
        self._check_origin(origin)
        leg = self._legs.get(message.pc_id)
        if leg is None:
            raise ProtocolError("there is no such connection: it may have ended")
        await add_candidates(leg, message)

    async def close(self) -> None:
        """Ends every browser call, telling its page; at the end of the process."""
        await self._live.drain(0.0)
        await end_all(self._tasks)

    # --- checks -----------------------------------------------------------------------------------

    def _check_origin(self, origin: str) -> None:
        if origin not in self._policy.origins:
            raise OriginRefused(
                "calls may not be placed from this page; its origin must be in WEBRTC_ORIGINS"
            )

    def _check_room(self) -> None:
        self._live.check_room()
        if len(self._begun) >= self._policy.max_calls:
            raise NoCapacity(f"{self._policy.max_calls} browser calls (WEBRTC_MAX_CALLS)")

    async def _use_up(self, token: visit.VisitToken) -> None:
        """A token is good for one call in the whole installation, or, in doubt, for none."""
        left_s = token.expires_at_s - self._unix_time()
        try:
            if self._once is None:
                raise BrokerUnavailable("there is no register of used tokens")
            first = await self._once.is_first("visit", token.visit_id, left_s)
        except BrokerUnavailable as error:
            raise TokenUnchecked(
                f"whether the visit token was used can't be told: {error}"
            ) from None
        if not first:
            raise TokenUsed("the visit token has been used")

    def _route(self, persona: str) -> Route:
        route = self.routes.get(persona)
        if route is None:
            raise UnknownPersona("no persona of that name may be called from a browser")
        return route

    def _max_call_s(self, route: Route) -> float:
        return min(self._policy.max_call_s, route.persona.limits.max_call_s)

    # --- the call ---------------------------------------------------------------------------------

    async def _begin(
        self, offer: Offer, token: visit.VisitToken, route: Route, visitor: str
    ) -> Answer:
        call_id = token.visit_id
        async with AsyncExitStack() as undo:
            self._begun.add(call_id)
            undo.callback(self._begun.discard, call_id)
            self._limits.begin(visitor)
            undo.callback(self._limits.end, visitor)
            await undo.enter_async_context(self._quotas.place(call_id, route.limits))
            claim = await claim_slot(
                self._slots, call_id, route.persona.prompt_hash, self._access.gateway_id
            )
            undo.push_async_callback(release_slot, self._slots, call_id, claim)
            leg = WebRtcLeg(self._connection(call_id), {"persona": token.persona})
            undo.push_async_callback(leg.close, "refused")
            pc_id = secrets.token_urlsafe(ID_BYTES)
            answer = await negotiate(leg, offer, pc_id)
            self._legs[pc_id] = leg
            undo.callback(self._legs.pop, pc_id)
            call = IncomingCall(TRANSPORT, token.persona, visitor)
            self._milestones.announced(call_id, TRANSPORT, call, route, claim)
            self._milestones.began(call_id, route, claim)
            runner = self._runner(leg, route, claim, call_id)
            task = asyncio.create_task(self._carry(runner, call_id, undo.pop_all()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return answer

    def _turned_away(self, call_id: str, persona: str, visitor: str, trouble: Exception) -> None:
        """A visitor who got no agent, in the metrics and in the record."""
        outcome, code = "rejected_capacity", "broker_unavailable"
        if isinstance(trouble, Refused):
            code = trouble.code
        else:
            outcome = "failed"
            code = "bad_offer" if isinstance(trouble, ProtocolError) else code
        metrics.CALLS.labels(TRANSPORT, outcome).inc()
        call = IncomingCall(TRANSPORT, persona, visitor)
        self._milestones.refused(call_id, TRANSPORT, call, outcome, code)

    def _connection(self, call_id: str) -> RTCPeerConnection:
        servers = [
            RTCIceServer(list(server.urls), server.username, server.credential)
            for server in self._ice.servers(call_id, self._unix_time())
        ]
        return RTCPeerConnection(RTCConfiguration(iceServers=servers))

    def _runner(self, leg: WebRtcLeg, route: Route, claim: Claim, call_id: str) -> CallRunner:
        limits = Limits(
            start_timeout_s=self._policy.connect_timeout_s,
            max_call_s=self._max_call_s(route),
        )
        session = CallSession(open_session(call_id, route), claim, self._slots, self._access)
        note = self._milestones.of(call_id)
        return CallRunner(leg, session, limits, self._policy.max_audio_lead_s, note=note)

    async def _carry(self, runner: CallRunner, call_id: str, end: AsyncExitStack) -> None:
        async with end:
            with self._live.carrying(call_id, runner):
                result = await runner.run()
        self._milestones.ended(call_id, result)
