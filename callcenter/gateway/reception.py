"""Answers a carrier's announcement of a call, and admits the media socket that follows.

    announcement -> route -> slot -> one-time address        (the webhook, once or twice)
    one-time address -> grant -> CallRunner                  (the socket, once)

It knows routes, the broker and grants; it does not know HTTP, nor signatures.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus

import structlog

from callcenter import metrics, tracing
from callcenter.broker.claims import Claim
from callcenter.call.machine import Limits
from callcenter.call.runner import CallRunner
from callcenter.call.session import CallSession, LinkAccess, Slots, claim_slot, release_slot
from callcenter.errors import BrokerUnavailable, ProtocolError, Refused
from callcenter.gateway.live import LiveCalls
from callcenter.gateway.routes import Route, Routes
from callcenter.link.protocol import OpenSession, Sampling
from callcenter.telephony.leg import Leg
from callcenter.telephony.twilio.control import Fallback, connect_twiml, say_twiml, socket_url
from callcenter.telephony.twilio.grants import StreamGrant, StreamGrants

TRANSPORT = "twilio"
MEDIA_PATH = "/twilio/media"
NO_ROUTE_MESSAGE = "This number is not in service."

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the carrier says about a call before its media.

    Attributes:
        call_sid: Twilio's name of the call; also our call id.
        called: the number that was dialled.
        caller: who calls; personal data.
        signature: of the webhook, so that its repetition is known.
    """

    call_sid: str
    called: str
    caller: str
    signature: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and TwiML."""

    status: int
    twiml: str


@dataclass(frozen=True, slots=True)
class Policy:
    """The gateway's limits and words, from its settings.

    Attributes:
        public_base_url: under which the carrier reaches this gateway.
        fallback: what the caller gets when the gateway closes the socket.
        no_capacity_status, no_capacity_message: the answer when every slot is taken.
        start_timeout_s, max_call_s, max_audio_lead_s: see the settings of these names.
    """

    public_base_url: str
    fallback: Fallback
    no_capacity_status: int
    no_capacity_message: str
    start_timeout_s: float
    max_call_s: float
    max_audio_lead_s: float


class Reception:
    """Announcements in, answers and runners out."""

    def __init__(
        self,
        routes: Routes,
        slots: Slots,
        grants: StreamGrants,
        live: LiveCalls,
        access: LinkAccess,
        policy: Policy,
    ) -> None:
        self._routes = routes
        self._slots = slots
        self._grants = grants
        self._live = live
        self._access = access
        self._policy = policy

    async def announce(self, call: Announcement) -> Answer:
        """Finds a persona and a slot for a call; the same announcement gets the same answer."""
        log.info("call_announced", **{"pii.called": call.called, "pii.caller": call.caller})
        route = self._routes.find(call.called)
        if route is None:
            log.warning("no_route", **{"pii.called": call.called})
            metrics.CALLS.labels(TRANSPORT, "rejected").inc()
            return Answer(HTTPStatus.OK, say_twiml(NO_ROUTE_MESSAGE))
        try:
            earlier = await self._grants.recall_answer(call.call_sid, call.signature)
            if earlier is not None:
                log.info("announcement_repeated")
                return Answer(HTTPStatus.OK, earlier)
            self._live.check_room()
            with tracing.span("call.announce", call.call_sid, persona=route.persona.name):
                return Answer(HTTPStatus.OK, await self._connect(call, route))
        except Refused as refusal:
            return self._busy("rejected_capacity", refusal.code, str(refusal))
        except BrokerUnavailable as error:
            return self._busy("failed", "broker_unavailable", str(error))

    async def admit(self, token: str) -> StreamGrant:
        """Exchanges a one-time auth token for what was granted.

        Raises:
            Unauthorized: unknown, expired or used.
            AlreadyConnected: the call has a media socket.
            NoCapacity, Draining: no room on this gateway; the token stays good for another one.
            BrokerUnavailable: Redis does not answer.
        """
        self._live.check_room()
        grant = await self._grants.redeem(token)
        self._live.check_new(grant.call_sid)
        return grant

    async def carry(self, leg: Leg, grant: StreamGrant) -> None:
        """Runs the call on an open leg until it ends."""
        route = self._routes.find(grant.called)
        claim = Claim(**grant.claim)
        if route is None:  # the gateway that announced the call has other routes
            log.error("no_route", **{"pii.called": grant.called})
            await release_slot(self._slots, grant.call_sid, claim)
            await leg.close("no_route")
            return
        runner = self._runner(leg, grant, route, claim)
        with self._live.carrying(grant.call_sid, runner):
            log.info(
                "call_began",
                persona=route.persona.name,
                worker_id=claim.worker_id,
                engine=claim.kind,
                pool=claim.pool,
            )
            result = await runner.run()
        log.info(
            "call_ended",
            outcome=result.outcome.value,
            code=result.code,
            duration_s=round(result.duration_s, 3),
        )

    async def _connect(self, call: Announcement, route: Route) -> str:
        claim = await claim_slot(
            self._slots, call.call_sid, route.persona.prompt_hash, self._access.gateway_id
        )
        token = await self._grants.issue(
            StreamGrant(call.call_sid, call.called, call.caller, time.time(), asdict(claim))
        )
        twiml = connect_twiml(
            socket_url(self._policy.public_base_url, f"{MEDIA_PATH}/{token}"),
            {"persona": route.persona.name},
            self._policy.fallback,
        )
        return await self._grants.remember_answer(call.call_sid, call.signature, twiml)

    def _busy(self, outcome: str, code: str, detail: str) -> Answer:
        log.warning("call_refused", code=code, detail=detail)
        metrics.CALLS.labels(TRANSPORT, outcome).inc()
        metrics.REFUSALS.labels(TRANSPORT, code).inc()
        return Answer(self._policy.no_capacity_status, say_twiml(self._policy.no_capacity_message))

    def _runner(self, leg: Leg, grant: StreamGrant, route: Route, claim: Claim) -> CallRunner:
        limits = Limits(
            start_timeout_s=self._policy.start_timeout_s,
            max_call_s=min(self._policy.max_call_s, route.persona.limits.max_call_s),
            transfer_number=route.transfer_to,
        )
        return CallRunner(
            leg,
            CallSession(open_session(grant.call_sid, route), claim, self._slots, self._access),
            limits,
            self._policy.max_audio_lead_s,
            announced_ago_s=time.time() - grant.received_at_s,
        )


def read_announcement(form: Mapping[str, str], signature: str) -> Announcement:
    """Reads a voice webhook's form.

    Raises:
        ProtocolError: a field that every voice webhook has is missing.
    """
    call_sid = form.get("CallSid", "")
    if not (call_sid.isascii() and call_sid.isalnum() and len(call_sid) <= 64):
        raise ProtocolError("the webhook has no usable CallSid: is it a voice webhook?")
    if not form.get("To"):
        raise ProtocolError("the webhook has no To: is it a voice webhook?")
    return Announcement(call_sid, form["To"], form.get("From", ""), signature)


def open_session(call_id: str, route: Route) -> OpenSession:
    """What the worker must know; the seed comes from the call, so that a replay says the same."""
    persona = route.persona
    seed = int.from_bytes(hashlib.sha256(call_id.encode()).digest()[:8], "big") >> 1
    return OpenSession(
        call_id=call_id,
        persona=persona.name,
        persona_version=persona.version,
        role_text=persona.role_text,
        voice=persona.voice,
        greeting=persona.greeting,
        prompt_hash=persona.prompt_hash,
        seed=seed,
        sampling=Sampling(**persona.sampling.model_dump()),
        dialogue=persona.dialogue,
    )
