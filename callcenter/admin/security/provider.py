"""The OpenID provider: where people prove who they are. Authorization code with PKCE, by Authlib.

    begin   -> the provider's address, with state, nonce and the hash of a verifier
    finish  <- its answer: the code is exchanged, the ID token's signature and claims are checked
               (issuer, audience, times, nonce, access token hash), userinfo fills what is missing

Discovery and keys are read again after an hour, keys also when a token names one that is not known:
a provider may change them at any time. It knows no session and no role.

Sources: OpenID Connect Core 1.0, Discovery 1.0, RP-Initiated Logout 1.0; RFC 7636 (PKCE); RFC 9207.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import StarletteOAuth2App
from joserfc.errors import JoseError

from callcenter.admin.security.claims import found_at

ANSWER_S = 10.0
KNOWN_FOR_S = 3_600.0
AFTER_FAILURE_S = 5.0  # log-ins of this time fail at once instead of waiting for it one by one
# Signatures that only the provider can make: never "none", never with a secret that we hold too.
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip

# Authlib writes verifiers at its most detailed level.
logging.getLogger("authlib").setLevel(logging.INFO)


class ProviderUnavailable(Exception):
    """It does not answer, or not as a provider does."""


class BadAnswer(Exception):
    """An answer or a token that is not what it must be; the text says what, without any secret."""


@dataclass(frozen=True, slots=True)
class Client:
    """How the provider knows us.

    Attributes:
        secret: None for a public client, which PKCE alone protects.
        redirect_uri: where the provider sends browsers back to.
        home: where it sends them after they logged out.
        skew_s: how far the two clocks may differ.
    """

    issuer: str
    client_id: str
    secret: str | None
    scopes: str
    redirect_uri: str
    home: str
    skew_s: int


@dataclass(frozen=True, slots=True)
class Begun:
    """A log-in on its way; kept by the browser, signed, until the answer comes."""

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What the provider vouches for.

    Attributes:
        claims: of the ID token, and of userinfo beside it.
        log_out_url: ends the provider's session too; "" if it has no such address.
    """

    issuer: str
    subject: str
    claims: Mapping[str, Any]
    log_out_url: str


class _App(StarletteOAuth2App):  # type: ignore[misc]
    """Authlib's client, for one issuer, whose description and keys do not stay for ever."""

    def __init__(self, client: Client) -> None:
        well_known = f"{client.issuer.rstrip('/')}/.well-known/openid-configuration"
        kwargs = {
            "scope": client.scopes,
            "code_challenge_method": "S256",
            "timeout": ANSWER_S,
            "follow_redirects": False,
            "verify": httpx2.create_ssl_context(),  # reading the authorities takes a while
        }
        super().__init__(
            None,
            name="oidc",
            client_id=client.client_id,
            client_secret=client.secret,
            server_metadata_url=well_known,
            client_kwargs=kwargs,
        )
        self.server_metadata: dict[str, Any] = {}
        self._issuer = client.issuer
        self._public = client.secret is None
        self._read_at = self._failed_at = float("-inf")
        self._reading = asyncio.Lock()

    async def load_server_metadata(self) -> dict[str, Any]:
        """What the provider says of itself, at most an hour old.

        Raises:
            ProviderUnavailable: it does not answer, or answers for another issuer.
        """
        async with self._reading:
            now = time.monotonic()
            if now - self._read_at < KNOWN_FOR_S:
                return dict(self.server_metadata)
            if now - self._failed_at < AFTER_FAILURE_S:
                raise ProviderUnavailable("it did not answer a moment ago")
            try:
                self.server_metadata = _checked(await self._read(), self._issuer, self._public)
            except ProviderUnavailable:
                self._failed_at = time.monotonic()
                raise
            self._read_at = time.monotonic()
            return dict(self.server_metadata)

    async def _read(self) -> Any:
        try:
            async with self._get_session() as http:
                response = await http.request("GET", self._server_metadata_url, withhold_token=True)
            response.raise_for_status()
            return response.json()
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:  # away, or no JSON
            raise ProviderUnavailable(f"discovery: {type(error).__name__}") from None


def _checked(said: Any, issuer: str, public: bool) -> dict[str, Any]:
    if not isinstance(said, dict) or said.get("issuer") != issuer:
        raise ProviderUnavailable("discovery: it is not of OIDC_ISSUER, letter by letter")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not isinstance(said.get(name), str):
            raise ProviderUnavailable(f"discovery: no {name}")
    offered = said.get("id_token_signing_alg_values_supported") or ["RS256"]
    said["id_token_signing_alg_values_supported"] = [one for one in ALGORITHMS if one in offered]
    methods = said.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    said["token_endpoint_auth_method"] = _method(methods, public)
    said.pop("jwks", None)  # keys are read from their own address
    return said


def _method(offered: list[str], public: bool) -> str:
    if public:
        return "none"
    return "client_secret_basic" if "client_secret_basic" in offered else "client_secret_post"


class Provider:
    """One provider. `begin` and `finish` may take seconds: no transaction is open meanwhile."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._app = _App(client)

    @property
    def issuer(self) -> str:
        """Which provider it is."""
        return self._client.issuer

    async def begin(self, *, fresh: bool) -> Begun:
        """Where to send a browser.

        Args:
            fresh: whether the person must prove anew who they are.

        Raises:
            ProviderUnavailable: it does not answer.
        """
        more = {"prompt": "login", "max_age": 0} if fresh else {}
        made = await self._app.create_authorization_url(self._client.redirect_uri, **more)
        return Begun(made["url"], made["state"], made["nonce"], made["code_verifier"])

    async def finish(self, code: str, nonce: str, verifier: str, wanted: tuple[str, ...]) -> Proof:
        """Who it is.

        Args:
            code: of the provider's answer.
            nonce: of the log-in that the answer is to.
            verifier: of the same.
            wanted: claims that userinfo is asked for, if the ID token has not got them.

        Raises:
            ProviderUnavailable: it does not answer.
            BadAnswer: the code or the token is not good.
        """
        try:
            token = await self._app.fetch_access_token(
                self._client.redirect_uri, code=code, code_verifier=verifier
            )
            claims = await self._app.parse_id_token(token, nonce, leeway=self._client.skew_s)
            if claims is None:
                raise BadAnswer("no ID token came")
            claims = dict(claims)
            if any(found_at(claims, name) is None for name in wanted):
                claims = {**await self._userinfo(token, claims), **claims}
        except httpx2.HTTPError as error:  # it is away, or answers with a status of trouble
            raise ProviderUnavailable(type(error).__name__) from None
        except OAuthError as error:
            raise BadAnswer(f"the provider refused the code: {error.error}"[:200]) from None
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise BadAnswer(f"the ID token is not good: {type(error).__name__}") from None
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise BadAnswer("the ID token has no subject of at most 255 characters")
        url = await self._log_out_url(str(token["id_token"]))
        return Proof(self._client.issuer, subject, claims, url)

    async def _userinfo(self, token: Any, claims: Mapping[str, Any]) -> dict[str, Any]:
        described = await self._app.load_server_metadata()
        if "userinfo_endpoint" not in described or "access_token" not in token:
            return {}
        said = dict(await self._app.userinfo(token=token))
        if said.get("sub") != claims.get("sub"):
            raise BadAnswer("userinfo is about somebody else")
        return said

    async def _log_out_url(self, id_token: str) -> str:
        described = await self._app.load_server_metadata()
        if "end_session_endpoint" not in described:
            return ""
        made = await self._app.create_logout_url(
            self._client.home, id_token, client_id=self._client.client_id
        )
        return str(made["url"])
