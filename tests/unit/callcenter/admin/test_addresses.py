"""Webhooks' URLs, and the addresses of the public internet."""

from ipaddress import ip_address, ip_network

import pytest

from callcenter.admin.addresses import check_url, is_public

SPECIAL = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15"),
    *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
    *("::/128", "::1/128", "::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64"),
    *("2001::/32", "2001:2::/48", "2001:10::/28", "2001:db8::/32", "2002::/16", "3fff::/20"),
    *("fc00::/7", "fd00:ec2::254/128", "fe80::/10", "fec0::/10", "ff00::/8", "5f00::/16"),
)
PUBLIC = (
    *("1.1.1.1", "93.184.215.14", "172.15.0.1", "172.32.0.1", "100.128.0.1", "223.255.255.255"),
    *("168.63.129.17", "2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888"),
)
BAD = {
    "": "URL",
    "ftp://host/": r"http\(s\)",
    "//host/": r"http\(s\)",
    "http://": "host",
    "https:///path": "host",
    "http://user@host/": "without a user",
    "http://user:word@host/": "without a user",
    "http://@host/": "without a user",
    "http://host:0/": "1 to 65535",
    "http://host:99999/": "URL",
    "http://host:-1/": "URL",
    "http://host:x/": "URL",
    f"https://{'a' * 64}.example.com/": "63",
    f"https://{'ä' * 64}.example.com/": "URL",
    f"https://{'a.' * 130}com/": "253",
    "https://a..example.com/": "63",
    "https://.example.com/": "63",
    "https://[::1/": "URL",
    "https://[fe80::1%25eth0]/": "URL|zone",
    "https://ho st/": "blanks",
    "https://host/\n": "blanks",
    "https://host\\@other/": "blanks",
    "https://host\0/": "blanks",
    "https://a,b/": "characters|URL",
}
GOOD = ("https://example.com/hook?key=1", "http://127.0.0.1:8080/", "https://[2606:4700::1]:8443/",
        "https://bücher.example/", "https://example.com./", "https://a_b.internal/")  # fmt: skip


@pytest.mark.parametrize("text", SPECIAL)
def test_special_ranges_are_not_public(text: str) -> None:
    """From their first to their last address."""
    network = ip_network(text)
    assert not is_public(network[0])
    assert not is_public(network[-1])


def test_the_others_are_public() -> None:
    """Those beside the ranges among them."""
    assert all(is_public(ip_address(text)) for text in PUBLIC)


def test_an_address_with_a_zone_is_not_public() -> None:
    """It is one of this machine's links."""
    assert not is_public(ip_address("2606:4700::1%eth0"))


@pytest.mark.parametrize("url", BAD)
def test_bad_urls(url: str) -> None:
    """A ValueError that says what is wrong."""
    with pytest.raises(ValueError, match=BAD[url]):
        check_url(url)


@pytest.mark.parametrize("url", GOOD)
def test_good_urls(url: str) -> None:
    """They come back as they were given."""
    assert check_url(url) == url
