"""The environment, read once."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from callcenter.errors import ConfigurationError
from callcenter.settings import AdminSettings, GatewaySettings, SipSettings, WorkerSettings

SECRET = "0123456789abcdef0123456789abcdef"
TOKEN, NEXT_TOKEN = "1" * 32, "2" * 32
DOCUMENTED = {
    f"callcenter.settings.{name}" for name in ("common", "gateway", "sip", "worker", "admin")
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The least that a gateway needs."""
    monkeypatch.setenv("LINK_SECRET", SECRET)
    monkeypatch.setenv("PUBLIC_BASE_URL", "https://voice.example.com/")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("ROUTES_FILE", "routes.yaml")
    return monkeypatch


def test_a_gateway_reads_its_environment(environment) -> None:
    """Names are field names in capitals; lists are separated by commas."""
    environment.setenv("GATEWAY_POOLS", "main, overflow")
    environment.setenv("MAX_CALLS", "7")
    settings = GatewaySettings.load()
    assert settings.gateway_pools == ("main", "overflow")
    assert settings.max_calls == 7
    assert settings.routes_file == Path("routes.yaml")
    assert settings.public_base_url == "https://voice.example.com"
    assert settings.auth_tokens == (TOKEN,)


def test_two_auth_tokens_during_a_rotation(environment) -> None:
    """The current one first."""
    environment.setenv("TWILIO_AUTH_TOKEN_SECONDARY", NEXT_TOKEN)
    assert GatewaySettings.load().auth_tokens == (TOKEN, NEXT_TOKEN)


def test_without_a_token_there_is_no_twilio(environment) -> None:
    """Nor anything else of Twilio's, which would have no use."""
    environment.delenv("TWILIO_AUTH_TOKEN")
    assert GatewaySettings.load().auth_tokens == ()
    for name, value in (("SECONDARY", NEXT_TOKEN), ("ACCOUNT_SID", "AC1")):
        variable = f"TWILIO_{'AUTH_TOKEN_' if name == 'SECONDARY' else ''}{name}"
        environment.setenv(variable, value)
        with pytest.raises(ConfigurationError, match="need TWILIO_AUTH_TOKEN"):
            GatewaySettings.load()
        environment.delenv(variable)


def test_two_link_secrets_during_a_rotation(environment) -> None:
    """The one that signs first; the other is no shorter."""
    assert len(GatewaySettings.load().link_secrets) == 1
    environment.setenv("LINK_SECRET_SECONDARY", "n" * 32)
    assert GatewaySettings.load().link_secrets[1:] == ("n" * 32,)
    environment.setenv("LINK_SECRET_SECONDARY", "short")
    with pytest.raises(ConfigurationError, match="LINK_SECRET_SECONDARY"):
        GatewaySettings.load()


def test_an_empty_variable_is_an_unset_one(environment) -> None:
    """Charts and compose files write empty strings."""
    environment.setenv("TWILIO_ACCOUNT_SID", "")
    environment.setenv("MAX_CALLS", "")
    settings = GatewaySettings.load()
    assert (settings.twilio_account_sid, settings.max_calls) == (None, 200)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LINK_SECRET", "short"),
        ("TWILIO_AUTH_TOKEN", "any value"),
        ("TWILIO_AUTH_TOKEN_SECONDARY", "x"),
        ("PUBLIC_BASE_URL", "voice.example.com"),
        ("PUBLIC_BASE_URL", "http://voice.example.com"),
        ("PUBLIC_BASE_URL", "https://voice.example.com/?a=b"),
        ("GATEWAY_POOLS", " , "),
        ("MAX_CALLS", "0"),
        ("MAX_CALL_S", "-1"),
        ("NO_CAPACITY_STATUS", "99"),
        ("TWILIO_FALLBACK_VERB", "sing"),
        ("GATEWAY_PORT", "70000"),
        ("FORWARDED_ALLOW_IPS", "*"),
        ("FORWARDED_ALLOW_IPS", "0.0.0.0/0"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.5/8"),
        ("FORWARDED_ALLOW_IPS", "ingress.example.com"),
    ],
)
def test_a_wrong_variable_is_named_without_its_value(environment, variable, value) -> None:
    """The value may be a secret."""
    environment.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable) as error:
        GatewaySettings.load()
    if value == "short":
        assert value not in str(error.value).split("should")[0]


