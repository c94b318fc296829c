"""Places in limits while Redis misbehaves; the counting itself is tested against a real one."""

import asyncio

from callcenter.gateway.quotas import Quotas


class ForgetfulRedis:
    """Loses the first cancellation that meets it, as redis-py does now and then."""

    def __init__(self) -> None:
        self.takes = 0
        self.left: list[str] = []

    async def eval(self, *_: object) -> int:
        """Taking places; hangs until it is cancelled."""
        self.takes += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.takes > 1:
                raise
        return 0

    async def zrem(self, _: str, call_id: str) -> None:
        """Giving one back."""
        self.left.append(call_id)


async def test_a_place_is_not_renewed_after_the_call() -> None:
    """Or else the limit would count a call that is over, for as long as the gateway runs."""
    redis = ForgetfulRedis()
    async with Quotas(redis).held("call", ["busy"]):  # type: ignore[arg-type]
        await asyncio.sleep(0)
    assert redis.left == ["call"]
    assert asyncio.all_tasks() == {asyncio.current_task()}
