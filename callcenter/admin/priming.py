"""Primes prompts on workers: opens a session on each, waits until it is ready, and leaves.

A worker keeps the snapshot of a prompt that it has seen, so the next session starts at once. It
takes one slot of each worker for as long as that lasts, like a short call; a worker without a free
slot is left out.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping

import structlog

from callcenter.broker.broker import Broker
from callcenter.broker.claims import Claim
from callcenter.broker.placement import WorkerInfo
from callcenter.errors import BrokerUnavailable, LinkLost, ProtocolError, Refused
from callcenter.link.client import LinkClient
from callcenter.link.protocol import OpenSession, Sampling
from callcenter.link.tls import LinkTls
from callcenter.link.token import SessionToken, sign
from callcenter.published.prompts import Prompt

PRIME_WITHIN_S = 30.0
OPEN_WITHIN_S = 10.0

log = structlog.get_logger(__name__)


class WorkerPrimer:
    """Primes all workers of some pools.

    Args:
        brokers: pool -> its broker.
        secret: signs session tokens; the workers hold the same.
        tls: how workers are checked; None for plain links.
    """

    def __init__(
        self, brokers: Mapping[str, Broker], secret: str, tls: LinkTls | None = None
    ) -> None:
        self._brokers = brokers
        self._secret = secret
        self._tls = tls

    async def prime(self, wanted: list[Prompt]) -> None:
        """Primes as many workers as it can in a bounded time; never raises."""
        try:
            async with asyncio.timeout(PRIME_WITHIN_S):
                for broker in self._brokers.values():
                    await self._prime_pool(broker, wanted)
        except TimeoutError:  # slow workers; the first caller will wait for what is missing
            log.warning("priming_took_too_long")
        except BrokerUnavailable as error:
            log.warning("not_primed", detail=str(error))

    async def _prime_pool(self, broker: Broker, wanted: list[Prompt]) -> None:
        workers = await broker.workers()
        names = {worker.worker_id for worker in workers}
        for worker in workers:
            for prompt in wanted:
                if prompt.persona.prompt_hash not in worker.primed:
                    await self._prime_one(broker, worker, names - {worker.worker_id}, prompt)

    async def _prime_one(
        self, broker: Broker, worker: WorkerInfo, others: set[str], prompt: Prompt
    ) -> None:
        call_id, persona = f"prime-{secrets.token_hex(6)}", prompt.persona
        try:
            claim = await broker.claim(call_id, persona.prompt_hash, "admin", exclude=others)
        except Refused as refusal:  # full or draining
            log.info("worker_not_primed", worker_id=worker.worker_id, code=refusal.code)
            return
        try:
            link = await LinkClient.open(
                claim.url, self._token(claim, persona.prompt_hash), _spec(call_id, prompt),
                timeout_s=OPEN_WITHIN_S, tls=self._tls,
            )  # fmt: skip
            await link.close("primed")
            log.info("worker_primed", worker_id=worker.worker_id, persona=persona.name)
        except (Refused, LinkLost, ProtocolError) as error:  # gone, or of another release
            log.warning("worker_not_primed", worker_id=worker.worker_id, detail=str(error))
        finally:
            await broker.release(call_id, claim.fencing_token, pool=claim.pool)

    def _token(self, claim: Claim, prompt_hash: str) -> str:
        token = SessionToken(
            call_id=claim.call_id,
            worker_id=claim.worker_id,
            epoch=claim.epoch,
            fencing_token=claim.fencing_token,
            prompt_hash=prompt_hash,
            expires_at_s=time.time() + OPEN_WITHIN_S,
        )
        return sign(token, self._secret)


def _spec(call_id: str, prompt: Prompt) -> OpenSession:
    persona = prompt.persona
    return OpenSession(
        call_id=call_id,
        persona=persona.name,
        persona_version=persona.version,
        role_text=persona.role_text,
        voice=persona.voice,
        voice_sha256=prompt.voice_sha256,
        greeting=persona.greeting,
        prompt_hash=persona.prompt_hash,
        sampling=Sampling(**persona.sampling.model_dump()),
        dialogue=persona.dialogue,
    )
