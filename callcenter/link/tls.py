"""TLS on the link: certificates of the workers, and of the gateways where workers ask for them.

A link carries what callers say. Without TLS it belongs in a network that nobody else can listen in;
with it, each end proves by a certificate of the installation's own CA who it is.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from callcenter.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class LinkTls:
    """How a gateway checks workers.

    Attributes:
        context: with the CA, and with the gateway's own certificate if it has one.
        server_name: what every worker's certificate must name; None for the address's own host.
    """

    context: ssl.SSLContext
    server_name: str | None = None


def client_tls(
    ca: Path | None, certificate: Path | None, key: Path | None, server_name: str
) -> LinkTls | None:
    """The gateway's end; None without a CA: then links are plain.

    Raises:
        ConfigurationError: a file cannot be used.
    """
    if ca is None:
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # not there, not PEM, or a key of another certificate
        raise ConfigurationError(f"LINK_CA_FILE, LINK_CERTIFICATE or LINK_KEY: {error}") from None
    return LinkTls(context, server_name or None)


def server_tls(
    certificate: Path | None, key: Path | None, client_ca: Path | None
) -> ssl.SSLContext | None:
    """The worker's end; None without a certificate.

    Args:
        certificate: the worker's, PEM.
        key: its private key.
        client_ca: gateways must show a certificate of this CA; None asks for none.

    Raises:
        ConfigurationError: a file cannot be used.
    """
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"WORKER_TLS_CERTIFICATE, WORKER_TLS_KEY or WORKER_TLS_CLIENT_CA: {error}"
        ) from None
    return context