def test_all_missing_variables_are_named_at_once(monkeypatch) -> None:
    """So that a start needs one attempt."""
    for name in ("LINK_SECRET", "PUBLIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError) as error:
        GatewaySettings.load()
    for name in ("LINK_SECRET", "PUBLIC_BASE_URL"):
        assert name in str(error.value)


def test_a_local_gateway_needs_no_certificate(environment) -> None:
    """The demo and the tests run over plain HTTP on loopback."""
    environment.setenv("PUBLIC_BASE_URL", "http://127.0.0.1:8080")
    assert GatewaySettings.load().public_base_url == "http://127.0.0.1:8080"


def test_settings_are_frozen_and_secrets_do_not_print(environment) -> None:
    """Nobody changes them later; a log line of them tells nothing."""
    settings = GatewaySettings.load()
    with pytest.raises(ValidationError):
        settings.max_calls = 1
    assert SECRET not in repr(settings)
    assert TOKEN not in repr(settings)


def test_ids_differ_between_processes(environment) -> None:
    """Two gateways on one host must not share their claims."""
    assert GatewaySettings.load().gateway_id != GatewaySettings.load().gateway_id


def test_a_worker_reads_its_environment(environment) -> None:
    """The defaults are those of the demo: the rehearsal engine on a CPU."""
    environment.setenv("WORKER_SLOTS", "32")
    settings = WorkerSettings.load(engine="rehearsal")
    assert (settings.worker_slots, settings.engine, settings.device) == (32, "rehearsal", "cpu")


def test_proxies_are_those_of_this_host_unless_told(environment) -> None:
    """By address or network, of both families."""
    assert GatewaySettings.load().forwarded_allow_ips == ("127.0.0.1", "::1")
    environment.setenv("FORWARDED_ALLOW_IPS", "10.42.0.0/16, fd00::/8,192.0.2.7")
    told = GatewaySettings.load().forwarded_allow_ips
    assert told == ("10.42.0.0/16", "fd00::/8", "192.0.2.7")


def test_browser_settings(environment) -> None:
    """Off without a secret; lists are separated by commas; the gateway's own origin is known."""
    assert GatewaySettings.load().webrtc_secret is None
    environment.setenv("WEBRTC_SECRET", SECRET)
    environment.setenv("WEBRTC_ORIGINS", "https://www.example.com, https://shop.example.com:8443")
    environment.setenv("PUBLIC_BASE_URL", "https://voice.example.com/under/here")
    settings = GatewaySettings.load()
    assert settings.webrtc_origins == ("https://www.example.com", "https://shop.example.com:8443")
    assert settings.own_origin == "https://voice.example.com"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WEBRTC_SECRET", "short"),
        ("WEBRTC_ORIGINS", "www.example.com"),
        ("WEBRTC_ORIGINS", "https://www.example.com/"),
        ("WEBRTC_ORIGINS", "https://www.example.com, *"),
        ("WEBRTC_MAX_CALLS", "0"),
        ("TURN_URLS", "turn:turn.example.com"),
    ],
)
def test_wrong_browser_settings_are_named(environment, variable: str, value: str) -> None:
    """An origin with a path would never match; TURN without a secret would never authenticate."""
    environment.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        GatewaySettings.load()


@pytest.mark.parametrize("program", [GatewaySettings, SipSettings, WorkerSettings, AdminSettings])
def test_every_variable_is_explained(program) -> None:
    """In the docstring of the class that has it, or of the one that all programs share."""
    words = "".join(each.__doc__ for each in program.__mro__ if each.__module__ in DOCUMENTED)
    explained = set(re.findall(r"\w+", words))
    assert set(program.model_fields) <= explained


def test_lists_are_split_at_commas(monkeypatch) -> None:
    """In every program alike; blanks and empty parts are nothing."""
    monkeypatch.setenv("LINK_SECRET", SECRET)
    monkeypatch.setenv("ADMIN_SECRET", SECRET)
    monkeypatch.setenv("GATEWAY_POOLS", "main, ,overflow,")
    monkeypatch.setenv("ADMIN_POOLS", " main ")
    assert SipSettings.load().gateway_pools == ("main", "overflow")
    assert AdminSettings.load().admin_pools == ("main",)
    monkeypatch.setenv("ADMIN_POOLS", ",")
    with pytest.raises(ConfigurationError, match="ADMIN_POOLS"):
        AdminSettings.load()


def test_dns_servers_of_the_sip_gateway(environment) -> None:
    """With and without a port, of both families; none asks the system's."""
    assert SipSettings.load().dns_servers == []
    environment.setenv("SIP_DNS_SERVERS", "192.0.2.53, 192.0.2.54:5353, [2001:db8::1]:54, ::1")
    assert SipSettings.load().dns_servers == [
        ("192.0.2.53", 53),
        ("192.0.2.54", 5_353),
        ("2001:db8::1", 54),
        ("::1", 53),
    ]


@pytest.mark.parametrize("servers", ["ns.example.com", "192.0.2.53:0", "192.0.2.53:70000", "[::1"])
def test_a_dns_server_that_is_none(environment, servers) -> None:
    """The start stops with the variable's name."""
    environment.setenv("SIP_DNS_SERVERS", servers)
    with pytest.raises(ConfigurationError, match="SIP_DNS_SERVERS"):
        SipSettings.load()


@pytest.mark.parametrize("program", [GatewaySettings, SipSettings])
def test_prefixes_of_transfers(environment, program) -> None:
    """None as long as nothing is set; a beginning of a number with its country, or all of them."""
    assert program.load().transfer_prefixes == ()
    environment.setenv("TRANSFER_PREFIXES", "+49, +1800")
    assert program.load().transfer_prefixes == ("+49", "+1800")
    environment.setenv("TRANSFER_PREFIXES", "+")
    assert program.load().transfer_prefixes == ("+",)
    for wrong in ("49", "+0", "0800", "+1-800", "*"):
        environment.setenv("TRANSFER_PREFIXES", wrong)
        with pytest.raises(ConfigurationError, match="TRANSFER_PREFIXES"):
            program.load()
