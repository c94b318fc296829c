"""Every environment variable of every program, once, checked at start-up and then frozen.

A variable's name is its field's name in capitals: `redis_url` is read from `REDIS_URL`.
Each program builds its own class once and hands the values on as arguments; nothing else in the
package looks at the environment.

It knows no default for a secret: a program without its secrets does not start.
"""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from callcenter.errors import ConfigurationError

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
HTTP_SCHEMES = ("http", "https")

LogLevel = Literal["debug", "info", "warning", "error"]
EngineKind = Literal["rehearsal", "personaplex", "cascade"]
FallbackVerb = Literal["say", "redirect", "dial"]
Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65_535)]  # 0: any free port
Names = Annotated[tuple[str, ...], NoDecode]  # separated by commas
SharedSecret = Annotated[SecretStr, Field(min_length=32)]

AnySettings = TypeVar("AnySettings", bound="CommonSettings")


def _unique_id(program: str) -> str:
    """A name that is readable in logs and differs between two processes of one host."""
    return f"{program}-{socket.gethostname()}-{secrets.token_hex(3)}"


class CommonSettings(BaseSettings):
    """What the gateway and the worker have in common.

    Attributes:
        redis_url: Redis or Valkey: one server, Sentinels or a cluster; callcenter/broker/address.py
            shows the forms.
        redis_timeout_s: a command that takes longer counts as "Redis is down".
        link_secret: signs the session tokens between gateway and worker (HMAC-SHA256).
        link_secret_secondary: accepted by workers beside the first while the secret is being
            rotated.
        log_pii: whether fields under `pii.` are written; off, they never leave the process.
        otel_exporter_otlp_endpoint: where traces of call set-up go, as OTLP over HTTP; none are
            made without it.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_timeout_s: Seconds = 0.5
    link_secret: SharedSecret
    link_secret_secondary: SharedSecret | None = None
    log_level: LogLevel = "info"
    log_pii: bool = False
    otel_exporter_otlp_endpoint: str | None = None

    @property
    def link_secrets(self) -> tuple[str, ...]:
        """The secrets whose session tokens are good, first the current one."""
        return _values(self.link_secret, self.link_secret_secondary)

    @classmethod
    def load(cls: type[AnySettings], **overrides: object) -> AnySettings:
        """Reads the environment.

        Args:
            overrides: values that win over the environment, by field name.

        Raises:
            ConfigurationError: names every variable that is missing or wrong.
        """
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from None


class GatewaySettings(CommonSettings):
    """The gateway's settings.

    Attributes:
        public_base_url: the address under which the carrier reaches this gateway. Signatures are
            checked against it, never against the `Host` header, which proxies rewrite.
        metrics_host: where the metrics page listens; by default nobody outside this host sees it.
        metrics_port: the metrics page's own port; never let a public proxy pass it.
        gateway_pools: worker pools in order of preference.
        routes_file: which number is answered by which persona; without it, what the admin app has
            published counts.
        max_calls: calls that this process carries at once; one more is "no free slot".
        max_call_s: a call is hung up after this time.
        gateway_drain_s: after the first SIGTERM, how long live calls may go on.
        start_timeout_s: a media socket must say `start` within this time.
        stream_token_ttl_s: how long the one-time address of a media socket stays good.
        max_message_bytes: size limit of one message on a media socket (a usual one has 300).
        max_audio_lead_s: how far a caller's audio may run ahead of real time before the call is
            ended; a burst after a network stall catches up with real time and never passes it.
        no_capacity_status: HTTP status of the "all lines are busy" TwiML. With 503 Twilio ignores
            the body and asks the number's fallback URL, or tells the caller of an application
            error when there is none; with 200 the caller hears the TwiML itself.
        twilio_auth_token_secondary: accepted beside the first while the token is being rotated.
        twilio_account_sid: turns hang-up and transfer by REST on; without it the only way to
            leave a call is to close its socket, after which the fallback verb runs.
        twilio_fallback_verb: what the caller gets when the gateway closes the socket.
        twilio_fallback_value: text to say, URL to redirect to, or number to dial.
        webrtc_secret: signs the tokens of browser calls; without it there are no browser calls.
        webrtc_origins: pages that may place calls, such as https://www.example.com, separated by
            commas; the gateway's own pages always may.
        webrtc_personas: personas that browsers may call; all that have a route when empty.
        webrtc_token_ttl_s: from the click to the call's first message.
        webrtc_max_call_s: a browser call is hung up after this time.
        webrtc_max_calls: browser calls of this process at once.
        webrtc_calls_per_visitor: calls of one address at once.
        webrtc_requests_per_minute: calls that one address may ask for.
        webrtc_connect_timeout_s: how long browser and gateway may look for a way to each other.
        stun_urls: for example stun:stun.example.com:3478, separated by commas.
        turn_urls: for example turn:turn.example.com:3478?transport=udp, separated by commas.
        turn_secret: shared with the TURN server; credentials are minted for each session.
        turn_ttl_s: how long such a credential may be used to allocate a relay.
    """

    gateway_id: str = Field(default_factory=lambda: _unique_id("gateway"))
    gateway_host: str = "127.0.0.1"
    gateway_port: Port = 8080
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 8081
    public_base_url: str
    gateway_pools: Annotated[tuple[str, ...], NoDecode, Field(min_length=1)] = ("main",)
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
    no_capacity_status: Annotated[int, Field(ge=200, le=599)] = 503
    no_capacity_message: str = "All our lines are busy right now. Please call again in a minute."

    twilio_auth_token: SecretStr
    twilio_auth_token_secondary: SecretStr | None = None
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
    webrtc_connect_timeout_s: Seconds = 15.0
    stun_urls: Names = ()
    turn_urls: Names = ()
    turn_secret: SecretStr | None = None
    turn_ttl_s: Annotated[int, Field(ge=60)] = 600

    @field_validator(
        "gateway_pools",
        "webrtc_origins",
        "webrtc_personas",
        "stun_urls",
        "turn_urls",
        mode="before",
    )
    @classmethod
    def _split_names(cls, value: object) -> object:
        return _split(value)

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

    @property
    def own_origin(self) -> str:
        """The origin of the gateway's own pages."""
        parts = urlsplit(self.public_base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def auth_tokens(self) -> tuple[str, ...]:
        """The Twilio auth tokens whose signatures are good, first the current one."""
        return _values(self.twilio_auth_token, self.twilio_auth_token_secondary)


class SipSettings(CommonSettings):
    """The SIP gateway's settings.

    Attributes:
        gateway_pools: worker pools in order of preference.
        trunks_file: who may call from where, and which number is answered by which persona; where
            it does not say, what the admin app publishes counts.
        sip_bind_host: where sockets listen; never all interfaces of a host by accident.
        sip_advertised_host: the address in Contact, Via and SDP; the bound one when empty.
        sip_udp_port, sip_tcp_port, sip_tls_port: -1 leaves a transport out.
        sip_tls_certificate, sip_tls_key: PEM files; needed for TLS.
        sip_tls_ca: PEM file that peers' certificates are checked against when we connect; the
            system's when empty.
        sip_tls_require_client: a peer that connects must show a certificate of that CA.
        sip_http_host, sip_http_port: /healthz and /readyz.
        metrics_host, metrics_port: the metrics page, on a port of its own.
        rtp_first_port, rtp_last_port: two for each call.
        rtp_timeout_s: a call without a packet for so long is ended.
        max_calls: calls that this process carries at once.
    """

    gateway_id: str = Field(default_factory=lambda: _unique_id("sip"))
    gateway_pools: Annotated[tuple[str, ...], NoDecode, Field(min_length=1)] = ("main",)
    trunks_file: Path | None = None
    personas_dir: Path | None = None

    sip_bind_host: str = "127.0.0.1"
    sip_advertised_host: str | None = None
    sip_udp_port: Annotated[int, Field(ge=-1, le=65_535)] = 5060
    sip_tcp_port: Annotated[int, Field(ge=-1, le=65_535)] = 5060
    sip_tls_port: Annotated[int, Field(ge=-1, le=65_535)] = -1
    sip_tls_certificate: Path | None = None
    sip_tls_key: Path | None = None
    sip_tls_ca: Path | None = None
    sip_tls_require_client: bool = False
    sip_http_host: str = "127.0.0.1"
    sip_http_port: Port = 8082
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 8083
    rtp_first_port: Annotated[int, Field(ge=1_024, le=65_534)] = 10_000
    rtp_last_port: Annotated[int, Field(ge=1_025, le=65_535)] = 10_199
    rtp_timeout_s: Seconds = 30.0

    max_calls: Annotated[int, Field(ge=1)] = 100
    max_call_s: Seconds = 3_600.0
    gateway_drain_s: Seconds = 60.0
    start_timeout_s: Seconds = 5.0
    session_token_ttl_s: Seconds = 30.0
    link_open_timeout_s: Seconds = 5.0
    max_audio_lead_s: Seconds = 2.0

    @field_validator("gateway_pools", mode="before")
    @classmethod
    def _split_pools(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if self.sip_tls_port >= 0 and not (self.sip_tls_certificate and self.sip_tls_key):
            raise ValueError("SIP_TLS_PORT needs SIP_TLS_CERTIFICATE and SIP_TLS_KEY")
        if self.rtp_last_port - self.rtp_first_port + 1 < 2 * self.max_calls:
            raise ValueError("RTP_FIRST_PORT to RTP_LAST_PORT must hold two ports for each call")
        return self

    @property
    def advertised_host(self) -> str:
        """What peers are told."""
        return self.sip_advertised_host or self.sip_bind_host


class WorkerSettings(CommonSettings):
    """The worker's settings.

    Attributes:
        worker_pool: the pool that the worker joins.
        worker_port: the link's port (one WebSocket per call).
        worker_url: where gateways reach the link; derived from host and port when empty.
        worker_http_port: port of /healthz, /readyz and /metrics.
        worker_slots: how many calls at once.
        engine: which engine answers; `rehearsal` is a partner for tests, not a model.
        personas_dir: the personas to make ready at start; the shipped ones when empty.
        heartbeat_s: how often the worker tells the broker that it lives.
        drain_deadline_s: how long a draining worker lets its calls go on.
        pod_name, pod_namespace: this worker's pod; set, it tells the cluster how many calls it
            has, so that a scale-down picks an idle one.
        kubernetes_service_host, kubernetes_service_port: set by Kubernetes in every pod.

    For ENGINE=personaplex:
        checkpoint: a checkpoint folder or a Hugging Face repo id.
        checkpoint_revision: pinned revision of the repo; needed when `checkpoint` is a repo id.
        hf_token: access token for the repo.
        voices_dir: voice clips; the voices that come with the personas when empty.
        device: where the engine runs: `cpu`, `cuda` or `cuda:0`.
        engine_kernels, engine_graphs, engine_tf32: on a GPU, run the model in fused kernels, as
            recorded graphs, its codec in TF32; false for the plain way, to find a fault.
        kv_fp8: keep keys and values in 8 bits: twice the calls on a GPU.
        kv_pages: pages of keys and values; 0 takes what every slot's full window needs, or what
            the device has.
        weights_fp8: keep the model's layers in 8 bits: 6 GiB less; needs engine_kernels.
        gpu_reserve_gib: device memory that stays free of keys and values.
        min_window_positions: under memory pressure a call remembers at least so much; 12.5 a
            second.
        phase_groups: 2 lets the two halves of the slots tick 40 ms apart.
        prompt_positions: the longest prompt, voice included.
        cached_prompts: prompts that stay known while nobody uses them; at least the personas'.

    For ENGINE=cascade:
        cascade_threads: worker threads for all calls together; as many as there are cores.
        cascade_whisper: name, folder or hub id of another recogniser (CTranslate2); the packaged
            one when empty.
        cascade_voice: path of another Piper voice; the packaged one when empty.
        cascade_voices: Piper voices that speak for personas' voices, separated by commas:
            clara=/voices/en_US-amy-medium.onnx; the others are spoken by cascade_voice.
        cascade_cache_dir: keeps rendered lines between starts; memory only when empty.
        llm_base_url: of an OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1; without
            it the persona's dialogue answers alone.
        llm_model, llm_api_key: the model's name there, and the bearer key if it wants one.
        llm_first_sentence_s: after this long the persona's dialogue answers instead.
        llm_next_sentence_s: the longest pause between two sentences.
        llm_max_tokens: of one answer.
    """

    worker_id: str = Field(default_factory=lambda: _unique_id("worker"))
    worker_pool: str = "main"
    worker_host: str = "127.0.0.1"
    worker_port: Port = 8090
    worker_url: str | None = None
    worker_http_port: Port = 8091
    worker_slots: Annotated[int, Field(ge=1)] = 4
    engine: EngineKind = "rehearsal"
    checkpoint: str | None = None
    checkpoint_revision: str | None = None
    hf_token: SecretStr | None = None
    personas_dir: Path | None = None
    voices_dir: Path | None = None
    device: str = "cpu"
    heartbeat_s: Seconds = 1.0
    drain_deadline_s: Seconds = 3_600.0
    pod_name: str | None = None
    pod_namespace: str | None = None
    kubernetes_service_host: str | None = None
    kubernetes_service_port: Port = 443

    engine_kernels: bool = True
    engine_graphs: bool = True
    engine_tf32: bool = True
    kv_fp8: bool = False
    kv_pages: Annotated[int, Field(ge=0)] = 0
    weights_fp8: bool = False
    gpu_reserve_gib: Annotated[float, Field(ge=0)] = 3.0
    min_window_positions: Annotated[int, Field(ge=1)] = 1_500
    phase_groups: Annotated[int, Field(ge=1, le=2)] = 1
    prompt_positions: Annotated[int, Field(ge=1)] = 768
    cached_prompts: Annotated[int, Field(ge=0)] = 8

    cascade_threads: Annotated[int, Field(ge=1)] = 2
    cascade_whisper: str = ""
    cascade_voice: str = ""
    cascade_voices: Annotated[dict[str, Path], NoDecode] = Field(default_factory=dict)
    cascade_cache_dir: Path | None = None
    llm_base_url: str | None = None
    llm_model: str = ""
    llm_api_key: SecretStr | None = None
    llm_first_sentence_s: Seconds = 1.5
    llm_next_sentence_s: Seconds = 3.0
    llm_max_tokens: Annotated[int, Field(ge=1)] = 120

    @field_validator("cascade_voices", mode="before")
    @classmethod
    def _voices_by_name(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if not all(name.strip() and path.strip() for name, _, path in pairs):
            raise ValueError("write name=path, separated by commas")
        return {name.strip(): path.strip() for name, _, path in pairs}

    @model_validator(mode="after")
    def _endpoint_is_whole(self) -> Self:
        if self.llm_base_url is None:
            return self
        if urlsplit(self.llm_base_url).scheme not in HTTP_SCHEMES:
            raise ValueError("LLM_BASE_URL must begin with http:// or https://")
        if not self.llm_model:
            raise ValueError("LLM_BASE_URL needs LLM_MODEL, the model's name there")
        return self


class AdminSettings(CommonSettings):
    """The admin app's settings.

    Attributes:
        database_url: `sqlite:///file.db` or `postgresql://user:password@host/name`.
        admin_pools: worker pools that it shows, drains and primes.
        admin_secret: webhook signing secrets are derived from it; keep it with the database.
        admin_secure_cookies: cookies over https only; off for a trial on this machine.
        webhooks_private: whether webhooks may point into private networks.
        tokenizer_file: the checkpoint's sentencepiece model, for exact token counts; an estimate
            from above without it.
        browser_gateway_url: where the console's test calls go: the public address of a gateway that
            takes calls from browsers; its WEBRTC_ORIGINS must list the console's origin. Without
            one there are no test calls.
        first_numbers: whether the first start gives every shipped persona a made-up number.
    """

    admin_host: str = "127.0.0.1"
    admin_port: Port = 8070
    admin_pools: Annotated[tuple[str, ...], NoDecode, Field(min_length=1)] = ("main",)
    database_url: str = "sqlite:///callcenter.db"
    admin_secret: SharedSecret
    admin_secure_cookies: bool = True
    webhooks_private: bool = False
    personas_dir: Path | None = None
    tokenizer_file: Path | None = None
    browser_gateway_url: str = ""
    first_numbers: bool = False

    @field_validator("browser_gateway_url")
    @classmethod
    def _check_browser_gateway_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in HTTP_SCHEMES or not parts.hostname or parts.query):
            raise ValueError("must be an http(s) URL, for example https://voice.example.com")
        return value.rstrip("/")

    @field_validator("admin_pools", mode="before")
    @classmethod
    def _split_pools(cls, value: object) -> object:
        return _split(value)


def _values(*secrets_of_one_kind: SecretStr | None) -> tuple[str, ...]:
    return tuple(one.get_secret_value() for one in secrets_of_one_kind if one is not None)


def _split(value: object) -> object:
    """A comma-separated list from the environment."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _explain(error: ValidationError) -> str:
    """One line a wrong variable; never the value, which may be a secret."""
    lines = [
        f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False)
    ]
    return "the environment is not usable:\n  " + "\n  ".join(lines)
