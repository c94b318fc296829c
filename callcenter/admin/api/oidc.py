"""The way of people into the console: to the OpenID provider and back.

    GET /admin/oidc/start       -> the provider; a signed cookie of ten minutes keeps the state
    GET /admin/oidc/callback    <- the provider; a session begins, and the console shows itself

Whatever goes wrong leads back to the log-in page with a code that it has words for. No transaction
is open while the provider is asked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from callcenter.admin.api.session import set_cookie
from callcenter.admin.problems import Problem
from callcenter.admin.security import claims, people, sessions
from callcenter.admin.security.claims import ClaimRules, NotAllowed
from callcenter.admin.security.gate import address_of
from callcenter.admin.security.keys import end_temporary
from callcenter.admin.security.provider import BadAnswer, Proof, Provider, ProviderUnavailable
from callcenter.admin.security.rates import RateLimits
from callcenter.admin.security.refusals import Refusals
from callcenter.admin.security.sessions import Rules, Visitor
from callcenter.admin.store.database import Database
from callcenter.admin.store.work import Work

PREFIX = "/admin/oidc"
COOKIE = "callcenter_login"
LASTS_S = 600
_PLACE = re.compile(r"/[A-Za-z0-9/_.~%+:?=&-]{0,500}")  # within the console
_ALGORITHM = "HS256"


class _Refused(Exception):
    """A log-in that ends here.

    Attributes:
        code: the log-in page has words for it.
        why: for the log and the audit log.
    """

    def __init__(self, code: str, why: str = "") -> None:
        super().__init__(code)
        self.code, self.why = code, why or code


@dataclass(frozen=True)
class Door:
    """Single sign-on, with all that it needs.

    Attributes:
        master: log-ins on their way are signed with a key that is derived from it.
    """

    provider: Provider
    claim_rules: ClaimRules
    rules: Rules
    database: Database
    refusals: Refusals
    rates: RateLimits
    master: str

    async def start(self, request: Request) -> Response:
        """Sends a browser to the provider."""
        fresh = "fresh" in request.query_params
        await self._count(request)
        try:
            begun = await self.provider.begin(fresh=fresh)
        except ProviderUnavailable as error:
            return self._refused(request, _Refused("unavailable", str(error)))
        kept = {
            "state": begun.state,
            "nonce": begun.nonce,
            "verifier": begun.verifier,
            "place": _place(request.query_params.get("next", "/")),
            "fresh": fresh,
            "exp": int(time.time()) + LASTS_S,
        }
        response = RedirectResponse(begun.url, HTTPStatus.SEE_OTHER)
        response.set_cookie(
            self._cookie,
            jwt.encode({"alg": _ALGORITHM}, kept, self._signing_key),
            max_age=LASTS_S,
            httponly=True,
            samesite="lax",  # the provider's answer is a link from another site
            secure=self.rules.secure,
        )
        return response

    async def callback(self, request: Request) -> Response:
        """Takes the provider's answer; begins a session."""
        now = datetime.now(UTC)
        await self._count(request)
        try:
            kept = self._kept(request)
            proof = await self._proof(request, kept)
            proved_at = _proved_at(proof, kept, now, self.rules)
            role = claims.role_of(proof.claims, self.claim_rules)
        except NotAllowed as error:
            return self._refused(request, _Refused(error.code))
        except _Refused as error:
            return self._refused(request, error)
        visitor = Visitor.of(request)
        async with self.database.writing() as db:
            name = claims.name_of(proof.claims)
            person = await people.put_down(db, proof.issuer, proof.subject, name, role, now)
            work = Work(db, person.actor(), now, visitor.address)
            await sessions.end(db, self.rules.cookie_of(request))
            cookie, expires_at = await sessions.begin(
                db, person, visitor, now, proved_at, proof.log_out_url
            )
            await work.audit("log_in", "session", person.name, after={"role": role})
            if role == "admin":
                await end_temporary(work)
        response = RedirectResponse("/admin" + str(kept["place"]), HTTPStatus.SEE_OTHER)
        self._drop(response)
        set_cookie(response, self.rules, cookie, expires_at)
        return response

    async def _count(self, request: Request) -> None:
        """Both ways ask the provider; a Problem (429) for an address that does so too often."""
        try:
            await self.rates.check_start(address_of(request))
        except Problem:
            self.refusals.note("rate_limited", address_of(request), datetime.now(UTC))
            raise

    async def _proof(self, request: Request, kept: Mapping[str, Any]) -> Proof:
        said = request.query_params
        if not hmac.compare_digest(said.get("state", "").encode(), str(kept["state"]).encode()):
            raise _Refused("other_state", "the state is not this browser's")
        if "error" in said:
            word = "".join(sign for sign in said["error"][:80] if sign.isalnum() or sign == "_")
            raise _Refused("denied", f"the provider says {word}")
        if "iss" in said and said["iss"] != self.provider.issuer:  # RFC 9207 section 2.4
            raise _Refused("bad_answer", "the answer names another issuer")
        try:
            return await self.provider.finish(
                said.get("code", ""),
                str(kept["nonce"]),
                str(kept["verifier"]),
                self.claim_rules.wanted,
            )
        except ProviderUnavailable as error:
            raise _Refused("unavailable", str(error)) from None
        except BadAnswer as error:
            raise _Refused("bad_answer", str(error)) from None

    # --- the log-in on its way --------------------------------------------------------------------

    @property
    def _cookie(self) -> str:
        return f"__Host-{COOKIE}" if self.rules.secure else COOKIE

    @property
    def _signing_key(self) -> OctKey:
        key = hmac.new(self.master.encode(), b"oidc log-in", hashlib.sha256).digest()
        return OctKey.import_key(key)

    def _kept(self, request: Request) -> Mapping[str, Any]:
        try:
            token = jwt.decode(
                request.cookies.get(self._cookie, ""), self._signing_key, algorithms=[_ALGORITHM]
            )
            if token.claims["exp"] < time.time():
                raise _Refused("too_late", "the log-in took longer than ten minutes")
        except (JoseError, ValueError, KeyError):  # none, cut off, signed by somebody else
            raise _Refused("other_state", "this browser has begun no log-in") from None
        return token.claims

    def _drop(self, response: Response) -> None:
        response.delete_cookie(
            self._cookie, secure=self.rules.secure, httponly=True, samesite="lax"
        )

    def _refused(self, request: Request, refused: _Refused) -> Response:
        now = datetime.now(UTC)
        self.refusals.note("single_sign_on", address_of(request), now, why=refused.why)
        response = RedirectResponse(f"/admin?problem={refused.code}", HTTPStatus.SEE_OTHER)
        self._drop(response)
        return response


def mount(app: FastAPI, door: Door) -> None:
    """Adds the two addresses; before the console's own, which take all the others."""
    routes = APIRouter(prefix=PREFIX, include_in_schema=False)

    @routes.get("/start")
    async def start(request: Request) -> Response:
        """To the provider."""
        return await door.start(request)

    @routes.get("/callback")
    async def callback(request: Request) -> Response:
        """Back from it."""
        return await door.callback(request)

    app.include_router(routes)


def _place(wanted: str) -> str:
    """Where the console opens after the log-in; its front page for anything odd."""
    return wanted if _PLACE.fullmatch(wanted) and not wanted.startswith("//") else "/"


def _proved_at(proof: Proof, kept: Mapping[str, Any], now: datetime, rules: Rules) -> datetime:
    """When the person proved at the provider who they are: it may be hours ago."""
    said = proof.claims.get("auth_time")
    proved_at: datetime | None = None
    if isinstance(said, int | float) and 0 < said <= now.timestamp() + 3_600:
        proved_at = min(now, datetime.fromtimestamp(said, UTC))
    if kept["fresh"] and (proved_at is None or now - proved_at > rules.fresh):
        raise _Refused("not_fresh", "the provider did not ask the person anew")
    return proved_at or now
