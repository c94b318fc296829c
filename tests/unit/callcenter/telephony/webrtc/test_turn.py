"""Short-lived TURN credentials."""

import base64
import hashlib
import hmac

from callcenter.telephony.webrtc.turn import IcePlan, IceServer, credential


def test_credential_is_what_a_turn_server_computes() -> None:
    """A known pair: HMAC-SHA1 of the user name, base64."""
    expected = base64.b64encode(
        hmac.new(b"north", b"1433895918:ninefingers", hashlib.sha1).digest()
    )
    assert credential("1433895918:ninefingers", "north") == expected.decode()


def test_without_servers_the_list_is_empty() -> None:
    """And aiortc asks nobody, in place of its default."""
    assert IcePlan().servers("call", 0.0) == []


def test_each_session_gets_its_own_user() -> None:
    """It expires, and names the session."""
    plan = IcePlan(turn_urls=["turn:t.example.com"], turn_secret="north", turn_ttl_s=600)
    (first,) = plan.servers("one", 1_000.5)
    (second,) = plan.servers("two", 1_000.5)
    assert first.username == "1600:one"
    assert second.username == "1600:two"
    assert first.credential == credential("1600:one", "north")
    assert first.credential != second.credential


def test_stun_comes_without_credentials() -> None:
    """As a browser takes it."""
    plan = IcePlan(["stun:s.example.com"], ["turn:t.example.com"], "north")
    stun, turn = (server.as_json() for server in plan.servers("call", 0.0))
    assert stun == {"urls": ["stun:s.example.com"]}
    assert set(turn) == {"urls", "username", "credential"}


def test_secret_stays_here() -> None:
    """It is in no field that goes to the browser."""
    plan = IcePlan(turn_urls=["turn:t.example.com"], turn_secret="a-secret-of-the-operator")
    assert "a-secret-of-the-operator" not in str(plan.servers("call", 0.0)[0].as_json())


def test_half_a_credential_is_none() -> None:
    """A browser refuses a user without a password."""
    assert "username" not in IceServer(("turn:x",), username="u").as_json()
