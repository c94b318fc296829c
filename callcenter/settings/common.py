"""What all programs read, and the kinds of values that variables have."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from callcenter.errors import ConfigurationError

HTTP_SCHEMES = ("http", "https")
LOCAL_PROXIES = ("127.0.0.1", "::1")  # a reverse proxy on the same host


def _split(value: object) -> object:
    """A comma-separated list from the environment."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses and networks that leave somebody out, each written as it is meant."""
    for value in values:
        try:
            network = ipaddress.ip_network(value)
        except ValueError:
            raise ValueError(
                f"{value!r} is no address or network, for example 10.42.0.0/16"
            ) from None
        if not network.prefixlen:
            raise ValueError(f"{value} is everybody: then a visitor's address is what it says")
    return values


def listen_on(host: str) -> str:
    """A host as servers take it: `*` stands for every address, of IPv4 and IPv6."""
    return "" if host == "*" else host


LogLevel = Literal["debug", "info", "warning", "error"]
Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65_535)]  # 0: any free port
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]  # separated by commas
Proxies = Annotated[Names, AfterValidator(_networks)]
Pools = Annotated[Names, Field(min_length=1)]
NumberPrefix = Annotated[str, Field(pattern=r"^\+([1-9][0-9]{0,14})?$")]
NumberPrefixes = Annotated[tuple[NumberPrefix, ...], NoDecode, BeforeValidator(_split)]
SharedSecret = Annotated[SecretStr, Field(min_length=32)]

AnySettings = TypeVar("AnySettings", bound="CommonSettings")


class CommonSettings(BaseSettings):
    """What all programs read.

    Attributes:
        redis_url: Redis or Valkey: one server, Sentinels or a cluster; callcenter/broker/address.py
            shows the forms.
        redis_timeout_s: a command that takes longer counts as "Redis is down".
        link_secret: signs the session tokens between gateway and worker (HMAC-SHA256).
        link_secret_secondary: accepted by workers beside the first while the secret is being
            rotated.
        config_public_key: the admin app's public keys, separated by commas, as PEM or as
            `python -m callcenter keys` prints them: what others publish or order counts nothing.
            `none` where there is no admin app. When empty, the key of the first snapshot that is
            seen is trusted, which is for trials: whoever writes in Redis first is the admin then.
        log_level: the least urgent kind of log line that is written.
        log_format: `json`, one object a line; `text` for people; `auto` is text where standard
            error is a terminal.
        log_pii: whether fields under `pii.` are written; off, they never leave the process.
        http_max_connections: HTTP connections at once on the program's web port; those that have
            become WebSockets do not count.
        http_max_connections_per_host: the same of one address (of IPv6, one /64). All clients of a
            reverse proxy have its address.
        otel_exporter_otlp_endpoint: where traces of call set-up go, as OTLP over HTTP; none are
            made without it.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_timeout_s: Seconds = 0.5
    link_secret: SharedSecret
    link_secret_secondary: SharedSecret | None = None
    config_public_key: str = ""
    log_level: LogLevel = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    log_pii: bool = False
    http_max_connections: Annotated[int, Field(gt=0)] = 1_000
    http_max_connections_per_host: Annotated[int, Field(gt=0)] = 250
    otel_exporter_otlp_endpoint: str | None = None

    @property
    def link_secrets(self) -> tuple[str, ...]:
        """The secrets whose session tokens are good, first the current one."""
        return secret_values(self.link_secret, self.link_secret_secondary)

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


class LinkSettings(CommonSettings):
    """What programs read that open links to workers.

    Attributes:
        link_ca_file: PEM file of the CA that workers' certificates are checked against; with it
            only wss:// links are opened. Without one the link is plain: for a closed network.
        link_certificate, link_key: PEM files, for workers that ask for a certificate.
        link_server_name: what every worker's certificate names; the host in its address when empty.
    """

    link_ca_file: Path | None = None
    link_certificate: Path | None = None
    link_key: Path | None = None
    link_server_name: str = ""

    @model_validator(mode="after")
    def _link_tls_is_whole(self) -> Self:
        if (self.link_certificate is None) != (self.link_key is None):
            raise ValueError("LINK_CERTIFICATE and LINK_KEY need each other")
        if self.link_ca_file is None and (self.link_certificate or self.link_server_name):
            raise ValueError("LINK_CERTIFICATE and LINK_SERVER_NAME need LINK_CA_FILE")
        return self

    @property
    def link_tls(self) -> tuple[Path | None, Path | None, Path | None, str]:
        """CA, certificate, key and name, as `link.tls.client_tls` takes them."""
        return self.link_ca_file, self.link_certificate, self.link_key, self.link_server_name


def unique_id(program: str) -> str:
    """A name that is readable in logs and differs between two processes of one host."""
    return f"{program}-{socket.gethostname()}-{secrets.token_hex(3)}"


def secret_values(*secrets_of_one_kind: SecretStr | None) -> tuple[str, ...]:
    """The secrets that are set, in their order."""
    return tuple(one.get_secret_value() for one in secrets_of_one_kind if one is not None)


def _explain(error: ValidationError) -> str:
    """One line a wrong variable; never the value, which may be a secret."""
    lines = [
        f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False)
    ]
    return "the environment is not usable:\n  " + "\n  ".join(lines)
