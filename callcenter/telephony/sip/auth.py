"""Digest authentication, both sides (RFC 2617, RFC 7616, RFC 8760).

The server's nonces are sealed times: no table of issued nonces, only one of the counts used. It
knows no transport and no user directory.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from callcenter.telephony.sip.message import Request, Response

ALGORITHMS = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
NONCE_LIFE_S = 60.0
NONCES_KEPT = 4_096

MAX_HEADER_CHARS = 4_096  # an Authorization of a real device has 300 to 1,000

# One pair at a place that is given: possessive (++, *+), so nothing is looked at twice.
_PAIR = re.compile(r'\s*+([\w-]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^\s,"]++))', re.ASCII)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password; the password never shows in a log."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, ...)"


def parse_digest(header: str) -> dict[str, str] | None:
    """Reads `Digest name=value, ...`; None for another scheme, or for more than MAX_HEADER_CHARS.

    What is no pair is left out, up to the next comma: the text is read once, from left to right.
    """
    scheme, _, rest = header[: MAX_HEADER_CHARS + 1].strip().partition(" ")
    if scheme.lower() != "digest" or len(header) > MAX_HEADER_CHARS:
        return None
    values: dict[str, str] = {}
    at = 0
    while 0 <= at < len(rest):
        pair = _PAIR.match(rest, at)
        if pair is not None:
            name, quoted, bare = pair.groups()
            values[name.lower()] = quoted or bare or ""
        at = rest.find(",", at if pair is None else pair.end()) + 1 or len(rest)
    return values


def digest_response(
    credentials: Credentials, method: str, values: Mapping[str, str], realm: str
) -> str | None:
    """The `response` value that proves the password; None for an unknown algorithm."""
    hasher = ALGORITHMS.get((values.get("algorithm") or "MD5").upper())
    if hasher is None:
        return None

    def hashed(text: str) -> str:
        return hasher(text.encode("utf-8", "surrogateescape")).hexdigest()

    secret = hashed(f"{credentials.username}:{realm}:{credentials.password}")
    action = hashed(f"{method}:{values.get('uri', '')}")
    nonce = values.get("nonce", "")
    if not values.get("qop"):
        return hashed(f"{secret}:{nonce}:{action}")
    count, own = values.get("nc", ""), values.get("cnonce", "")
    return hashed(f"{secret}:{nonce}:{count}:{own}:{values['qop']}:{action}")


def authorize(
    credentials: Credentials,
    method: str,
    uri: str,
    challenges: list[str],
    cnonce: str,
    count: int = 1,
) -> str | None:
    """Answers the strongest challenge that is understood; None when none is.

    Args:
        credentials: ours.
        method: of the request that was challenged.
        uri: its Request-URI.
        challenges: values of WWW-Authenticate or Proxy-Authenticate.
        cnonce: fresh random text.
        count: how often this nonce has been used, from 1.
    """
    known = [found for text in challenges if (found := parse_digest(text)) is not None]
    known = [found for found in known if (found.get("algorithm") or "MD5").upper() in ALGORITHMS]
    if not known:
        return None
    best = max(known, key=lambda found: (found.get("algorithm") or "MD5").upper() == "SHA-256")
    values = {"uri": uri, "nonce": best.get("nonce", ""), "algorithm": best.get("algorithm", "MD5")}
    if "auth" in [choice.strip() for choice in best.get("qop", "").split(",")]:
        values |= {"qop": "auth", "nc": f"{count:08x}", "cnonce": cnonce}
    realm = best.get("realm", "")
    proof = digest_response(credentials, method, values, realm)
    parts = [f'username="{credentials.username}"', f'realm="{realm}"', f'response="{proof}"']
    parts += [f'{name}="{values[name]}"' for name in ("uri", "nonce", "cnonce") if name in values]
    parts += [f"{name}={values[name]}" for name in ("algorithm", "qop", "nc") if name in values]
    if "opaque" in best:
        parts.append(f'opaque="{best["opaque"]}"')
    return "Digest " + ", ".join(parts)


def proof_header(
    credentials: Credentials | None, request: Request, response: Response, cnonce: str
) -> tuple[str, str] | None:
    """The header that answers a 401 or 407; None when we have none or have tried it already."""
    proxy = response.status == 407
    name = "proxy-authorization" if proxy else "authorization"
    if credentials is None or request.get(name) is not None:
        return None
    asked = "proxy-authenticate" if proxy else "www-authenticate"
    challenges = [value for key, value in response.headers if key == asked]
    proof = authorize(credentials, request.method, request.uri_text, challenges, cnonce)
    return None if proof is None else (name, proof)


class DigestServer:
    """Challenges requests and judges the answers.

    Args:
        realm: shown to the caller's device.
        secret: seals nonces; random at start-up.
    """

    def __init__(self, realm: str, secret: bytes) -> None:
        self._realm = realm
        self._secret = secret
        self._counts: OrderedDict[str, int] = OrderedDict()

    def challenges(self, now: float, *, stale: bool = False) -> list[str]:
        """WWW-Authenticate values, the stronger algorithm first (RFC 8760 2.4)."""
        nonce = self._nonce(now)
        tail = ", stale=true" if stale else ""
        return [
            f'Digest realm="{self._realm}", nonce="{nonce}", algorithm={name}, qop="auth"{tail}'
            for name in ("SHA-256", "MD5")
        ]

    def verify(
        self, method: str, header: str | None, credentials: Credentials, now: float
    ) -> str | None:
        """Judges an Authorization value.

        Returns:
            None when it proves the password, else why not: "missing", "stale", "replayed" or
            "wrong".
        """
        values = parse_digest(header) if header else None
        if values is None or values.get("realm") != self._realm:
            return "missing"
        issued_at = self._open_nonce(values.get("nonce", ""))
        if issued_at is None:
            return "missing"
        expected = digest_response(credentials, method, values, self._realm)
        proven = expected is not None and hmac.compare_digest(
            expected.encode(), values.get("response", "").encode("utf-8", "surrogateescape")
        )
        if not proven or values.get("username") != credentials.username:
            return "wrong"
        if not 0.0 <= now - issued_at <= NONCE_LIFE_S:
            return "stale"
        return None if self._count_rises(values) else "replayed"

    def _count_rises(self, values: Mapping[str, str]) -> bool:
        text = values.get("nc", "")
        if values.get("qop") != "auth" or not re.fullmatch(r"[0-9a-fA-F]{1,8}", text):
            return False
        count, nonce = int(text, 16), values["nonce"]
        if count <= self._counts.get(nonce, 0):
            return False
        self._counts[nonce] = count
        while len(self._counts) > NONCES_KEPT:
            self._counts.popitem(last=False)
        return True

    def _nonce(self, now: float) -> str:
        stamp = f"{int(now * 1_000):x}"
        return f"{stamp}-{self._seal(stamp)}"

    def _open_nonce(self, nonce: str) -> float | None:
        stamp, _, seal = nonce.partition("-")
        if not re.fullmatch(r"[0-9a-f]{1,15}", stamp):
            return None
        if not hmac.compare_digest(self._seal(stamp).encode(), seal.encode("utf-8", "replace")):
            return None
        return int(stamp, 16) / 1_000

    def _seal(self, stamp: str) -> str:
        return hmac.new(self._secret, stamp.encode(), hashlib.sha256).hexdigest()[:32]
