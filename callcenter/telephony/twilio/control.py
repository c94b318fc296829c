"""Call control with Twilio: signatures, TwiML and REST.

Sources: twilio.com/docs/usage/security (signatures), /docs/voice/twiml/stream, and
/docs/voice/api/call-resource. It knows no audio and no session; addresses and secrets are
arguments.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import httpx
from twilio.request_validator import RequestValidator, get_signature_algorithm
from twilio.twiml.voice_response import Connect, VoiceResponse

from callcenter.errors import Unauthorized
from callcenter.telephony.leg import CallControlFailed

SIGNATURE_HEADER = "X-Twilio-Signature"
SIGNATURE_SETTINGS_HEADER = "X-Twilio-Webhooks-Signature-Settings"
REST_TIMEOUT_S = 3.0
REST_ATTEMPTS = 2  # both requests set a state, so asking twice does no harm

Form = Mapping[str, str]


class SignatureCheck:
    """Tells requests of Twilio from all others.

    Args:
        public_base_url: the address that Twilio uses; the request's own idea of it is not trusted.
        auth_tokens: one token, or two while it is being rotated.
    """

    def __init__(self, public_base_url: str, auth_tokens: Sequence[str]) -> None:
        self._base_url = public_base_url
        self._validators = [RequestValidator(auth_token) for auth_token in auth_tokens]

    def check_webhook(self, path: str, form: Form, headers: Mapping[str, str]) -> str:
        """Returns the signature of a good webhook.

        Raises:
            Unauthorized: no signature, or not one by our auth token over this URL and form.
        """
        return self._check(self._base_url + path, form, headers)

    def check_socket(self, path: str, headers: Mapping[str, str]) -> None:
        """Checks an upgrade request, which Twilio signs over the ws(s) URL alone.

        Raises:
            Unauthorized: no signature, or not one by our auth token over this URL.
        """
        self._check(socket_url(self._base_url, path), {}, headers)

    def _check(self, url: str, form: Form, headers: Mapping[str, str]) -> str:
        signature = headers.get(SIGNATURE_HEADER)
        if not signature:
            raise Unauthorized(f"the request has no {SIGNATURE_HEADER} header")
        algorithm = get_signature_algorithm(headers.get(SIGNATURE_SETTINGS_HEADER))
        if not any(v.validate(url, form, signature, algorithm) for v in self._validators):
            raise Unauthorized(
                "the signature does not fit; check TWILIO_AUTH_TOKEN and that PUBLIC_BASE_URL is "
                "the address configured at Twilio"
            )
        return signature


def socket_url(public_base_url: str, path: str) -> str:
    """The ws(s) form of a path under the public address."""
    scheme, rest = public_base_url.split("://", 1)
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}{path}"


# --- TwiML ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fallback:
    """What the caller gets when the gateway closes the media socket, so never dead air.

    Attributes:
        verb: "say", "redirect" or "dial".
        value: the text, the URL or the telephone number.
    """

    verb: str
    value: str

    def add_to(self, response: VoiceResponse) -> None:
        """Appends the verb."""
        {"say": response.say, "redirect": response.redirect, "dial": response.dial}[self.verb](
            self.value
        )


def connect_twiml(stream_url: str, parameters: Mapping[str, str], fallback: Fallback) -> str:
    """Bidirectional stream first; the fallback runs when our side closes the socket."""
    connect = Connect()
    stream = connect.stream(url=stream_url)
    for name, value in parameters.items():
        stream.parameter(name=name, value=value)
    response = VoiceResponse()
    response.append(connect)
    fallback.add_to(response)
    return str(response)


def say_twiml(text: str) -> str:
    """Says one sentence and hangs up."""
    response = VoiceResponse()
    response.say(text)
    response.hangup()
    return str(response)


def dial_twiml(number: str) -> str:
    """Cold transfer: dials, and hangs up when that conversation is over."""
    response = VoiceResponse()
    response.dial(number)
    response.hangup()
    return str(response)


def reject_twiml(reason: str) -> str:
    """Refuses the call without answering it: "busy" or "rejected"."""
    response = VoiceResponse()
    response.reject(reason=reason)
    return str(response)


# --- REST -----------------------------------------------------------------------------------------


class _AnyOf(httpx.Auth):
    """Shows the next password when one is refused."""

    def __init__(self, user: str, passwords: Sequence[str]) -> None:
        self._attempts = [httpx.BasicAuth(user, password) for password in passwords]

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        for attempt in self._attempts:
            response = yield next(attempt.auth_flow(request))
            if response.status_code != HTTPStatus.UNAUTHORIZED:
                return


class CallResource:
    """Twilio's call resource: changes a live call.

    Args:
        http: the process's one HTTP client.
        base_url: https://api.twilio.com, or a stand-in.
        account_sid: whose calls they are; also the user name.
        auth_tokens: the account's auth tokens, the passwords: while one replaces the other,
            whichever Twilio takes.
    """

    def __init__(
        self, http: httpx.AsyncClient, base_url: str, account_sid: str, auth_tokens: Sequence[str]
    ) -> None:
        self._http = http
        self._calls_url = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{account_sid}/Calls"
        self._auth = _AnyOf(account_sid, auth_tokens)

    async def hang_up(self, call_sid: str) -> None:
        """Ends the call.

        Raises:
            CallControlFailed: Twilio refused or could not be reached.
        """
        await self._update(call_sid, {"Status": "completed"})

    async def transfer(self, call_sid: str, number: str) -> None:
        """Replaces the call's TwiML by a <Dial>; this stops the media stream.

        Raises:
            CallControlFailed: Twilio refused or could not be reached.
        """
        await self._update(call_sid, {"Twiml": dial_twiml(number)})

    async def _update(self, call_sid: str, fields: dict[str, str]) -> None:
        trouble = ""
        for _ in range(REST_ATTEMPTS):
            try:
                response = await self._http.post(
                    f"{self._calls_url}/{call_sid}.json",
                    data=fields,
                    auth=self._auth,
                    timeout=REST_TIMEOUT_S,
                )
            except httpx.HTTPError as error:  # Twilio or the network between is down
                trouble = type(error).__name__
                continue
            if response.is_success:
                return
            trouble = f"HTTP {response.status_code}"
            if response.is_client_error:
                break
        raise CallControlFailed(f"Twilio's call resource answered: {trouble}")
