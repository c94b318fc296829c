"""What the admin app reads."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from callcenter.settings.common import (
    HTTP_SCHEMES,
    LOCAL_PROXIES,
    CommonSettings,
    LinkSettings,
    Names,
    Pools,
    Port,
    Proxies,
    SharedSecret,
)

Minutes = Annotated[int, Field(ge=1, le=720)]
ClockSkew = Annotated[int, Field(ge=0, le=600)]
Days = Annotated[int, Field(ge=0, le=36_500)]


class OidcSettings(CommonSettings):
    """How people come in over an OpenID provider; off without OIDC_ISSUER.

    Attributes:
        oidc_issuer: the provider, letter by letter as its discovery document has it; https, or http
            on the loopback for a trial.
        oidc_client_id, oidc_client_secret: how it knows this app; no secret for a public client.
            Its redirect address is ADMIN_PUBLIC_URL/admin/oidc/callback.
        oidc_title: what the log-in page calls it.
        oidc_scopes: what is asked for; must hold openid.
        oidc_roles_claim: where a person's roles stand in the ID token or in userinfo; dots lead
            into objects: realm_access.roles.
        oidc_admins, oidc_operators, oidc_viewers: values of that claim which give the role; the
            highest counts, and nobody without one gets in.
        oidc_email_domains: e-mail addresses that may come in, verified ones only; empty: all.
        oidc_groups_claim, oidc_groups: where groups stand, and those that may come in; empty: all.
        oidc_clock_skew_s: how far the provider's clock may differ.
        admin_public_url: where browsers reach this app; required with OIDC_ISSUER.
    """

    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr | None = None
    oidc_title: Annotated[str, Field(min_length=1, max_length=60)] = "single sign-on"
    oidc_scopes: str = "openid profile email"
    oidc_roles_claim: Annotated[str, Field(min_length=1)] = "roles"
    oidc_admins: Names = ("admin",)
    oidc_operators: Names = ("operator",)
    oidc_viewers: Names = ("viewer",)
    oidc_email_domains: Names = ()
    oidc_groups_claim: Annotated[str, Field(min_length=1)] = "groups"
    oidc_groups: Names = ()
    oidc_clock_skew_s: ClockSkew = 60
    admin_public_url: str = ""

    @field_validator("oidc_issuer", "admin_public_url")
    @classmethod
    def _check_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if not value:
            return value
        if parts.scheme not in HTTP_SCHEMES or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an https URL, for example https://login.example.com")
        if parts.scheme == "http" and not _on_this_machine(parts.hostname):
            raise ValueError("must be https: what goes over it lets people in")
        return value

    @model_validator(mode="after")
    def _check_whole(self) -> OidcSettings:
        if not self.oidc_issuer:
            return self
        missing = [
            name for name in ("oidc_client_id", "admin_public_url") if not getattr(self, name)
        ]
        if missing:
            names = " and ".join(name.upper() for name in missing)
            raise ValueError(f"OIDC_ISSUER needs {names}")
        if "openid" not in self.oidc_scopes.split():
            raise ValueError("OIDC_SCOPES must hold openid")
        return self


class AdminSettings(OidcSettings, LinkSettings):
    """The admin app's settings.

    Attributes:
        admin_host, admin_port: where it listens; host * is every address, of IPv4 and IPv6.
        forwarded_allow_ips: addresses or networks of the reverse proxies in front, separated by
            commas: their X-Forwarded-For tells who a visitor is. Nobody else's is believed.
        metrics_host, metrics_port: the metrics page, on a port of its own that no public proxy
            passes.
        database_url: `sqlite:///file.db` or `postgresql://user:password@host/name`. PostgreSQL
            that is not on this machine must speak TLS, with a certificate of its name; after `?`,
            `sslrootcert=/file.pem` names another authority than the system's, `sslmode` one of
            verify-full, verify-ca, require (no look at the certificate) and disable.
        admin_pools: worker pools that it shows, drains and primes.
        admin_secret: webhook signing secrets and the signature of log-ins on their way are derived
            from it; keep it with the database.
        config_signing_key: Ed25519 private key that signs what is published and ordered, as
            `python -m callcenter keys` prints it, or PEM; derived from admin_secret when empty.
        admin_secure_cookies: cookies over https only, and browsers told to use nothing else for
            this host and those below it; off for a trial on this machine.
        admin_key_login: whether an API key's secret opens the console; off where all people come
            over the OpenID provider.
        first_admin_key_file: where the first start writes the first admin's key, for its owner
            only. The key ends after 24 h, or when another admin gets in; the file goes with it.
        session_idle_minutes: how long a person may be away before the console asks them to log in
            again; 12 h after a log-in it does so in any case.
        reauth_minutes: how old a log-in may be before keys and trunks are changed.
        calls_kept_days: how long a call is kept with its numbers and words; 0: for ever.
        webhooks_private: whether webhooks may point into private networks, or any other addresses
            than those of the public internet. They are called directly, through no proxy.
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
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 8071
    admin_pools: Pools = ("main",)
    forwarded_allow_ips: Proxies = LOCAL_PROXIES
    database_url: str = "sqlite:///callcenter.db"
    admin_secret: SharedSecret
    config_signing_key: SecretStr | None = None
    admin_secure_cookies: bool = True
    admin_key_login: bool = True
    first_admin_key_file: Path = Path("first_admin_key")
    session_idle_minutes: Minutes = 60
    reauth_minutes: Minutes = 15
    calls_kept_days: Days = 90
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

    @model_validator(mode="after")
    def _check_a_way_in(self) -> AdminSettings:
        if not self.admin_key_login and not self.oidc_issuer:
            raise ValueError("ADMIN_KEY_LOGIN=false needs OIDC_ISSUER: else nobody gets in")
        return self


def _on_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return False
