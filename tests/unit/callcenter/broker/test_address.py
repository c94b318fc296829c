"""REDIS_URL: what it may say, and what is said about it when it is wrong."""

import pytest

from callcenter.broker.address import ClusterNodes, Sentinels, SingleServer, parse
from callcenter.errors import ConfigurationError


@pytest.mark.parametrize("url", ["redis://h", "rediss://:p@h:1/2?x=y", "unix:///run/redis"])
def test_one_server_is_left_to_the_client_library(url: str) -> None:
    """Whatever it understands."""
    assert parse(url) == SingleServer(url)


def test_sentinels_with_everything() -> None:
    """Hosts with and without ports, IPv6, a login each, TLS, a database."""
    url = (
        "rediss+sentinel://me:p%40ss%2C@a,b:1,[2001:db8::1]:26380/calls/3"
        "?sentinel_username=watch&sentinel_password=w%3D&ssl_ca_certs=/ca.pem"
    )
    tls = {"ssl": True, "ssl_ca_certs": "/ca.pem"}
    assert parse(url) == Sentinels(
        hosts=(("a", 26_379), ("b", 1), ("2001:db8::1", 26_380)),
        service="calls",
        options={"username": "me", "password": "p@ss,", "db": 3, **tls},
        sentinel_options={"username": "watch", "password": "w=", **tls},
    )


def test_sentinels_without_anything() -> None:
    """No login is sent where none is given: not even an empty one."""
    assert parse("redis+sentinel://a/calls") == Sentinels(
        (("a", 26_379),), "calls", options={"db": 0}, sentinel_options={}
    )


def test_a_cluster() -> None:
    """Of hosts that may all be asked."""
    assert parse("redis+cluster://:secret@a,b:7000") == ClusterNodes(
        (("a", 6_379), ("b", 7_000)), {"password": "secret"}
    )
    assert parse("rediss+cluster://a/0") == ClusterNodes((("a", 6_379),), {"ssl": True})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis+sentinels://:secret@a/b", r"redis\+sentinels:// is unknown"),
        ("http+cluster://:secret@a", "is unknown"),
        ("redis+sentinel://:secret@a", "SERVICE"),
        ("redis+sentinel://:secret@a/calls/one", "SERVICE"),
        ("redis+sentinel://:secret@a,,b/calls", "'' is no host"),
        ("redis+sentinel://:secret@a:port/calls", "'a:port' is no host"),
        ("redis+sentinel://:secret@a:70000/calls", "'a:70000' is no host"),
        ("redis+sentinel://:secret@a/calls?db=3", "db is unknown here; known: sentinel_password"),
        ("redis+cluster://:secret@a/3", "no other database than 0"),
        ("redis+cluster://:secret@a?service=x", "service is unknown here; known: ssl_ca_certs"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, words: str) -> None:
    """The message goes to logs."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        parse(url)
    assert "secret" not in str(refused.value)


def test_no_password_is_shown() -> None:
    """Neither in logs nor in a traceback's locals."""
    for url in (
        "redis+sentinel://:secret@a/s?sentinel_password=secret",
        "redis+cluster://:secret@a",
    ):
        assert "secret" not in repr(parse(url))
