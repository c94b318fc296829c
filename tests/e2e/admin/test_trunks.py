"""A SIP trunk with everything that it can have: made, mended and changed in the console."""

from typing import Any

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.timeout(60), pytest.mark.asyncio(loop_scope="session")]


async def test_a_sip_trunk(demo: Any, open_console: Any) -> None:
    """A mistake inside the fold opens it; what is stored comes back; another kind has none."""
    page = await open_console(path="/trunks")
    await page.get_by_role("button", name="Add a trunk").click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_label
    await field("Title").fill("House PBX")
    await field("Networks that may send calls").fill("192.0.2.7/32 198.51.100.0/24")
    await field("Codecs").fill("opus, pcma")
    await field("Transports").fill("tls")
    await field("Encrypts audio").select_option("must")
    await field("Prefixes that stand for a plus").fill("00, 011")
    await field("P-Asserted-Identity says who calls").check()
    await field("Outbound proxy").fill("sip:edge.example.com;transport=tls")
    await dialog.get_by_text("Registration").click()
    await field("Registrar").fill("sip:pbx.example.com;transport=tls")
    await field("Account").fill("two words")
    await field("Variable that holds its password").fill("TRUNK_PBX_PASSWORD")
    await field("Name that the password belongs to").fill("ax-1")
    await dialog.get_by_text("Registration").click()
    await dialog.get_by_role("button", name="Create").click()
    await expect(field("Account")).to_be_focused()
    await field("Account").fill("agent")
    await dialog.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("status")).to_contain_text("The trunk was created.")
    registrar = {
        "uri": "sip:pbx.example.com;transport=tls",
        "username": "agent",
        "auth_username": "ax-1",
        "secret_ref": "TRUNK_PBX_PASSWORD",
        "expires_s": 300,
    }
    options = {"username": None, "transports": ["tls"], "srtp": "must"}
    options |= {"codecs": ["opus", "pcma"], "registrar": registrar, "trust_identity": True}
    options |= {"international_prefixes": ["00", "011"]}
    options |= {"outbound_proxy": "sip:edge.example.com;transport=tls"}
    stored = demo.ask("GET", "/v1/trunks/house_pbx")
    assert stored["sip"] == options
    assert stored["addresses"] == ["192.0.2.7/32", "198.51.100.0/24"]
    row = page.get_by_role("row", name="House PBX")
    await row.get_by_role("button", name="Edit").click()
    await expect(field("Codecs")).to_have_value("opus, pcma")
    await field("Registrar").fill("")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_have_count(0)
    assert demo.ask("GET", "/v1/trunks/house_pbx")["sip"] == {**options, "registrar": None}
    await row.get_by_role("button", name="Edit").click()
    await field("Kind").select_option("twilio")
    await expect(field("Codecs")).to_be_hidden()
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_have_count(0)
    assert demo.ask("GET", "/v1/trunks/house_pbx")["sip"] is None
