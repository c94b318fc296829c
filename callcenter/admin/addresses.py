"""Which URLs webhooks may have, and which addresses are on the public internet.

The ranges are those of IANA's special-purpose registries for IPv4 and IPv6 (RFC 6890 and later),
written out: what a Python release calls global has changed between releases. An address that stands
for another one (IPv4 in IPv6, NAT64, 6to4, Teredo) is never public: it may lead anywhere.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import httpx

MAX_HOST_CHARS = 253  # RFC 1035 section 2.3.4, without the last dot
MAX_LABEL_CHARS = 63
SCHEMES = ("http", "https")
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")

_SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # carriers' NAT (RFC 6598)
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host agent: public by its number, inside by its route
        "169.254.0.0/16",  # link-local; clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, no longer used
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Global unicast is 2000::/3; loopback, v4-mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96 and
# 64:ff9b:1::/48), unique local, link-local and multicast all lie outside of it.
_GLOBAL_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo (2001::/32) among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    inside = address in _GLOBAL_V6 and address.scope_id is None
    return inside and not any(address in network for network in _SPECIAL_V6)


def check_url(value: str) -> str:
    """The URL itself, if a webhook may have it.

    Raises:
        ValueError: it is none, or one that no request can be sent to; says why.
    """
    if not value.isprintable() or " " in value or "\\" in value:
        raise ValueError("must be a URL without blanks, control characters and backslashes")
    try:
        parts, url = urlsplit(value), httpx.URL(value)
        port = parts.port
    except (ValueError, httpx.InvalidURL):  # port, IPv6 brackets, IDNA
        raise ValueError("must be an http(s) URL, such as https://example.com/calls") from None
    if parts.scheme.lower() not in SCHEMES or not parts.hostname:
        raise ValueError("must be an http(s) URL with a host")
    if "@" in parts.netloc:
        raise ValueError("must be a URL without a user in it")
    if port == 0:
        raise ValueError("the port must be 1 to 65535")
    _check_host(url.raw_host.decode("ascii"))
    return value


def _check_host(host: str) -> None:
    """Looks at a host in its ASCII form (IDNA)."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:  # a name
        pass
    else:
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            raise ValueError("an address with a zone is of one machine only")
        return
    labels = host.removesuffix(".").split(".")
    if len(host) > MAX_HOST_CHARS or not all(0 < len(one) <= MAX_LABEL_CHARS for one in labels):
        raise ValueError(
            f"the host's name has at most {MAX_HOST_CHARS} characters, and 1 to {MAX_LABEL_CHARS} "
            "between two dots"
        )
    if not all(set(label.lower()) <= _LABEL for label in labels):
        raise ValueError("the host's name has characters that names cannot have")
