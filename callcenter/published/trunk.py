"""Trunks as an admin writes them: where calls come in from, and how a SIP trunk is spoken with.

Secrets stand in the environment of the gateways; here are the names of their variables only. Those
names begin with TRUNK_: a digest made with a secret goes to whatever host the trunk names, so that
no other variable of a gateway's may be named.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator
from pydantic import model_validator as check

from callcenter.published.document import Document, Name, Title

SECRETS_PREFIX = "TRUNK_"
SecretRef = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
# It also becomes the user of a SIP URI, so it is narrower than digest's.
Username = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+._~*!-]{1,64}$")]
Transport = Literal["udp", "tcp", "tls"]
Codec = Literal["opus", "g722", "pcmu", "pcma"]
# Digits in front of a number in place of its plus.
Prefix = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}$")]
RegistrarUri = Annotated[
    str,
    StringConstraints(
        max_length=300,
        pattern=r"^sips?:([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?"
        r"(;transport=(udp|tcp|tls))?$",
    ),
]


def _has_a_port_that_is_one(value: str) -> str:
    port = value.partition(";")[0].rpartition(":")[2]
    if port.isdecimal() and int(port) > 65_535:
        raise ValueError(f"{port} is no port")
    return value


ProxyUri = Annotated[RegistrarUri, AfterValidator(_has_a_port_that_is_one)]


class Registrar(Document):
    """Where the gateways register for the calls of a trunk (RFC 3261 10).

    Attributes:
        uri: such as "sip:pbx.example.com;transport=tls".
        username: of the account: the user of its address of record.
        auth_username: that its password belongs to; None for the same. With the password it also
            answers the far end's challenges to calls of ours.
        secret_ref: name of the environment variable that holds its password: TRUNK_...
        expires_s: asked for; what the registrar grants counts.
    """

    uri: ProxyUri
    username: Username
    auth_username: Username | None = None
    secret_ref: SecretRef
    expires_s: Annotated[int, Field(ge=60, le=86_400)] = 300


class SipOptions(Document):
    """How a SIP trunk is spoken with.

    Attributes:
        username: that the far end logs in as with the trunk's secret; None for the trunk's name.
        transports: over which it may call.
        srtp: whether audio is encrypted.
        codecs: in order of preference.
        registrar: None for a trunk that needs no registration.
        outbound_proxy: first hop of REGISTER and of calls of ours, such as
            "sip:edge.example.com;transport=tls"; None sends them to the registrar or the far end.
        international_prefixes: what the far end writes in place of a number's plus, such as "00"
            or "011"; numbers are compared without them.
        trust_identity: the far end's P-Asserted-Identity or Remote-Party-ID says who calls; without
            it From does, and those are kept as attributes only.
    """

    username: Username | None = None
    transports: Annotated[list[Transport], Field(min_length=1)] = Field(
        default_factory=lambda: list[Transport](("udp", "tcp", "tls"))
    )
    srtp: Literal["never", "may", "must"] = "may"
    codecs: Annotated[list[Codec], Field(min_length=1)] = Field(
        default_factory=lambda: list[Codec](("pcmu", "pcma"))
    )
    registrar: Registrar | None = None
    outbound_proxy: ProxyUri | None = None
    international_prefixes: Annotated[list[Prefix], Field(max_length=8)] = Field(
        default_factory=list
    )
    trust_identity: bool = False

    @field_validator("transports", "codecs")
    @classmethod
    def _each_stands_there_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("one of them is listed twice")
        return value

    @check(mode="after")
    def _keys_are_not_shown(self) -> Self:
        if self.srtp == "must" and self.transports != ["tls"]:
            raise ValueError("srtp 'must' needs transports ['tls']: SDP carries the keys")
        return self


class Trunk(Document):
    """Where calls come in from.

    Attributes:
        kind: the carrier's protocol.
        addresses: networks that may send calls over it (CIDR); empty allows every one.
        secret_ref: name of the environment variable that holds the trunk's secret: TRUNK_...;
            never the secret itself.
        max_channels: calls at once; None for no bound of its own.
        sip: of a SIP trunk; None for the usual.
    """

    name: Name
    title: Title
    kind: Literal["twilio", "sip", "webrtc"]
    addresses: Annotated[list[str], Field(max_length=64)] = Field(default_factory=list)
    secret_ref: SecretRef | None = None
    max_channels: Annotated[int, Field(ge=1, le=100_000)] | None = None
    sip: SipOptions | None = None

    @field_validator("addresses")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for network in value:
            try:
                ipaddress.ip_network(network)
            except ValueError:  # its text speaks of Python
                raise ValueError(
                    f"'{network}' is no network; write one such as 192.0.2.0/24 or 2001:db8::/32,"
                    " with zeros behind the prefix"
                ) from None
        return value

    @check(mode="after")
    def _sip_options_fit(self) -> Self:
        if self.sip is None:
            return self
        if self.kind != "sip":
            raise ValueError(f"a trunk of kind '{self.kind}' has no 'sip'; leave it out")
        if self.sip.username and self.secret_ref is None:
            raise ValueError("'sip.username' logs in with a secret; name it in 'secret_ref'")
        return self

    def secret_refs(self) -> dict[str, str]:
        """The variables that it names, by JSON pointers to their names."""
        registrar = self.sip.registrar if self.sip else None
        named = {
            "/secret_ref": self.secret_ref,
            "/sip/registrar/secret_ref": registrar.secret_ref if registrar else None,
        }
        return {place: name for place, name in named.items() if name is not None}
