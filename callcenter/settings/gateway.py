"""What the gateway for Twilio and browsers reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from callcenter.settings.common import (
    HTTP_SCHEMES,
    LOCAL_PROXIES,
    LinkSettings,
    Names,
    NumberPrefixes,
    Pools,
    Port,
    Proxies,
    Seconds,
    SharedSecret,
    secret_values,
    unique_id,
)

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

FallbackVerb = Literal["say", "redirect", "dial"]
# Twilio's have 32 hexadecimal digits; a shorter one could be guessed by forging webhooks.
TwilioToken = Annotated[SecretStr, Field(min_length=32)]


class GatewaySettings(LinkSettings):
    """The gateway's settings.

    Attributes:
        gateway_id: its name in claims; made up from the host's when empty.
        gateway_host, gateway_port: where it listens for webhooks, media sockets and browsers; the
            host * is every address, of IPv4 and IPv6.
        forwarded_allow_ips: addresses or networks of the reverse proxies in front, separated by
            commas: their X-Forwarded-For tells who a visitor is. Nobody else's is believed.
        public_base_url: the address under which the carrier reaches this gateway. Signatures are
            checked against it, never against the `Host` header, which proxies rewrite.
        metrics_host: where the metrics page listens; by default nobody outside this host sees it.
        metrics_port: the metrics page's own port; never let a public proxy pass it.
        gateway_pools: worker pools in order of preference.
        routes_file: which number is answered by which persona; without it, what the admin app has
            published counts.
        personas_dir: persona files in place of the shipped ones.
        max_calls: calls that this process carries at once; one more is "no free slot".
        max_call_s: a call is hung up after this time.
        gateway_drain_s: after the first SIGTERM, how long live calls may go on.
        start_timeout_s: a media socket must say `start` within this time.
        session_token_ttl_s: how long a session token opens a link to a worker.
        link_open_timeout_s: a worker must have taken a session within this time.
        stream_token_ttl_s: how long the one-time address of a media socket stays good.
        max_message_bytes: size limit of one message on a media socket (a usual one has 300).
        max_audio_lead_s: how far a caller's audio may run ahead of real time before the call is
            ended; a burst after a network stall catches up with real time and never passes it.
        transfer_prefixes: beginnings of the numbers that operators may transfer calls to, such as
            +49,+1800, separated by commas; "+" allows every number. Empty allows none but the one
            that the call's own route or persona hands over to: a number that anybody may type can
            be a premium one.
        no_capacity_status: HTTP status of the "all lines are busy" TwiML. With 503 Twilio ignores
            the body and asks the number's fallback URL, or tells the caller of an application
            error when there is none; with 200 the caller hears the TwiML itself.
        no_capacity_message: what the caller hears then.
        twilio_auth_token: Twilio's secret: requests are signed with it. At least 32 characters, as
            Twilio's own have; without one there is no door for Twilio.
        twilio_auth_token_secondary: accepted beside the first while the token is being rotated.
        twilio_account_sid: turns hang-up and transfer by REST on; without it the only way to
            leave a call is to close its socket, after which the fallback verb runs.
        twilio_api_base_url: where the REST API is.
        twilio_fallback_verb: what the caller gets when the gateway closes the socket.
        twilio_fallback_value: text to say, URL to redirect to, or number to dial.
        webrtc_secret: signs the tokens of browser calls; without it there are no browser calls.
        webrtc_origins: pages that may place calls, such as https://www.example.com, separated by
            commas; the gateway's own pages always may.
        webrtc_personas: personas that browsers may call, separated by commas; `*` for all that have
            a route; none when empty. The console's test calls need no name here: they go to
            drafts under made-up numbers that last half an hour.
        webrtc_token_ttl_s: from the click to the call's first message.
        webrtc_max_call_s: a browser call is hung up after this time.
        webrtc_max_calls: browser calls of this process at once.
        webrtc_calls_per_visitor: calls of one address at once.
        webrtc_requests_per_minute: calls that one address may ask for.
        webrtc_phone: number that a visitor is shown when the agent hands over to a person, such as
            "+1 555 0100"; a page may name another one. Empty shows none.
        webrtc_connect_timeout_s: how long browser and gateway may look for a way to each other.
        stun_urls: for example stun:stun.example.com:3478, separated by commas.
        turn_urls: for example turn:turn.example.com:3478?transport=udp, separated by commas.
        turn_secret: shared with the TURN server; credentials are minted for each session.
        turn_ttl_s: how long such a credential may be used to allocate a relay.
    """

    gateway_id: str = Field(default_factory=lambda: unique_id("gateway"))
    gateway_host: str = "127.0.0.1"
    gateway_port: Port = 8080
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 8081
    forwarded_allow_ips: Proxies = LOCAL_PROXIES
    public_base_url: str
    gateway_pools: Pools = ("main",)
    routes_file: Path | None = None
    personas_dir: Path | None = None

    max_calls: Annotated[int, Field(ge=1)] = 200
    max_call_s: Seconds = 3_600.0
    gateway_drain_s: Seconds = 60.0
    start_timeout_s: Seconds = 5.0
    stream_token_ttl_s: Annotated[int, Field(ge=1)] = 30
    session_token_ttl_s: Seconds = 30.0
    link_open_timeout_s: Seconds = 5.0
    max_message_bytes: Annotated[int, Field(ge=1_024)] = 16_384
    max_audio_lead_s: Seconds = 2.0
    transfer_prefixes: NumberPrefixes = ()
    no_capacity_status: Annotated[int, Field(ge=200, le=599)] = 503
    no_capacity_message: str = "All our lines are busy right now. Please call again in a minute."

    twilio_auth_token: TwilioToken | None = None
    twilio_auth_token_secondary: TwilioToken | None = None
    twilio_account_sid: str | None = None
    twilio_api_base_url: str = "https://api.twilio.com"
    twilio_fallback_verb: FallbackVerb = "say"
    twilio_fallback_value: str = "We are sorry, we lost the connection. Please call again."

    webrtc_secret: SharedSecret | None = None
    webrtc_origins: Names = ()
    webrtc_personas: Names = ()
    webrtc_token_ttl_s: Seconds = 60.0
    webrtc_max_call_s: Seconds = 900.0
    webrtc_max_calls: Annotated[int, Field(ge=1)] = 50
    webrtc_calls_per_visitor: Annotated[int, Field(ge=1)] = 2
    webrtc_requests_per_minute: Annotated[int, Field(ge=1)] = 10
    webrtc_phone: Annotated[str, Field(max_length=40, pattern=r"^(\+?[0-9][0-9 ()./-]*)?$")] = ""
    webrtc_connect_timeout_s: Seconds = 15.0
    stun_urls: Names = ()
    turn_urls: Names = ()
    turn_secret: SecretStr | None = None
    turn_ttl_s: Annotated[int, Field(ge=60)] = 600

    @field_validator("public_base_url")
    @classmethod
    def _check_public_base_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in HTTP_SCHEMES or not parts.hostname:
            raise ValueError("must be an http(s) URL, for example https://voice.example.com")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
            raise ValueError("must be https: Twilio opens media sockets over wss only")
        if parts.query or parts.fragment:
            raise ValueError("must not have a query or a fragment: Twilio drops them")
        return value.rstrip("/")

    @field_validator("webrtc_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if origin != f"{parts.scheme}://{parts.netloc}" or parts.scheme not in HTTP_SCHEMES:
                raise ValueError(f"{origin!r} is no origin, for example https://www.example.com")
        return value

    @model_validator(mode="after")
    def _check_turn(self) -> GatewaySettings:
        if self.turn_urls and self.turn_secret is None:
            raise ValueError("TURN_URLS needs TURN_SECRET: credentials are minted with it")
        return self

    @model_validator(mode="after")
    def _check_twilio(self) -> GatewaySettings:
        if self.twilio_auth_token is None and (
            self.twilio_auth_token_secondary is not None or self.twilio_account_sid is not None
        ):
            raise ValueError(
                "TWILIO_AUTH_TOKEN_SECONDARY and TWILIO_ACCOUNT_SID need TWILIO_AUTH_TOKEN"
            )
        return self

    @property
    def own_origin(self) -> str:
        """The origin of the gateway's own pages."""
        parts = urlsplit(self.public_base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def auth_tokens(self) -> tuple[str, ...]:
        """The Twilio auth tokens whose signatures are good, first the current one."""
        return secret_values(self.twilio_auth_token, self.twilio_auth_token_secondary)
