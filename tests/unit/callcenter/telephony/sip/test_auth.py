"""Digest authentication, both sides against each other and against RFC 7616's example."""

import pytest

from callcenter.telephony.sip.auth import (
    Credentials,
    DigestServer,
    authorize,
    digest_response,
    parse_digest,
)

URI = "sip:15550100@198.51.100.1"


@pytest.mark.parametrize(
    ("algorithm", "proof"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_the_rfc(algorithm, proof) -> None:
    """RFC 7616 3.9.1."""
    values = {
        "uri": "/dir/index.html",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
        "algorithm": algorithm,
    }
    credentials = Credentials("Mufasa", "Circle of Life")
    assert digest_response(credentials, "GET", values, "http-auth@example.org") == proof


def proven(server: DigestServer, credentials: Credentials, now: float = 0.0, count: int = 1) -> str:
    """An Authorization value."""
    header = authorize(credentials, "INVITE", URI, server.challenges(now), "own", count)
    assert header is not None
    return header


def test_the_right_password(credentials) -> None:
    """Proven once; the same proof again is a replay."""
    server = DigestServer("realm", b"secret")
    header = proven(server, credentials)
    assert "SHA-256" in header
    assert server.verify("INVITE", header, credentials, 1.0) is None
    assert server.verify("INVITE", header, credentials, 1.0) == "replayed"
    assert server.verify("INVITE", proven(server, credentials, count=2), credentials, 1.0) is None


def test_what_proves_nothing(credentials) -> None:
    """Wrong password, user, method, nonce, realm, age; nothing at all."""
    server = DigestServer("realm", b"secret")
    header = proven(server, credentials)
    other = DigestServer("realm", b"another secret")
    verify = server.verify
    assert verify("INVITE", None, credentials, 1.0) == "missing"
    assert verify("INVITE", "Basic QWxhZGRpbg==", credentials, 1.0) == "missing"
    assert verify("INVITE", proven(other, credentials), credentials, 1.0) == "missing"
    wrong = proven(server, Credentials("alice", "guess"))
    assert verify("INVITE", wrong, credentials, 1.0) == "wrong"
    eve = proven(server, Credentials("eve", "wonderland"))
    assert verify("INVITE", eve, credentials, 1.0) == "wrong"
    assert verify("BYE", header, credentials, 1.0) == "wrong"
    assert verify("INVITE", header, credentials, 100.0) == "stale"


def test_without_qop_as_in_rfc_2069(credentials) -> None:
    """As client we answer it; as server we asked for a count and want one."""
    challenge = 'Digest realm="old", nonce="abc"'
    header = authorize(credentials, "REGISTER", URI, [challenge], "own")
    values = parse_digest(header or "")
    assert values is not None
    assert "qop" not in values
    assert values["response"] == digest_response(credentials, "REGISTER", values, "old")


def test_a_challenge_that_nobody_understands(credentials) -> None:
    """No answer rather than a wrong one; the strongest known is chosen."""
    unknown = 'Digest realm="r", nonce="n", algorithm=SHA-1024'
    assert authorize(credentials, "INVITE", URI, [unknown, "Basic x"], "own") is None
    known = 'Digest realm="r", nonce="n", algorithm=SHA-256, opaque="o", qop="auth,auth-int"'
    header = authorize(credentials, "INVITE", URI, ['Digest realm="r", nonce="m"', known], "own")
    assert 'nonce="n"' in (header or "")
    assert 'opaque="o"' in (header or "")


def test_what_is_no_pair_is_left_out() -> None:
    """The pairs after it count; a header that no device sends is not read at all."""
    text = 'Digest ,,junk here, realm="a, \\"b\\"", x y=1, nonce=n ,qop="auth'
    assert parse_digest(text) == {"realm": 'a, \\"b\\"', "nonce": "n"}
    assert parse_digest("Digest " + "a" * 4_089) == {}
    assert parse_digest('Digest realm="r", ' + "a" * 4_096) is None
    assert parse_digest("Basic realm=r") is None


def test_a_password_is_not_shown(credentials) -> None:
    """Logs show credentials by their repr."""
    assert "wonderland" not in repr(credentials)
