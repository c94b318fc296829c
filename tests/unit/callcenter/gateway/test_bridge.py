"""Published trunks as the SIP gateway knows them."""

from typing import get_args

import pytest

from callcenter.gateway.bridge import DEFAULT_CHANNELS, EVERYWHERE, carriers_secrets, line_of
from callcenter.published.trunk import Codec, Trunk
from callcenter.telephony.sip.media_plan import CODECS
from callcenter.telephony.sip.uri import Peer

HERE = ["192.0.2.0/24"]
SECRETS = {"CARRIER": "word", "ACCOUNT": "pass", "EMPTY": ""}
REGISTRAR = {
    "uri": "sips:pbx.example.com:5071",
    "username": "agent",
    "secret_ref": "ACCOUNT",
    "expires_s": 600,
}


def published(**fields: object) -> Trunk:
    """A SIP trunk."""
    return Trunk.model_validate({"name": "carrier", "title": "x", "kind": "sip", **fields})


def test_by_its_addresses() -> None:
    """No login is asked; the channels are the admin's; published routes answer."""
    line = line_of(published(addresses=HERE, max_channels=7), {})
    assert line is not None
    trunk = line.trunk
    assert (trunk.knows("192.0.2.9"), trunk.knows("198.51.100.1")) == (True, False)
    assert (trunk.credentials, trunk.max_channels) == (None, 7)
    assert (trunk.srtp, trunk.codecs) == ("may", ("pcmu", "pcma"))
    assert (line.answers, line.register_at) == (False, None)


@pytest.mark.parametrize(("sip", "username"), [(None, "carrier"), ({"username": "bob"}, "bob")])
def test_by_its_secret(sip, username) -> None:
    """From anywhere, but it must log in, under its own name where no other one is given."""
    line = line_of(published(secret_ref="CARRIER", sip=sip), SECRETS)
    assert line is not None
    assert line.trunk.credentials is not None
    assert (line.trunk.credentials.username, line.trunk.credentials.password) == (username, "word")
    assert (line.trunk.networks, line.trunk.max_channels) == (EVERYWHERE, DEFAULT_CHANNELS)


def test_options() -> None:
    """Transports, encryption, codecs and the registrar arrive where they are used."""
    sip = {"transports": ["tls"], "srtp": "must", "codecs": ["opus", "pcma"]}
    line = line_of(published(addresses=HERE, sip={**sip, "registrar": REGISTRAR}), SECRETS)
    assert line is not None
    trunk, at = line.trunk, line.register_at
    assert trunk.serves(Peer("tls", "192.0.2.9", 1))
    assert not trunk.serves(Peer("udp", "192.0.2.9", 1))
    assert (trunk.srtp, trunk.codecs) == ("must", ("opus", "pcma"))
    assert at is not None
    assert at.registrar.peer() == Peer("tls", "pbx.example.com", 5071)
    assert (at.username, at.credentials.password, at.expires_s) == ("agent", "pass", 600)
    assert trunk.outbound == at.credentials


def test_ways_of_its_own() -> None:
    """Proxy, own name for the password, prefixes and trust arrive as from a trunks file."""
    sip = {
        "registrar": {**REGISTRAR, "auth_username": "ax-1"},
        "outbound_proxy": "sip:edge.example.com;transport=tcp",
        "international_prefixes": ["00"],
        "trust_identity": True,
    }
    line = line_of(published(addresses=HERE, sip=sip), SECRETS)
    assert line is not None
    assert line.register_at is not None
    assert (line.register_at.username, line.register_at.credentials.username) == ("agent", "ax-1")
    assert line.register_at.proxy == line.trunk.outbound_proxy
    assert line.trunk.routes() == ("<sip:edge.example.com;transport=tcp;lr>",)
    assert (line.trunk.international_prefixes, line.trunk.trust_identity) == (("00",), True)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"secret_ref": "GONE", "addresses": HERE},
        {"secret_ref": "EMPTY"},
        {"addresses": HERE, "sip": {"registrar": {**REGISTRAR, "secret_ref": "GONE"}}},
    ],
)
def test_never_open_to_strangers(fields) -> None:
    """Neither addresses nor a secret, or a secret that is not there: left out."""
    assert line_of(published(**fields), SECRETS) is None


def test_the_codecs_are_those_that_there_are() -> None:
    """What an admin may choose is what a call can be coded with."""
    assert set(get_args(Codec)) == CODECS.keys()


def test_our_own_secrets_are_no_carriers() -> None:
    """Whoever writes trunks cannot have a digest of LINK_SECRET sent to a host of his."""
    environment = {
        "LINK_SECRET": "ours", "AWS_SECRET_ACCESS_KEY": "ours", "HOME": "/root", "TRUNKS_FILE": "x",
        "TRUNK_CARRIER": "theirs", "trunk_carrier": "nobody's",
    }  # fmt: skip
    secrets = carriers_secrets(environment)
    assert secrets == {"TRUNK_CARRIER": "theirs"}
    assert line_of(published(secret_ref="TRUNK_CARRIER"), secrets) is not None
    for name in ("LINK_SECRET", "AWS_SECRET_ACCESS_KEY", "HOME"):
        assert line_of(published(secret_ref=name), secrets) is None
