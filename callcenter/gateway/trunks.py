"""The trunks file: who may call over SIP, how, and which number is answered by which persona.

Read once at start-up; a wrong line stops the start and not a call. Passwords come from files, so
that the trunks file itself holds no secret.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from callcenter.errors import ConfigurationError, ProtocolError
from callcenter.gateway.routes import Route
from callcenter.published import number as numbers
from callcenter.published.trunk import Prefix, ProxyUri
from callcenter.telephony.sip.auth import Credentials
from callcenter.telephony.sip.media_plan import CODECS
from callcenter.telephony.sip.networks import Network, is_address
from callcenter.telephony.sip.trunk import Trunk
from callcenter.telephony.sip.uri import SipUri, parse_uri
from personas.errors import PersonaError
from personas.library import Library

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Dialled = Annotated[str, Field(pattern=r"^[+0-9A-Za-z*#._-]{1,64}$")]
Username = Annotated[str, Field(min_length=1, max_length=128)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Target(_Strict):
    persona: str
    variables: dict[str, str] = Field(default_factory=dict)
    transfer_to: Dialled | None = None


class _Number(_Target):
    number: Dialled


class _Login(_Strict):
    username: Username
    password_file: str


class _Register(_Strict):
    registrar: str
    username: Username
    auth_username: Username | None = None
    password_file: str
    expires_s: Annotated[int, Field(ge=60, le=86_400)] = 300


class _Trunk(_Strict):
    name: Name
    networks: Annotated[list[str], Field(min_length=1)]
    login: _Login | None = None
    register_at: Annotated[_Register | None, Field(alias="register")] = None
    transports: Annotated[list[Literal["udp", "tcp", "tls"]], Field(min_length=1)] = [
        "udp",
        "tcp",
        "tls",
    ]
    srtp: Literal["never", "may", "must"] = "may"
    codecs: Annotated[list[str], Field(min_length=1)] = ["pcmu", "pcma"]
    max_channels: Annotated[int, Field(ge=1, le=2_000)] = 100
    invites_per_s: Annotated[float, Field(gt=0)] = 20.0
    no_capacity_status: Annotated[int, Field(ge=400, le=699)] = 503
    retry_after_s: Annotated[int, Field(ge=1, le=3_600)] = 5
    transfer_uri: str = "sip:{number}@{host}"
    transfer: Literal["blind", "attended"] = "blind"
    international_prefixes: Annotated[list[Prefix], Field(max_length=8)] = Field(
        default_factory=list
    )
    outbound_proxy: ProxyUri | None = None
    trust_identity: bool = False
    numbers: list[_Number] = Field(default_factory=list)
    default: _Target | None = None

    @field_validator("codecs")
    @classmethod
    def _known_codecs(cls, names: list[str]) -> list[str]:
        unknown = sorted(set(names) - CODECS.keys())
        if unknown:
            raise ValueError(f"codec {unknown[0]!r} is unknown; use some of {', '.join(CODECS)}")
        return names

    @field_validator("networks")
    @classmethod
    def _known_networks(cls, texts: list[str]) -> list[str]:
        for text in texts:
            ipaddress.ip_network(text)
        return texts

    @model_validator(mode="after")
    def _keys_are_not_shown(self) -> Self:
        if self.srtp == "must" and self.transports != ["tls"]:
            raise ValueError("srtp 'must' needs transports: [tls]: SDP carries the keys")
        return self


class _File(_Strict):
    trunks: Annotated[list[_Trunk], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class RegisterAt:
    """Where a trunk wants us registered.

    Attributes:
        credentials: for the registrar's challenges.
        user: of the address of record; "" for the credentials' own name.
        proxy: first hop; None for the registrar itself.
    """

    registrar: SipUri
    credentials: Credentials
    expires_s: int
    user: str = ""
    proxy: SipUri | None = None

    @property
    def username(self) -> str:
        """Of the account; whom the password belongs to may have another name."""
        return self.user or self.credentials.username


@dataclass(frozen=True, slots=True)
class TrunkRoutes:
    """A trunk with what its numbers lead to.

    Attributes:
        by_number: number in its canonical form -> route.
        default: for every other number; None refuses those calls with 404.
    """

    trunk: Trunk
    by_number: Mapping[str, Route]
    default: Route | None
    register_at: RegisterAt | None

    @property
    def answers(self) -> bool:
        """Whether the file says who answers; else the published routes do."""
        return bool(self.by_number) or self.default is not None

    def find(self, called: str) -> Route | None:
        """The route of a dialled number."""
        prefixes = self.trunk.international_prefixes
        return numbers.find_in(self.by_number, called, prefixes) or self.default


def names_of(register_at: RegisterAt | None, proxy: SipUri | None) -> frozenset[str]:
    """The hosts that a trunk's own configuration gives by name: of its registrar and its proxy."""
    uris = (register_at.registrar if register_at is not None else None, proxy)
    hosts = {host for uri in uris if uri is not None for host in (uri.host, uri.peer().host)}
    return frozenset(host for host in hosts if not is_address(host.strip("[]")))


