"""The notice board in Redis: the snapshot, published clips, and commands to live calls.

    {cc:published}            STRING  the snapshot as JSON
    {cc:published}:revision   STRING  its revision; a writer with an older one changes nothing
    cc:published:changed      channel a hint that there is a new one; readers look all the same
    cc:voice:<sha256>         STRING  a normalised clip: WAV, 24 kHz, mono, 16 bit
    cc:original:<sha256>      STRING  SHA-256 of the file that the clip was made from
    cc:codes:<sha256>         STRING  the clip's codes, made once by a worker: safetensors
    cc:voices                 SET     SHA-256 of every clip that is here
    cc:commands               channel orders to live calls, such as "hang up"
    cc:reply:<id>             LIST    what became of an order; goes by itself

It decides nothing. Keys have no time to live: the configuration counts until the next one.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from callcenter.errors import BrokerUnavailable
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

# Two admin processes may publish at once: the newer revision wins, whoever comes last.
_PUBLISH = """
local known = tonumber(redis.call('GET', KEYS[2]) or '-1') or -1
if tonumber(ARGV[1]) < known then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[1])
redis.call('PUBLISH', ARGV[3], ARGV[1])
return 1
"""

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


class Board:
    """The board, over one Redis client made with decode_responses=True."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def publish(self, snapshot: Snapshot) -> bool:
        """Replaces the snapshot; False if a newer one is there.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        keys = (SNAPSHOT_KEY, REVISION_KEY)
        arguments = (snapshot.revision, snapshot.model_dump_json(), CHANGED_CHANNEL)
        return bool(await self._ask(self._redis.eval(_PUBLISH, 2, *keys, *arguments)))

    async def revision(self) -> int | None:
        """The revision on the board; None if there is no snapshot.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        text = await self._ask(self._redis.get(REVISION_KEY))
        try:
            return None if text is None else int(text)
        except ValueError:  # a stranger wrote it; the next publication replaces it
            return None

    async def snapshot(self) -> Snapshot | None:
        """The snapshot on the board, if any.

        Raises:
            BrokerUnavailable: Redis does not answer, or what is there is of another release.
        """
        text = await self._ask(self._redis.get(SNAPSHOT_KEY))
        try:
            return None if text is None else Snapshot.model_validate_json(text)
        except ValidationError as error:  # its text would quote prompts and numbers
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            place = ".".join(str(step) for step in first["loc"])
            raise BrokerUnavailable(
                f"the published snapshot is not readable: {place}: {first['msg']}"
            ) from None

    async def wait_for_change(self, timeout_s: float) -> None:
        """Returns when somebody published, or after the time; returns early is harmless."""
        await self._first_message(CHANGED_CHANNEL, timeout_s)

    # --- commands ---------------------------------------------------------------------------------

    async def order(self, command: Command) -> int:
        """Sends an order; returns how many gateways heard it.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        text = json.dumps(asdict(command))
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
                        if message is not None and (command := _command(message["data"])):
                            yield command
            except (RedisError, OSError) as error:  # it went away
                log.warning("orders_not_heard", detail=str(error))
                await asyncio.sleep(RETRY_S)

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


class Clips:
    """Published clips and their codes.

    Args:
        redis: made with decode_responses=False, since clips are bytes.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def put(self, sha256: str, wav: bytes, original_sha256: str = "") -> None:
        """Publishes a clip, and what it was made from; raises BrokerUnavailable."""
        await self._ask(self._redis.set(f"cc:original:{sha256}", original_sha256))
        await self._ask(self._redis.set(f"cc:voice:{sha256}", wav))
        await self._ask(self._redis.sadd("cc:voices", sha256))

    async def remove(self, sha256: str) -> None:
        """Takes a clip away, and all that was made of it; raises BrokerUnavailable."""
        for kind in ("voice", "original", "codes"):
            await self._ask(self._redis.delete(f"cc:{kind}:{sha256}"))
        await self._ask(self._redis.srem("cc:voices", sha256))

    async def all(self) -> set[str]:
        """SHA-256 of every published clip; raises BrokerUnavailable."""
        found: set[bytes] = await self._ask(self._redis.smembers("cc:voices"))
        return {name.decode() for name in found}

    async def original(self, sha256: str) -> str:
        """SHA-256 of the file that a clip was made from, or ""; raises BrokerUnavailable."""
        found: bytes | None = await self._ask(self._redis.get(f"cc:original:{sha256}"))
        return (found or b"").decode()

    async def get(self, sha256: str) -> bytes | None:
        """A published clip; raises BrokerUnavailable."""
        found: bytes | None = await self._ask(self._redis.get(f"cc:voice:{sha256}"))
        return found

    async def put_codes(self, sha256: str, safetensors: bytes) -> bool:
        """Stores a clip's codes unless some worker did; raises BrokerUnavailable."""
        return bool(await self._ask(self._redis.set(f"cc:codes:{sha256}", safetensors, nx=True)))

    async def codes(self, sha256: str) -> bytes | None:
        """A clip's codes; raises BrokerUnavailable."""
        found: bytes | None = await self._ask(self._redis.get(f"cc:codes:{sha256}"))
        return found

    async def _ask(self, question: Any) -> Any:
        try:
            return await question
        except (RedisError, OSError) as error:  # refused, broken, loading, read-only
            raise BrokerUnavailable(f"Redis can't be used: {error}") from None


def _command(text: Any) -> Command | None:
    """Reads an order; None for what is none (another release, a stranger)."""
    try:
        data = json.loads(text)
        more = {name: str(data.get(name, "")) for name in ("number", "reply")}
        return Command(str(data["call_id"]), str(data["action"]), **more)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        log.warning("order_not_understood")
        return None
