"""What all programs read, and the kinds of values that variables have."""

from __future__ import annotations

import secrets
import socket
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from callcenter.errors import ConfigurationError

HTTP_SCHEMES = ("http", "https")


def _split(value: object) -> object:
    """A comma-separated list from the environment."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


LogLevel = Literal["debug", "info", "warning", "error"]
Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65_535)]  # 0: any free port
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]  # separated by commas
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
        log_level: the least urgent kind of log line that is written.
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
