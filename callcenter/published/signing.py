"""What the admin app signs, so that nobody else who may write in Redis rules the gateways.

The snapshot of the configuration and the commands to live calls are JSON Web Tokens signed with
Ed25519 (RFC 8037, RFC 8032), made and read by PyJWT and cryptography. Only the admin app has the
private key. Gateways and workers have its public one, or several while one replaces the other; a
reader that was given none trusts the key of the first snapshot that it sees, and only that one.

A header says what a message is for (`typ`) and which key made it (`kid`, `jwk`). It knows no clock
and no Redis.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509 import load_pem_x509_certificate
from jwt.algorithms import OKPAlgorithm

from callcenter.errors import BrokerUnavailable, ConfigurationError

SNAPSHOT, COMMAND = "snapshot+jwt", "command+jwt"
NOBODY = "none"  # as a public key: nothing that is published counts
KEY_BYTES = 32
_ALGORITHM = "EdDSA"
_OPTIONS: Any = {
    "verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False,
}  # fmt: skip


class NotGenuine(BrokerUnavailable):
    """What Redis holds was not made by the admin app, or is an old one that came back.

    Attributes:
        reason: short and of few kinds: usable as a metric label.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Signer:
    """The admin app's hand."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key()
        jwk = OKPAlgorithm.to_jwk(self.public_key, as_dict=True)
        self._headers = {"kid": key_id(self.public_key), "jwk": jwk}

    def sign(self, purpose: str, claims: Mapping[str, Any]) -> str:
        """Claims as a token of this purpose."""
        headers = {**self._headers, "typ": purpose}
        return jwt.encode(dict(claims), self._key, _ALGORITHM, headers=headers)


class KeyRing:
    """The keys that count for a reader.

    Args:
        keys: those of the admin app.
        learn: whether the key of the first snapshot counts where there are none.
    """

    def __init__(self, keys: Sequence[Ed25519PublicKey] = (), *, learn: bool = True) -> None:
        self._keys = {key_id(key): key for key in keys}
        self.learns = learn and not keys
        self._learning = self.learns

    @property
    def is_empty(self) -> bool:
        """Whether no key counts by now."""
        return not self._keys

    def verify(self, purpose: str, token: str) -> dict[str, Any]:
        """The claims of a genuine token.

        Raises:
            NotGenuine: it is none, of another purpose, or signed with a key that does not count.
        """
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.get(str(header.get("kid")))
            if key is None and self._learning and purpose == SNAPSHOT:
                key = _key_in(header)
            if key is None:
                raise NotGenuine("unknown_key", "it is signed with a key that does not count here")
            claims: dict[str, Any] = jwt.decode(token, key, [_ALGORITHM], options=_OPTIONS)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise NotGenuine("bad_signature", "it is not signed by the admin app") from None
        if header.get("typ") != purpose:
            raise NotGenuine("other_purpose", "it is signed for another purpose")
        if self._learning and purpose == SNAPSHOT:
            self._keys, self._learning = {key_id(key): key}, False
        return claims


def key_id(key: Ed25519PublicKey) -> str:
    """A short name of a public key; nobody can make another key of that name."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:32]


def key_ring(text: str) -> KeyRing:
    """The reader's keys, as CONFIG_PUBLIC_KEY gives them.

    Args:
        text: public keys separated by commas; "none" for none at all; "" trusts the first.

    Raises:
        ConfigurationError: one of them cannot be read.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if parts == [NOBODY]:
        return KeyRing(learn=False)
    return KeyRing([_public_key(part) for part in parts])


def signer(text: str, admin_secret: str) -> Signer:
    """The admin app's signer.

    Args:
        text: CONFIG_SIGNING_KEY; when empty the key is derived from the other secret.
        admin_secret: which only the admin app has.

    Raises:
        ConfigurationError: the key cannot be read; its text is not shown.
    """
    if text:
        return Signer(_private_key(text))
    derived = HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=b"callcenter configuration signing")
    return Signer(Ed25519PrivateKey.from_private_bytes(derived.derive(admin_secret.encode())))


def new_pair() -> tuple[str, str]:
    """A fresh CONFIG_SIGNING_KEY, and the CONFIG_PUBLIC_KEY that goes with it."""
    key = Ed25519PrivateKey.generate()
    return _text(key.private_bytes_raw()), public_text(Signer(key))


def public_text(signer: Signer) -> str:
    """The CONFIG_PUBLIC_KEY of a signer."""
    return _text(signer.public_key.public_bytes_raw())


def _key_in(header: Mapping[str, Any]) -> Ed25519PublicKey | None:
    """The key that a token says it is signed with, if it is one of ours in form."""
    found = OKPAlgorithm.from_jwk(header["jwk"])
    fits = isinstance(found, Ed25519PublicKey) and key_id(found) == header.get("kid")
    return found if fits and isinstance(found, Ed25519PublicKey) else None


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _private_key(text: str) -> Ed25519PrivateKey:
    try:
        if text.lstrip().startswith("-----BEGIN"):
            key = serialization.load_pem_private_key(text.encode(), password=None)
        else:
            raw = base64.b64decode(text.strip(), validate=True)
            key = (
                Ed25519PrivateKey.from_private_bytes(raw)
                if len(raw) == KEY_BYTES
                else serialization.load_der_private_key(raw, password=None)
            )
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        key = None  # what it is must not be shown
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(
            "CONFIG_SIGNING_KEY is no Ed25519 private key: PEM (openssl genpkey -algorithm "
            "ed25519), or as `python -m callcenter keys` prints it"
        )
    return key


def _public_key(text: str) -> Ed25519PublicKey:
    key: object
    try:
        if "BEGIN CERTIFICATE" in text:
            key = load_pem_x509_certificate(text.encode()).public_key()
        elif text.startswith("-----BEGIN"):
            key = serialization.load_pem_public_key(text.encode())
        else:
            raw = base64.b64decode(text, validate=True)
            key = (
                Ed25519PublicKey.from_public_bytes(raw)
                if len(raw) == KEY_BYTES
                else serialization.load_der_public_key(raw)
            )
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(
            "CONFIG_PUBLIC_KEY: one of its keys is no Ed25519 public key: PEM (openssl pkey "
            "-pubout), or as `python -m callcenter keys` prints it"
        )
    return key
