"""What the admin app reads."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from callcenter.settings.common import HTTP_SCHEMES, LinkSettings, Pools, Port, SharedSecret


class AdminSettings(LinkSettings):
    """The admin app's settings.

    Attributes:
        admin_host, admin_port: where it listens.
        database_url: `sqlite:///file.db` or `postgresql://user:password@host/name`.
        admin_pools: worker pools that it shows, drains and primes.
        admin_secret: webhook signing secrets are derived from it; keep it with the database.
        config_signing_key: Ed25519 private key that signs what is published and ordered, as
            `python -m callcenter keys` prints it, or PEM; derived from admin_secret when empty.
        admin_secure_cookies: cookies over https only; off for a trial on this machine.
        webhooks_private: whether webhooks may point into private networks.
        personas_dir: persona files that an empty store begins with; the shipped ones when empty.
        tokenizer_file: the checkpoint's sentencepiece model, for exact token counts; an estimate
            from above without it.
        browser_gateway_url: where the console's test calls go: the public address of a gateway that
            takes calls from browsers; its WEBRTC_ORIGINS must list the console's origin. Without
            one there are no test calls.
        first_numbers: whether the first start gives every shipped persona a made-up number.
    """

    admin_host: str = "127.0.0.1"
    admin_port: Port = 8070
    admin_pools: Pools = ("main",)
    database_url: str = "sqlite:///callcenter.db"
    admin_secret: SharedSecret
    config_signing_key: SecretStr | None = None
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
