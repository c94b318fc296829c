"""What may happen once in the whole installation, whichever process is asked: one key in Redis.

    cc:once:<kind>:<sha256 of the id>   STRING  who was first; goes when the id is worth nothing

It knows no token: only ids, and for how long they count.
"""

from __future__ import annotations

import hashlib
import secrets

from redis.asyncio import Redis
from redis.exceptions import RedisError

from callcenter.errors import BrokerUnavailable

MARK_BYTES = 8
SPARE_S = 60  # clocks of two hosts may differ by so much


class Once:
    """Who comes first.

    Args:
        redis: shared by all processes that may be asked.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def is_first(self, kind: str, one_id: str, good_for_s: float) -> bool:
        """Whether this is the first time that anybody asks for an id.

        Args:
            kind: what the id is of.
            one_id: told apart from all others of its kind.
            good_for_s: afterwards nobody needs to ask any more.

        Raises:
            BrokerUnavailable: Redis does not answer: it may have happened, or not.
        """
        key = f"cc:once:{kind}:{hashlib.sha256(one_id.encode()).hexdigest()}"
        mark = secrets.token_hex(MARK_BYTES)
        kept_s = max(1, round(good_for_s)) + SPARE_S
        try:
            earlier = await self._redis.set(key, mark, ex=kept_s, nx=True, get=True)
        except (RedisError, OSError) as error:
            raise BrokerUnavailable(f"Redis can't be used: {error}") from None
        # Our own mark: the connection broke after Redis had done it, and the client asked again.
        return earlier is None or earlier in (mark, mark.encode())
