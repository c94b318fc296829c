"""Callers who get no agent stand in the journal, with the reason; strangers do not."""

import asyncio
import contextlib
import secrets
from typing import Any

import pytest

from callcenter import metrics
from callcenter.broker.connection import connect
from callcenter.records.journal import STREAM, decode
from tests.integration.gateway.test_bad_input import bystander
from tests.integration.gateway.visitor import browser, call, code


async def refused(redis_url: str, gateway_id: str, number: int) -> dict[str, dict[str, Any]]:
    """So many calls without an agent, by their ids, as the journal has them."""
    async with connect(redis_url) as redis:
        while True:
            found = {}
            for _, fields in await redis.xrange(STREAM):
                with contextlib.suppress(ValueError):  # of a test that writes nonsense
                    entry = decode(fields)
                    if entry.data.get("gateway_id") == gateway_id and entry.kind == "call_refused":
                        found[entry.call_id] = dict(entry.data)
            if len(found) >= number:
                return found
            await asyncio.sleep(0.05)


async def test_twilio(make_stand: Any, redis_url: str) -> None:
    """No free slot, and a number that leads nowhere; who called whom stands there, too."""
    mine = f"g-{secrets.token_hex(4)}"
    stand = await make_stand(slots=1, gateway_id=mine)
    counted = metrics.CALLS.labels("twilio", "rejected_capacity")._value
    before = counted.get()
    async with bystander(stand):
        late, lost = stand.caller(), stand.caller("+15559999")
        assert (await late.announce()).status_code == 503
        await lost.announce()
        found = await refused(redis_url, mine, 2)
    assert found.keys() == {late.call_id, lost.call_id}
    assert found[late.call_id] == {
        "transport": "twilio",
        "trunk": "twilio",
        "called": "+15550100",
        "caller": "+15005550006",
        "gateway_id": mine,
        "outcome": "rejected_capacity",
        "code": "no_capacity",
    }
    told = found[lost.call_id]
    assert (told["called"], told["outcome"], told["code"]) == ("+15559999", "rejected", "no_route")
    assert counted.get() == before + 1


@pytest.mark.timeout(30)
async def test_browsers(make_page: Any, redis_url: str) -> None:
    """Full, or a broken offer; a page that may not call and a token used twice leave nothing."""
    mine = f"g-{secrets.token_hex(4)}"
    _, page = await make_page(webrtc_max_calls=1, gateway_id=mine)
    other = type(page)(page.http, page.base_url, "https://elsewhere.example")
    async with browser() as caller:
        token = await page.token()
        broken = await page.offer({"sdp": "v=0\r\n", "type": "offer"}, token)
        assert broken.status_code == 400
        used = await page.offer({"sdp": "v=0\r\n", "type": "offer"}, token)
        assert code(used) == (401, "token_used")
        await call(page, caller)
        assert code(await page.session()) == (503, "no_capacity")
        assert code(await other.session()) == (403, "origin_refused")
    found = await refused(redis_url, mine, 2)
    assert sorted((one["outcome"], one["code"]) for one in found.values()) == [
        ("failed", "bad_offer"),
        ("rejected_capacity", "no_capacity"),
    ]
    assert {one["called"] for one in found.values()} == {"bank"}
