"""Who may publish and order: keys in each of their forms, and forged messages."""

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callcenter.errors import ConfigurationError
from callcenter.published.signing import (
    COMMAND,
    SNAPSHOT,
    KeyRing,
    NotGenuine,
    Signer,
    key_ring,
    new_pair,
    public_text,
    signer,
)

# Each process of a test run must give the tests the same names: no random text in them.
KEY = Ed25519PrivateKey.generate()
HAND = Signer(KEY)
STRANGER = Signer(Ed25519PrivateKey.generate())
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER
PKCS8 = serialization.PrivateFormat.PKCS8
INFO = serialization.PublicFormat.SubjectPublicKeyInfo


def certificate() -> str:
    """Of the key, by itself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "callcenter")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(
        issuer_name=name, subject_name=name, public_key=KEY.public_key(), serial_number=1,
        not_valid_before=now, not_valid_after=now + timedelta(days=1),
    )  # fmt: skip
    return made.sign(KEY, None).public_bytes(PEM).decode()


def test_what_is_signed_is_read() -> None:
    """By whoever has the public key."""
    token = HAND.sign(SNAPSHOT, {"a": [1, {"b": "é"}]})
    assert KeyRing([KEY.public_key()]).verify(SNAPSHOT, token) == {"a": [1, {"b": "é"}]}


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(KEY.private_bytes_raw()).decode(),
        KEY.private_bytes(PEM, PKCS8, serialization.NoEncryption()).decode(),
        base64.b64encode(KEY.private_bytes(DER, PKCS8, serialization.NoEncryption())).decode(),
    ],
    ids=range(3),
)
def test_forms_of_the_private_key(text: str) -> None:
    """As our command prints it, and as openssl does."""
    assert public_text(signer(text, "")) == public_text(HAND)


@pytest.mark.parametrize(
    "text",
    [
        public_text(HAND),
        KEY.public_key().public_bytes(PEM, INFO).decode(),
        base64.b64encode(KEY.public_key().public_bytes(DER, INFO)).decode(),
        certificate(),
        f"{public_text(STRANGER)}, {public_text(HAND)}",
        STRANGER.public_key.public_bytes(PEM, INFO).decode() + ",\n" + certificate(),
    ],
    ids=range(6),
)
def test_forms_of_the_public_key(text: str) -> None:
    """Several of them while one replaces the other."""
    assert key_ring(text).verify(SNAPSHOT, HAND.sign(SNAPSHOT, {"a": 1})) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        "secret-secret-secret",
        base64.b64encode(b"short").decode(),
        rsa.generate_private_key(65_537, 2_048)
        .private_bytes(PEM, PKCS8, serialization.NoEncryption())
        .decode(),
        "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----",
    ],
    ids=range(4),
)
def test_what_is_no_key(text: str) -> None:
    """Named by its variable, without its text."""
    for read, variable in ((lambda t: signer(t, ""), "SIGNING"), (key_ring, "PUBLIC")):
        with pytest.raises(ConfigurationError, match=f"CONFIG_{variable}_KEY") as refused:
            read(text)
        assert "secret" not in str(refused.value)


def test_the_key_is_the_admin_secrets_own() -> None:
    """Without a key of its own: the same at each start, another for each secret."""
    first, again, other = (signer("", secret) for secret in ("a" * 32, "a" * 32, "b" * 32))
    assert public_text(first) == public_text(again) != public_text(other)
    private, public = new_pair()
    assert public_text(signer(private, "a" * 32)) == public


def forged(change: dict[str, object]) -> str:
    """A stranger's token with a header that is not his."""
    headers = {"typ": SNAPSHOT, **HAND._headers, **change}
    return jwt.encode({}, STRANGER._key, "EdDSA", headers=headers)


def parts(header: dict[str, object], mac: str = "") -> str:
    """A token by hand."""
    texts = (json.dumps(part).encode() for part in (header, {}))
    return ".".join([*(base64.urlsafe_b64encode(t).rstrip(b"=").decode() for t in texts), mac])


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        STRANGER.sign(SNAPSHOT, {}),
        forged({}),
        forged({"jwk": STRANGER._headers["jwk"]}),
        HAND.sign(COMMAND, {}),
        HAND.sign(SNAPSHOT, {})[:-4],
        parts({"alg": "none", "typ": SNAPSHOT, "kid": HAND._headers["kid"]}),
        jwt.encode({}, "x" * 32, "HS256", headers={"typ": SNAPSHOT, **HAND._headers}),
        parts({"alg": "EdDSA", "typ": SNAPSHOT, "kid": 7, "jwk": {"kty": "OKP"}}, "AA"),
        parts({"alg": "EdDSA", "typ": SNAPSHOT, "kid": "x", "jwk": None}, "AA"),
    ],
    ids=range(11),
)
def test_forgeries(token: str) -> None:
    """Whatever their headers say; by readers that know the key, or learnt it, or know nobody."""
    learnt = KeyRing()
    learnt.verify(SNAPSHOT, HAND.sign(SNAPSHOT, {}))
    for ring in (KeyRing([KEY.public_key()]), learnt, key_ring("none")):
        with pytest.raises(NotGenuine):
            ring.verify(SNAPSHOT, token)


def test_a_reader_without_keys_trusts_the_first_snapshot() -> None:
    """Not the first command, nor a header that names another's key; and then no other key."""
    ring = key_ring("")
    assert ring.learns
    for refused in (HAND.sign(COMMAND, {}), forged({}), forged({"kid": "x"}), "a.b.c"):
        with pytest.raises(NotGenuine):
            ring.verify(COMMAND if refused.startswith("x") else SNAPSHOT, refused)
        assert ring.is_empty
    ring.verify(SNAPSHOT, HAND.sign(SNAPSHOT, {}))
    ring.verify(COMMAND, HAND.sign(COMMAND, {}))
    with pytest.raises(NotGenuine, match="does not count"):
        ring.verify(SNAPSHOT, STRANGER.sign(SNAPSHOT, {}))


def test_none_is_nobody() -> None:
    """For an installation without an admin app."""
    ring = key_ring("none")
    assert not ring.learns
    with pytest.raises(NotGenuine):
        ring.verify(SNAPSHOT, HAND.sign(SNAPSHOT, {}))
