"""The notice board in Redis: the snapshot, published clips, and commands to live calls.

    {cc:published}            STRING  {"revision": .., "signed": ..}: the snapshot, signed
    {cc:published}:revision   STRING  its revision, as a hint for readers
    cc:published:changed      channel a hint that there is a new one; readers look all the same
    cc:voice:<sha256>         STRING  a normalised clip: WAV, 24 kHz, mono, 16 bit
    cc:original:<sha256>      STRING  SHA-256 of the file that the clip was made from
    cc:codes:<sha256>         STRING  the clip's codes, made once by a worker: safetensors
    cc:voices                 SET     SHA-256 of every clip that is here
    cc:commands               channel orders to live calls, such as "hang up", signed
    cc:reply:<id>             LIST    what became of an order; goes by itself

Snapshots and orders are signed by the admin app (signing.py): what anybody else writes there counts
nothing. A snapshot carries a sequence number that only grows, an order the time that it is for and
a number that is good once, so that nothing old can be played back.

It decides nothing. Keys have no time to live: the configuration counts until the next one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from callcenter import metrics
from callcenter.errors import BrokerUnavailable
from callcenter.published.clips import Clips
from callcenter.published.signing import COMMAND, SNAPSHOT, KeyRing, NotGenuine, Signer
from callcenter.published.snapshot import Snapshot

# One hash tag: in a Redis Cluster a script may touch both.
SNAPSHOT_KEY = "{cc:published}"
REVISION_KEY = "{cc:published}:revision"
CHANGED_CHANNEL = "cc:published:changed"
COMMANDS_CHANNEL = "cc:commands"
RETRY_S = 1.0
REPLY_WITHIN_S = 3.0
REPLY_LOOK_S = 0.05
REPLY_KEPT_S = 10

MAX_SNAPSHOT_CHARS = 32_000_000
ORDER_LASTS_S = 30.0  # either way: clocks of two hosts may differ by so much
REMEMBERED_ORDERS = 10_000

# Two admin processes may publish at once: whoever has not seen what is there changes nothing.
_PUBLISH = """
local there = redis.call('GET', KEYS[1]) or ''
if redis.sha1hex(there) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[3])
return 1
"""

# Known from the start, so that the first one of its kind is seen as an increase.
_REASONS = ("unknown_key", "bad_signature", "other_purpose", "replayed")
for _reason in (*_REASONS, "not_signed", "too_large", "other_release"):
    metrics.PUBLISHED_REFUSED.labels("snapshot", _reason)
for _reason in (*_REASONS, "expired"):
    metrics.PUBLISHED_REFUSED.labels("command", _reason)

__all__ = ["Board", "Clips", "Command", "Posted"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Command:
    """An order to the gateway that carries a call.

    Attributes:
        action: "hangup", "transfer" or "press".
        number: whom to transfer to, or the keys to press.
        reply: where an answer is waited for; "" where none is.
    """

    call_id: str
    action: str
    number: str = ""
    reply: str = ""


class _Envelope(BaseModel):
    """What stands in Redis."""

    model_config = ConfigDict(strict=True, extra="forbid")

    revision: int
    signed: str


@dataclass(frozen=True, slots=True)
class Posted:
    """What is on the board.

    Attributes:
        text: as it stands in Redis; "" if there is nothing.
        revision: of the genuine snapshot; None if there is none, or not a whole one.
        sequence: its sequence number; 0 without one.
    """

    text: str
    revision: int | None
    sequence: int


class Board:
    """The board, over one Redis client made with decode_responses=True.

    Args:
        redis: the client.
        keys: whose word counts.
        signer: the admin app's, who alone publishes and orders.
        unix_time: clock of orders and sequence numbers, seconds.

    Attributes:
        keys: as given.
        refused: why the snapshot on the board does not count; "" if it does.
    """

    def __init__(
        self,
        redis: Redis,
        keys: KeyRing | None = None,
        signer: Signer | None = None,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self.keys = keys or KeyRing([signer.public_key] if signer else ())
        self._signer = signer
        self._unix_time = unix_time
        self._newest = 0  # sequence number of the newest snapshot seen
        self._orders_seen: OrderedDict[str, None] = OrderedDict()
        self.refused = ""

    # --- the snapshot -----------------------------------------------------------------------------

    async def posted(self) -> Posted:
        """What is on the board, for whoever wants to replace it.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        text, hint = await self._ask(self._redis.mget(SNAPSHOT_KEY, REVISION_KEY))
        try:
            sequence, snapshot = self._read(text or "")
        except NotGenuine:  # nothing, a stranger's, or of another release
            return Posted(text or "", None, 0)
        whole = hint == str(snapshot.revision)
        return Posted(text, snapshot.revision if whole else None, sequence)

    async def replace(self, posted: Posted, snapshot: Snapshot) -> bool:
        """Publishes a snapshot; False if somebody else has published since.

        Args:
            posted: what it replaces.
            snapshot: the new one.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        if self._signer is None:
            raise ValueError("a board without a signer cannot publish")
        # Also when the clock was put back, or an old snapshot: above all that was there.
        now_ms, before = round(self._unix_time() * 1_000), max(posted.sequence, self._newest)
        self._newest = sequence = max(now_ms, before + 1)
        claims = {"sequence": sequence, "snapshot": snapshot.model_dump(mode="json")}
        envelope = _Envelope(
            revision=snapshot.revision, signed=self._signer.sign(SNAPSHOT, claims)
        ).model_dump_json()
        seen = hashlib.sha1(posted.text.encode(), usedforsecurity=False).hexdigest()
        arguments = (seen, envelope, snapshot.revision, CHANGED_CHANNEL)
        script = self._redis.eval(_PUBLISH, 2, SNAPSHOT_KEY, REVISION_KEY, *arguments)
        return bool(await self._ask(script))

    async def publish(self, snapshot: Snapshot) -> bool:
        """Publishes a snapshot; False if a newer one is there.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        posted = await self.posted()
        if posted.revision is not None and posted.revision > snapshot.revision:
            return False
        return await self.replace(posted, snapshot)

    async def revision(self) -> int | None:
        """The revision that the board says it has; None if there is no snapshot.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        text = await self._ask(self._redis.get(REVISION_KEY))
        return int(text) if text and text.isdecimal() else None

    async def snapshot(self) -> Snapshot | None:
        """The snapshot on the board, if any.

        Raises:
            NotGenuine: the admin app did not make it, or it is older than one seen before.
            BrokerUnavailable: Redis does not answer.
        """
        text = await self._ask(self._redis.get(SNAPSHOT_KEY))
        if text is None:
            return None
        try:
            sequence, snapshot = self._read(text)
            if sequence < self._newest:
                raise NotGenuine("replayed", "it is older than the one that was there before")
        except NotGenuine as error:
            metrics.PUBLISHED_REFUSED.labels("snapshot", error.reason).inc()
            self.refused = f"the published configuration is refused: {error}"
            raise NotGenuine(error.reason, self.refused) from None
        self._newest, self.refused = sequence, ""
        return snapshot

    def _read(self, text: str) -> tuple[int, Snapshot]:
        """Sequence number and snapshot of a genuine one; raises NotGenuine."""
        if len(text) > MAX_SNAPSHOT_CHARS:
            raise NotGenuine("too_large", f"it has more than {MAX_SNAPSHOT_CHARS} characters")
        try:
            envelope = _Envelope.model_validate_json(text)
        except ValidationError:
            raise NotGenuine("not_signed", "it is not signed") from None
        claims = self.keys.verify(SNAPSHOT, envelope.signed)
        try:
            # By way of JSON, so that strict models accept lists where they declare tuples.
            snapshot = Snapshot.model_validate_json(json.dumps(claims["snapshot"]))
            return int(claims["sequence"]), snapshot
        except ValidationError as error:  # its text would quote prompts and numbers
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            place = ".".join(str(step) for step in first["loc"])
            why = f"it is not readable: {place}: {first['msg']}"
            raise NotGenuine("other_release", why) from None
        except (KeyError, TypeError, ValueError) as error:
            why = f"it is not readable ({type(error).__name__})"
            raise NotGenuine("other_release", why) from None

    async def wait_for_change(self, timeout_s: float) -> None:
        """Returns when somebody published, or after the time; returns early is harmless."""
        await self._first_message(CHANGED_CHANNEL, timeout_s)

    # --- commands ---------------------------------------------------------------------------------

    async def order(self, command: Command) -> int:
        """Sends an order; returns how many gateways heard it.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        if self._signer is None:
            raise ValueError("a board without a signer cannot order")
        claims = {
            "iat": self._unix_time(), "jti": secrets.token_hex(16), "command": asdict(command),
        }  # fmt: skip
        text = self._signer.sign(COMMAND, claims)
        return int(await self._ask(self._redis.publish(COMMANDS_CHANNEL, text)))

    async def ask(self, command: Command, timeout_s: float = REPLY_WITHIN_S) -> str | None:
        """Sends an order and waits for what became of it.

        Returns:
            "" if it is carried out, else why not; None if no gateway carries the call.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        reply = secrets.token_hex(8)
        await self.order(replace(command, reply=reply))
        give_up_at = asyncio.get_running_loop().time() + timeout_s
        while asyncio.get_running_loop().time() < give_up_at:
            answer: str | None = await self._ask(self._redis.lpop(f"cc:reply:{reply}"))
            if answer is not None:
                return answer
            await asyncio.sleep(REPLY_LOOK_S)
        return None

    async def answer(self, command: Command, text: str) -> None:
        """Says what became of an order, if somebody waits for that."""
        if command.reply:
            await self._ask(self._redis.rpush(f"cc:reply:{command.reply}", text))
            await self._ask(self._redis.expire(f"cc:reply:{command.reply}", REPLY_KEPT_S))

    async def orders(self) -> AsyncIterator[Command]:
        """All orders from now on; survives a Redis that goes and comes back."""
        while True:
            try:
                async with self._redis.pubsub() as listening:
                    await listening.subscribe(COMMANDS_CHANNEL)
                    while True:
                        message = await listening.get_message(True, timeout=RETRY_S)
                        if message is not None and (command := await self._order_in(message)):
                            yield command
            except (RedisError, OSError) as error:  # it went away
                log.warning("orders_not_heard", detail=str(error))
                await asyncio.sleep(RETRY_S)

    async def _order_in(self, message: dict[str, Any]) -> Command | None:
        """A genuine order, for now, that was not given before; None for anything else."""
        try:
            if self.keys.is_empty and self.keys.learns:
                await self.snapshot()  # whose key counts for orders as well
            claims = self.keys.verify(COMMAND, str(message["data"]))
            command = _command(claims)
            self._check_fresh(float(claims["iat"]), str(claims["jti"]))
        except NotGenuine as error:
            metrics.PUBLISHED_REFUSED.labels("command", error.reason).inc()
            log.warning("order_refused", detail=str(error))
            return None
        except (BrokerUnavailable, LookupError, TypeError, ValueError, AttributeError) as error:
            log.warning("order_not_understood", detail=type(error).__name__)
            return None
        return command

    def _check_fresh(self, issued_at_s: float, order_id: str) -> None:
        """Raises NotGenuine for an order of another time, and for one that was heard before."""
        if not abs(self._unix_time() - issued_at_s) <= ORDER_LASTS_S:
            raise NotGenuine("expired", "the order is not of now; do the clocks agree?")
        if order_id in self._orders_seen:
            raise NotGenuine("replayed", "the order was given before")
        self._orders_seen[order_id] = None
        if len(self._orders_seen) > REMEMBERED_ORDERS:
            self._orders_seen.popitem(last=False)

    # --- common -----------------------------------------------------------------------------------

    async def _first_message(self, channel: str, timeout_s: float) -> None:
        try:
            async with self._redis.pubsub() as listening:
                await listening.subscribe(channel)
                await listening.get_message(True, timeout=0.2)  # the subscription's own message
                await listening.get_message(True, timeout=timeout_s)
        except (RedisError, OSError):  # it went away; the next look will tell
            await asyncio.sleep(timeout_s)

    async def _ask(self, question: Any) -> Any:
        try:
            return await question
        except (RedisError, OSError) as error:  # refused, broken, loading, read-only
            raise BrokerUnavailable(f"Redis can't be used: {error}") from None


def _command(claims: dict[str, Any]) -> Command:
    """Reads an order; raises LookupError, TypeError or AttributeError if of another release."""
    data = claims["command"]
    more = {name: str(data.get(name, "")) for name in ("number", "reply")}
    return Command(str(data["call_id"]), str(data["action"]), **more)
