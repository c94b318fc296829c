"""What the SIP gateway reads."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from callcenter.settings.common import (
    LinkSettings,
    Names,
    NumberPrefixes,
    Pools,
    Port,
    Seconds,
    unique_id,
)


class SipSettings(LinkSettings):
    """The SIP gateway's settings.

    Attributes:
        gateway_id: its name in claims; made up from the host's when empty.
        gateway_pools: worker pools in order of preference.
        trunks_file: who may call from where, and which number is answered by which persona; where
            it does not say, what the admin app publishes counts.
        personas_dir: persona files in place of the shipped ones.
        sip_bind_host: where sockets listen; never all interfaces of a host by accident.
        sip_advertised_host: the address in Contact, Via and SDP; the bound one when empty.
        sip_udp_port, sip_tcp_port, sip_tls_port: -1 leaves a transport out.
        sip_tls_certificate, sip_tls_key: PEM files; needed for TLS.
        sip_tls_ca: PEM file that peers' certificates are checked against when we connect; the
            system's when empty.
        sip_tls_require_client: a peer that connects must show a certificate of that CA.
        sip_dns_servers: who is asked for SRV, NAPTR and address records of registrars, proxies and
            far ends, as addresses, or addresses and ports ("192.0.2.53:5353", "[2001:db8::1]:53");
            the system's when empty.
        sip_connections: TCP and TLS connections at once, ours included.
        sip_connections_per_host: that one host may have opened; some trunks open one for each call.
        sip_message_s: a connection's first message must be whole within this time, and every other
            one from its first byte on; so must the TLS handshake be.
        sip_idle_s: a connection over which nothing came for so long is closed, unless a live call
            or a registration uses it.
        sip_http_host, sip_http_port: /healthz and /readyz.
        metrics_host, metrics_port: the metrics page, on a port of its own.
        rtp_first_port, rtp_last_port: two for each call.
        rtp_timeout_s: a call without a packet for so long is ended.
        max_calls: calls that this process carries at once.
        max_call_s: a call is hung up after this time.
        gateway_drain_s: after the first SIGTERM, how long live calls may go on.
        start_timeout_s: a call's leg must have started within this time.
        session_token_ttl_s: how long a session token opens a link to a worker.
        link_open_timeout_s: a worker must have taken a session within this time.
        max_audio_lead_s: how far a caller's audio may run ahead of real time.
        transfer_prefixes: beginnings of the numbers that operators may transfer calls to, such as
            +49,+1800, separated by commas; "+" allows every number. Empty allows none but the one
            that the call's own route or persona hands over to: a number that anybody may type can
            be a premium one.
    """

    gateway_id: str = Field(default_factory=lambda: unique_id("sip"))
    gateway_pools: Pools = ("main",)
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
    sip_dns_servers: Names = ()
    sip_connections: Annotated[int, Field(ge=1)] = 500
    sip_connections_per_host: Annotated[int, Field(ge=1)] = 100
    sip_message_s: Seconds = 10.0
    sip_idle_s: Seconds = 600.0
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
    transfer_prefixes: NumberPrefixes = ()

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if self.sip_tls_port >= 0 and not (self.sip_tls_certificate and self.sip_tls_key):
            raise ValueError("SIP_TLS_PORT needs SIP_TLS_CERTIFICATE and SIP_TLS_KEY")
        if self.rtp_last_port - self.rtp_first_port + 1 < 2 * self.max_calls:
            raise ValueError("RTP_FIRST_PORT to RTP_LAST_PORT must hold two ports for each call")
        return self

    @field_validator("sip_dns_servers")
    @classmethod
    def _are_addresses(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            _address_and_port(server)
        return servers

    @property
    def dns_servers(self) -> list[tuple[str, int]]:
        """Address and port of each."""
        return [_address_and_port(server) for server in self.sip_dns_servers]

    @property
    def advertised_host(self) -> str:
        """What peers are told."""
        return self.sip_advertised_host or self.sip_bind_host


def _address_and_port(text: str) -> tuple[str, int]:
    """Reads a DNS server.

    Raises:
        ValueError: no address, or no port.
    """
    host, port = text, "53"
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket:
            raise ValueError(f"{text!r} lacks its closing bracket")
        port = port.removeprefix(":") or "53"
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    ipaddress.ip_address(host)  # raises ValueError, which says what is wrong
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= 65_535):
        raise ValueError(f"{port!r} is no port; write it as in '192.0.2.53:53'")
    return host, int(port)
