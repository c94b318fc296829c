"""Answers SIP calls: INVITE -> number -> persona -> slot -> a leg that rings, and its runner.

Everything begins at the INVITE: while the caller hears the line ring, the slot is claimed and the
worker loads the prompt. It knows trunks, routes and the broker; it does not know SIP's messages.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from callcenter import metrics
from callcenter.broker.claims import Claim
from callcenter.call.machine import Limits, Outcome
from callcenter.call.runner import CallRunner
from callcenter.call.session import CallSession, LinkAccess, Slots, claim_slot, release_slot
from callcenter.errors import BrokerUnavailable, NoCapacity, Refused
from callcenter.gateway.live import LiveCalls
from callcenter.gateway.milestones import Milestones
from callcenter.gateway.quotas import Quotas
from callcenter.gateway.reception import open_session
from callcenter.gateway.routes import Choice, Route, RouteSource
from callcenter.published import number as numbers
from callcenter.published.documents import MessageTarget, RejectTarget, TransferTarget
from callcenter.published.routing import IncomingCall
from callcenter.records.journal import Journal
from callcenter.telephony.sip import parties
from callcenter.telephony.sip.call import State
from callcenter.telephony.sip.inbound import InboundCall
from callcenter.telephony.sip.leg import SipLeg
from callcenter.telephony.sip.media_plan import LocalMedia, NotAcceptable
from callcenter.telephony.sip.media_port import MediaPort
from callcenter.telephony.sip.ports import PortPool
from callcenter.telephony.sip.stream import MediaStream, Tick
from callcenter.telephony.sip.trunk import Trunk
from callcenter.telephony.sip.ua import UserAgent
from callcenter.telephony.sip.uri import bracketed
from callcenter.telephony.sip.wheel import Wheel

TRANSPORT = "sip"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SipPolicy:
    """Limits and addresses, from the settings of these names."""

    advertised_host: str
    rtp_timeout_s: float
    start_timeout_s: float
    max_call_s: float
    max_audio_lead_s: float


class SipReception:
    """Ringing calls in, runners out.

    Args:
        routes: who answers which call.
        slots: the broker.
        live: register of this process's calls.
        access: how to open links.
        ports: of RTP.
        policy: limits and addresses.
        journal: where calls are put down.
        quotas: the admins' limits.

    Attributes:
        agent: set before the first call can come.
    """

    agent: UserAgent

    def __init__(
        self,
        routes: RouteSource,
        slots: Slots,
        live: LiveCalls,
        access: LinkAccess,
        ports: PortPool,
        policy: SipPolicy,
        journal: Journal,
        quotas: Quotas,
    ) -> None:
        self._routes = routes
        self._milestones = Milestones(journal, access.gateway_id)
        self._quotas = quotas
        self._slots = slots
        self._live = live
        self._access = access
        self._ports = ports
        self._policy = policy
        self._wheel = Wheel()
        self._tasks: set[asyncio.Task[None]] = set()

    def ring(self, call: InboundCall, trunk: Trunk) -> None:
        """A call rings; from here on it has a task of its own."""
        call.ring()
        self.agent.settle(call)
        task = asyncio.create_task(self._receive(call, trunk))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def until_idle(self) -> None:
        """Waits until every call, ringing ones included, is over."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _receive(self, call: InboundCall, trunk: Trunk) -> None:
        with structlog.contextvars.bound_contextvars(call_id=call_name(call), trunk=trunk.name):
            facts = incoming(call, trunk)
            log.info("call_announced", **{"pii.called": facts.called, "pii.caller": facts.caller})
            if call.state is State.ENDED:  # its CANCEL was read in the same turn of the loop
                self._count(call, trunk, Outcome.ABANDONED.value, "hangup")
                return
            choices = self._routes.plan(call_name(call), facts)
            if not choices:
                log.warning("no_route", **{"pii.called": facts.called})
                self._refuse(call, trunk, 404, "no_route", "rejected")
                return
            if not isinstance(choices[0], Route):
                self._send_away(call, trunk, choices[0])
                return
            try:
                self._live.check_room()
                leg = self._leg(call, trunk)
            except NotAcceptable as error:
                log.warning("sip_not_acceptable", detail=str(error))
                self._refuse(call, trunk, 488, "not_acceptable", "rejected")
            except Refused as refusal:
                self._busy(call, trunk, refusal)
            else:
                await self._first_that_works(leg, call, trunk, choices)
                metrics.RTP_PORTS_FREE.set(self._ports.free)

    async def _first_that_works(
        self, leg: SipLeg, call: InboundCall, trunk: Trunk, choices: Sequence[Choice]
    ) -> None:
        """Goes along the overflow chain; the last persona's refusal is the caller's."""
        began, name = time.monotonic(), call_name(call)
        trouble: Refused | BrokerUnavailable = NoCapacity("no choice is left")
        for choice in choices:
            if not isinstance(choice, Route):
                self._send_away(call, trunk, choice)
                break
            try:
                async with self._quotas.place(name, choice.limits):
                    claim = await claim_slot(
                        self._slots, name, choice.persona.prompt_hash, self._access.gateway_id
                    )
                    await self._carry(leg, call, trunk, choice, claim, began)
                return
            except (Refused, BrokerUnavailable) as error:  # no slot: on to the next in the chain
                trouble = error
        else:
            self._busy(call, trunk, trouble)
        await leg.close("no_capacity")

    async def _carry(
        self, leg: SipLeg, call: InboundCall, trunk: Trunk, route: Route, claim: Claim, began: float
    ) -> None:
        name = call_name(call)
        spec = open_session(name, route)
        session = CallSession(spec, claim, self._slots, self._access)
        runner = CallRunner(
            leg,
            session,
            self._limits(route),
            self._policy.max_audio_lead_s,
            announced_ago_s=time.monotonic() - began,
            note=self._milestones.of(name),
        )
        if name in self._live:  # the same Call-ID from two trunks
            await release_slot(self._slots, name, claim)
            await leg.close("already_connected")
            return
        self._milestones.announced(name, TRANSPORT, incoming(call, trunk), route, claim)
        with self._live.carrying(name, runner):
            self._milestones.began(name, route, claim)
            result = await runner.run()
        self._milestones.ended(name, result)

    def _limits(self, route: Route) -> Limits:
        return Limits(
            start_timeout_s=self._policy.start_timeout_s,
            max_call_s=min(self._policy.max_call_s, route.persona.limits.max_call_s),
            transfer_number=route.transfer_to,
        )

    def _leg(self, call: InboundCall, trunk: Trunk) -> SipLeg:
        local = LocalMedia(
            host=self._policy.advertised_host,
            port=0,
            codecs=trunk.codecs,
            srtp=trunk.srtp,
            session_id=secrets.randbits(62),
            new_key=secrets.token_bytes,
        )
        return SipLeg(
            self.agent,
            call,
            trunk,
            self._open_port,
            partial(_stream, trunk, call.dialog.peer.host),
            local,
            self._policy.rtp_timeout_s,
            {"trunk": trunk.name, **call.attributes()},
        )

    def _open_port(self, stream: MediaStream, ticked: Callable[[Tick, float], None]) -> MediaPort:
        port = MediaPort(self._ports, self._wheel, stream, ticked)
        metrics.RTP_PORTS_FREE.set(self._ports.free)
        return port

    def _send_away(
        self, call: InboundCall, trunk: Trunk, target: TransferTarget | MessageTarget | RejectTarget
    ) -> None:
        """What is no persona's: another number, or no answer. A ringing line cannot speak."""
        log.info("call_not_for_a_persona", kind=target.kind)
        outcome = "rejected"
        more: tuple[tuple[str, str], ...] = ()
        match target:
            case TransferTarget():
                host = bracketed(call.dialog.peer.host)
                uri = trunk.transfer_uri.format(number=target.to, host=host)
                status, outcome, more = 302, "transferred", (("contact", f"<{uri}>"),)
            case RejectTarget():
                status = 486 if target.reason == "busy" else 603
            case MessageTarget():
                status = 480
        call.refuse(status, target.kind, more)
        self.agent.settle(call)
        self._count(call, trunk, outcome, f"route_{target.kind}")

    def _count(self, call: InboundCall, trunk: Trunk, outcome: str, code: str) -> None:
        """A call without an agent is a call: in the metrics and in its record."""
        metrics.CALLS.labels(TRANSPORT, outcome).inc()
        name, where = call_name(call), incoming(call, trunk)
        self._milestones.refused(name, TRANSPORT, where, outcome, code)

    def _busy(self, call: InboundCall, trunk: Trunk, trouble: Exception) -> None:
        code = trouble.code if isinstance(trouble, Refused) else "broker_unavailable"
        log.warning("call_refused", code=code, detail=str(trouble))
        outcome = "failed" if isinstance(trouble, BrokerUnavailable) else "rejected_capacity"
        self._refuse(call, trunk, trunk.no_capacity_status, code, outcome)

    def _refuse(
        self, call: InboundCall, trunk: Trunk, status: int, code: str, outcome: str
    ) -> None:
        after = (("retry-after", str(trunk.retry_after_s)),) if outcome != "rejected" else ()
        call.refuse(status, code, after)
        self._count(call, trunk, outcome, code)
        metrics.REFUSALS.labels(TRANSPORT, code).inc()
        self.agent.settle(call)


def _stream(trunk: Trunk, caller_host: str) -> MediaStream:
    return MediaStream(
        ssrc=secrets.randbits(32),
        sequence=secrets.randbits(16),
        timestamp=secrets.randbits(32),
        trusted=lambda host: host == caller_host or trunk.vouches_for(host),
        cname=secrets.token_hex(8),
        unix_time=time.time,
    )


def incoming(call: InboundCall, trunk: Trunk) -> IncomingCall:
    """What routes may look at, with numbers in their canonical form."""
    caller = parties.caller(call.invite, trusted=trunk.trust_identity)
    called, caller = (
        numbers.canonical(text, trunk.international_prefixes) for text in (call.called, caller)
    )
    return IncomingCall(trunk.name, called, caller, call.attributes())


def call_name(call: InboundCall) -> str:
    """Our call id: the same for every copy of one INVITE, and safe in keys and logs."""
    named = f"{call.dialog.call_id}\0{call.dialog.remote.param('tag')}"
    return "sip-" + hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:24]
