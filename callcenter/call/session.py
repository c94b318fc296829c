"""The session of a call: a claimed slot, the link to it, and its lease.

A call has one session at a time and may have several after each other. Every method answers with
an event for the machine and raises nothing for what the outside does wrong. It does not know the
leg, nor when to open or close.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

import structlog

from callcenter import metrics, tracing
from callcenter.broker.claims import Claim
from callcenter.broker.lease import Lease
from callcenter.errors import BrokerUnavailable, LinkLost, NoCapacity, ProtocolError, Refused
from callcenter.events import SessionLost, SessionReady, SlotClaimed, SlotRefused
from callcenter.link.client import LinkClient
from callcenter.link.protocol import OpenSession
from callcenter.link.tls import LinkTls
from callcenter.link.token import SessionToken, sign
from callcenter.media.units import Pcm16

MIN_SLEEP_S = 0.01
MAX_SLEEP_S = 1.0  # a call that moved to another worker has a new lease

log = structlog.get_logger(__name__)


class Slots(Protocol):
    """What a session needs of the broker."""

    async def claim(
        self, call_id: str, prompt_hash: str, gateway_id: str, *, exclude: Collection[str] = ()
    ) -> Claim:
        """Takes a slot; raises NoCapacity or BrokerUnavailable."""
        ...

    async def renew(self, call_id: str, fencing_token: int, *, pool: str | None = None) -> bool:
        """Extends the lease; False when it is gone; raises BrokerUnavailable."""
        ...

    async def release(self, call_id: str, fencing_token: int, *, pool: str | None = None) -> bool:
        """Gives the slot back; raises BrokerUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class LinkAccess:
    """How this gateway opens links.

    Attributes:
        gateway_id: names this process in claims.
        secret: signs session tokens; the workers hold the same.
        token_ttl_s: how long a session token may be used to open a link.
        open_timeout_s: from the first packet to the worker's "ready".
        unix_time: clock of the tokens' expiry, in seconds.
        tls: how workers are checked; None for plain links.
    """

    gateway_id: str
    secret: str
    token_ttl_s: float
    open_timeout_s: float
    unix_time: Callable[[], float] = time.time
    tls: LinkTls | None = None


class CallSession:
    """One call's session.

    Args:
        spec: persona, prompt and voice; the same for every session of the call.
        claim: the slot that was claimed when the call was announced.
        slots: the broker.
        access: how to open links.
    """

    def __init__(self, spec: OpenSession, claim: Claim, slots: Slots, access: LinkAccess) -> None:
        self.spec = spec
        self.link: LinkClient | None = None
        self._claim: Claim | None = claim
        self._slots = slots
        self._access = access
        self._failed_workers: set[str] = set()

    @property
    def engine(self) -> str:
        """The kind of engine that answers; "" without a slot."""
        return self._claim.kind if self._claim else ""

    async def open(self) -> SessionReady | SessionLost:
        """Opens the link to the claimed slot."""
        claim = self._claim
        if claim is None:
            return SessionLost("no_claim")
        try:
            with tracing.span("call.open_link", self.spec.call_id, worker=claim.worker_id):
                self.link = await LinkClient.open(
                    claim.url,
                    self._token(claim),
                    self.spec,
                    timeout_s=self._access.open_timeout_s,
                    tls=self._access.tls,
                )
        except Refused as refusal:  # the worker is the authority: it may know better than Redis
            return SessionLost(refusal.code)
        except ProtocolError as error:  # another release on the worker
            log.error("link_protocol_error", detail=str(error))
            return SessionLost("link_protocol")
        except LinkLost:  # the worker died between claim and open
            return SessionLost("link_lost")
        return SessionReady()

    async def claim_again(self) -> SlotClaimed | SlotRefused:
        """Looks for another slot after `close`."""
        try:
            self._claim = await claim_slot(
                self._slots,
                self.spec.call_id,
                self.spec.prompt_hash,
                self._access.gateway_id,
                exclude=self._failed_workers,
            )
        except NoCapacity as refusal:
            return SlotRefused(refusal.code)
        except BrokerUnavailable as error:
            log.warning("broker_unavailable", detail=str(error))
            return SlotRefused("broker_unavailable")
        return SlotClaimed()

    async def close(self, reason: str) -> None:
        """Ends the session at the worker and gives the slot back. Idempotent."""
        link, self.link = self.link, None
        claim, self._claim = self._claim, None
        if link is not None:
            await link.close(reason)
        if claim is not None:
            self._failed_workers.add(claim.worker_id)
            await release_slot(self._slots, self.spec.call_id, claim)

    def send(self, frame: Pcm16) -> None:
        """Hands a frame of the caller to the worker; without a session it is nobody's."""
        if self.link is not None:
            self.link.send(frame)

    async def keep_lease(self) -> None:
        """Renews for ever; cancel it at the end of the call.

        A lease that cannot be renewed does not end the call: the worker is the authority and
        serves as long as the link lives.
        """
        claim, lease = None, Lease.granted(0.0, time.monotonic())
        while True:
            if self._claim is not None and self._claim is not claim:
                claim, lease = self._claim, Lease.granted(self._claim.lease_s, time.monotonic())
            sleep_s = MAX_SLEEP_S
            if claim is not None and claim is self._claim and claim.lease_s > 0.0:
                if lease.next_timer() <= time.monotonic():
                    lease = await self._renew(claim, lease)
                sleep_s = min(lease.next_timer() - time.monotonic(), MAX_SLEEP_S)
            await asyncio.sleep(max(sleep_s, MIN_SLEEP_S))  # on every way round: others go on

    async def _renew(self, claim: Claim, lease: Lease) -> Lease:
        asked_at_s = time.monotonic()
        try:
            held = await self._slots.renew(self.spec.call_id, claim.fencing_token, pool=claim.pool)
        except BrokerUnavailable as error:
            log.warning("lease_not_renewed", detail=str(error))
            return lease.unanswered(time.monotonic())
        if not held:
            log.warning("lease_lost", worker_id=claim.worker_id)
        return lease.renewed(asked_at_s)

    def _token(self, claim: Claim) -> str:
        token = SessionToken(
            call_id=self.spec.call_id,
            worker_id=claim.worker_id,
            epoch=claim.epoch,
            fencing_token=claim.fencing_token,
            prompt_hash=self.spec.prompt_hash,
            expires_at_s=self._access.unix_time() + self._access.token_ttl_s,
        )
        return sign(token, self._access.secret)


async def claim_slot(
    slots: Slots,
    call_id: str,
    prompt_hash: str,
    gateway_id: str,
    exclude: Collection[str] = (),
) -> Claim:
    """Claims a slot and measures how long that took.

    Raises:
        NoCapacity: no worker has a free slot.
        BrokerUnavailable: Redis does not answer.
    """
    result, began = "claimed", time.monotonic()
    try:
        with tracing.span("call.claim", call_id):
            return await slots.claim(call_id, prompt_hash, gateway_id, exclude=exclude)
    except NoCapacity:
        result = "no_capacity"
        raise
    except BrokerUnavailable:
        result = "unavailable"
        raise
    finally:
        elapsed_s = time.monotonic() - began
        metrics.BROKER_ASSIGNMENT_SECONDS.labels(result).observe(elapsed_s)


async def release_slot(slots: Slots, call_id: str, claim: Claim) -> None:
    """Gives a slot back; with Redis down its lease runs out by itself."""
    try:
        await slots.release(call_id, claim.fencing_token, pool=claim.pool)
    except BrokerUnavailable as error:
        log.warning("slot_not_released", detail=str(error), worker_id=claim.worker_id)