def load(path: Path, library: Library) -> dict[str, TrunkRoutes]:
    """Reads a trunks file and renders the persona of every number.

    Raises:
        ConfigurationError: names the file and the field that is wrong.
    """
    trunks: dict[str, TrunkRoutes] = {}
    for index, entry in enumerate(_read(path).trunks):
        place = f"{path}: trunks[{index}]"
        if entry.name in trunks:
            raise ConfigurationError(f"{place}.name: there is a trunk {entry.name!r} already")
        trunks[entry.name] = _trunk(place, entry, path.parent, library)
    return trunks


def _read(path: Path) -> _File:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not YAML: {error}") from None
    try:
        return _File.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {place}: {first['msg']}") from None


def _trunk(place: str, entry: _Trunk, folder: Path, library: Library) -> TrunkRoutes:
    login, register = entry.login, entry.register_at
    outbound = _credentials(place, register, folder) if register else None
    proxy = parse_uri(entry.outbound_proxy) if entry.outbound_proxy else None
    register_at = None
    if register is not None and outbound is not None:
        registrar = _uri(place, register.registrar)
        register_at = RegisterAt(registrar, outbound, register.expires_s, register.username, proxy)
    trunk = Trunk(
        name=entry.name,
        networks=tuple(_networks(entry.networks)),
        credentials=_credentials(place, login, folder) if login else None,
        outbound=outbound,
        transports=frozenset(entry.transports),
        srtp=entry.srtp,
        codecs=tuple(entry.codecs),
        max_channels=entry.max_channels,
        invites_per_s=entry.invites_per_s,
        no_capacity_status=entry.no_capacity_status,
        retry_after_s=entry.retry_after_s,
        transfer_uri=entry.transfer_uri,
        attended_transfer=entry.transfer == "attended",
        international_prefixes=tuple(entry.international_prefixes),
        outbound_proxy=proxy,
        trust_identity=entry.trust_identity,
        names=names_of(register_at, proxy),
    )
    by_number = _by_number(place, entry, library)
    default = _route(f"{place}.default", entry.default, library) if entry.default else None
    return TrunkRoutes(trunk, by_number, default, register_at)


def _by_number(place: str, entry: _Trunk, library: Library) -> dict[str, Route]:
    """The routes by numbers in their canonical form.

    Raises:
        ConfigurationError: two spellings of one number.
    """
    found: dict[str, Route] = {}
    for target in entry.numbers:
        name = numbers.canonical(target.number, entry.international_prefixes)
        if numbers.find_in(found, name) is not None:
            raise ConfigurationError(f"{place}.numbers: {target.number} stands there twice")
        found[name] = _route(f"{place}.{target.number}", target, library)
    return found


def _networks(texts: list[str]) -> list[Network]:
    return [ipaddress.ip_network(text) for text in texts]


def _credentials(place: str, login: _Login | _Register, folder: Path) -> Credentials:
    path = folder / login.password_file
    try:
        password = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{place}.password_file: {path} cannot be read") from None
    if not password:
        raise ConfigurationError(f"{place}.password_file: {path} is empty")
    name = login.auth_username if isinstance(login, _Register) else None
    return Credentials(name or login.username, password)


def _uri(place: str, text: str) -> SipUri:
    try:
        return parse_uri(text)
    except ProtocolError as error:
        raise ConfigurationError(f"{place}.register.registrar: {error}") from None


def _route(place: str, target: _Target, library: Library) -> Route:
    try:
        persona = library[target.persona].render(target.variables)
    except PersonaError as error:
        raise ConfigurationError(f"{place}: {error}") from None
    return Route(persona, target.transfer_to)
