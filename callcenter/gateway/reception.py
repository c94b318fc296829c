"""Answers a carrier's announcement of a call, and admits the media socket that follows.

    announcement -> route -> slot -> one-time address        (the webhook, once or twice)
    one-time address -> grant -> CallRunner                  (the socket, once)

It knows routes, the broker and grants; it does not know HTTP, nor signatures.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus

import structlog

from callcenter import metrics, tracing
from callcenter.broker.claims import Claim
from callcenter.call.machine import Limits
from callcenter.call.runner import CallRunner
from callcenter.call.session import CallSession, LinkAccess, Slots, claim_slot
from callcenter.errors import BrokerUnavailable, NoCapacity, ProtocolError, Refused
from callcenter.gateway.live import LiveCalls
from callcenter.gateway.milestones import Milestones
from callcenter.gateway.quotas import Quotas
from callcenter.gateway.routes import Choice, Route, RouteSource
from callcenter.link.protocol import OpenSession, Sampling
from callcenter.published import number as numbers
from callcenter.published.documents import MessageTarget, RejectTarget, TransferTarget
from callcenter.published.routing import IncomingCall
from callcenter.records.journal import Journal
from callcenter.telephony.leg import Leg
from callcenter.telephony.twilio.control import (
    Fallback,
    connect_twiml,
    dial_twiml,
    reject_twiml,
    say_twiml,
    socket_url,
)
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
        routes: RouteSource,
        slots: Slots,
        grants: StreamGrants,
        live: LiveCalls,
        access: LinkAccess,
        policy: Policy,
        journal: Journal,
        quotas: Quotas,
    ) -> None:
        self._milestones = Milestones(journal, access.gateway_id)
        self._quotas = quotas
        self._routes = routes
        self._slots = slots
        self._grants = grants
        self._live = live
        self._access = access
        self._policy = policy

    async def announce(self, call: Announcement) -> Answer:
        """Finds a persona and a slot for a call.

        The same announcement gets the same answer for as long as its address is good, and none of
        it after that.
        """
        log.info("call_announced", **{"pii.called": call.called, "pii.caller": call.caller})
        if await self._grants.is_replay(call.call_sid, call.signature):
            log.warning("webhook_replayed")
            metrics.REFUSALS.labels(TRANSPORT, "webhook_replayed").inc()
            return Answer(HTTPStatus.FORBIDDEN, reject_twiml("rejected"))
        incoming = _incoming(call)
        choices = self._routes.plan(call.call_sid, incoming)
        if not choices:
            log.warning("no_route", **{"pii.called": call.called})
            metrics.CALLS.labels(TRANSPORT, "rejected").inc()
            self._milestones.refused(call.call_sid, TRANSPORT, incoming, "rejected", "no_route")
            return Answer(HTTPStatus.OK, say_twiml(NO_ROUTE_MESSAGE))
        try:
            earlier = await self._grants.recall_answer(call.call_sid, call.signature)
            if earlier is not None:
                log.info("announcement_repeated")
                return Answer(HTTPStatus.OK, earlier)
            self._live.check_room()
            with tracing.span("call.announce", call.call_sid):
                return await self._first_that_works(call, choices)
        except Refused as refusal:
            return self._busy(call, "rejected_capacity", refusal.code, str(refusal))
        except BrokerUnavailable as error:
            return self._busy(call, "failed", "broker_unavailable", str(error))

    async def _first_that_works(self, call: Announcement, choices: Sequence[Choice]) -> Answer:
        """Goes along the overflow chain; raises what the last persona's slot was refused for."""
        refusal: Refused | BrokerUnavailable | None = None
        for choice in choices:
            if not isinstance(choice, Route):
                log.info("call_not_for_a_persona", kind=choice.kind)
                outcome = "transferred" if choice.kind == "transfer" else "rejected"
                metrics.CALLS.labels(TRANSPORT, outcome).inc()
                self._milestones.refused(
                    call.call_sid, TRANSPORT, _incoming(call), outcome, f"route_{choice.kind}"
                )
                return Answer(HTTPStatus.OK, _twiml_of(choice))
            try:
                return Answer(HTTPStatus.OK, await self._connect(call, choice))
            except (Refused, BrokerUnavailable) as error:  # no slot: on to the next in the chain
                refusal = error
        raise refusal or NoCapacity("no choice is left")

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
        route, claim = Route.unpinned(grant.pin), Claim(**grant.claim)
        runner = self._runner(leg, grant, route, claim)
        with self._live.carrying(grant.call_sid, runner):
            self._milestones.began(grant.call_sid, route, claim)
            async with self._quotas.held(grant.call_sid, route.limits):
                result = await runner.run()
        self._milestones.ended(grant.call_sid, result)

    async def _connect(self, call: Announcement, route: Route) -> str:
        await self._quotas.enter(call.call_sid, route.limits)
        try:
            claim = await claim_slot(
                self._slots, call.call_sid, route.persona.prompt_hash, self._access.gateway_id
            )
        except (Refused, BrokerUnavailable):  # the place is for whoever gets a slot
            await self._quotas.leave(call.call_sid, route.limits)
            raise
        token = await self._grants.issue(
            StreamGrant(
                call_sid=call.call_sid,
                called=call.called,
                caller=call.caller,
                received_at_s=time.time(),
                claim=asdict(claim),
                pin=route.pinned(),
            )
        )
        self._milestones.announced(call.call_sid, TRANSPORT, _incoming(call), route, claim)
        twiml = connect_twiml(
            socket_url(self._policy.public_base_url, f"{MEDIA_PATH}/{token}"),
            {"persona": route.persona.name},
            self._policy.fallback,
        )
        return await self._grants.remember_answer(call.call_sid, call.signature, twiml)

    def _busy(self, call: Announcement, outcome: str, code: str, detail: str) -> Answer:
        log.warning("call_refused", code=code, detail=detail)
        self._milestones.refused(call.call_sid, TRANSPORT, _incoming(call), outcome, code)
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
            note=self._milestones.of(grant.call_sid),
        )


def _incoming(call: Announcement) -> IncomingCall:
    """What routes may look at."""
    return IncomingCall(TRANSPORT, call.called, call.caller)


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
    called, caller = (numbers.canonical(form.get(name, "")) for name in ("To", "From"))
    return Announcement(call_sid, called, caller, signature)


def open_session(call_id: str, route: Route) -> OpenSession:
    """What the worker must know; the seed comes from the call, so that a replay says the same."""
    persona = route.persona
    seed = int.from_bytes(hashlib.sha256(call_id.encode()).digest()[:8], "big") >> 1
    return OpenSession(
        call_id=call_id,
        persona=persona.name,
        persona_version=route.version or persona.version,
        role_text=persona.role_text,
        voice=persona.voice,
        voice_sha256=route.voice_sha256,
        greeting=persona.greeting,
        prompt_hash=persona.prompt_hash,
        seed=seed,
        sampling=Sampling(**persona.sampling.model_dump()),
        dialogue=persona.dialogue,
    )


def _twiml_of(choice: TransferTarget | MessageTarget | RejectTarget) -> str:
    match choice:
        case TransferTarget():
            return dial_twiml(choice.to)
        case MessageTarget():
            return say_twiml(choice.text)
        case RejectTarget():
            return reject_twiml(choice.reason)
