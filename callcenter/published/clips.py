"""Published clips in Redis, and what was made of them; board.py lists the keys."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from callcenter.errors import BrokerUnavailable


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
