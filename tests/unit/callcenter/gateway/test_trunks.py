"""The trunks file: what it means, and what it says about mistakes."""

from functools import cache
from pathlib import Path

import pytest

from callcenter.errors import ConfigurationError
from callcenter.gateway import trunks
from callcenter.telephony.sip.uri import Peer
from personas import library

WHOLE = """
trunks:
  - name: carrier
    networks: ["192.0.2.0/24", "2001:db8::/32"]
    transports: [tls]
    srtp: must
    codecs: [opus, pcmu]
    max_channels: 30
    no_capacity_status: 486
    login: {username: carrier, password_file: secret}
    numbers:
      - {number: "+15550100", persona: bank, transfer_to: "+15550199"}
  - name: pbx
    networks: ["198.51.100.7/32"]
    register:
      {registrar: "sip:pbx.example.com;transport=tcp", username: agent, password_file: secret}
    default: {persona: bank}
"""


@cache
def shipped() -> library.Library:
    """Read once."""
    return library.load(library.SHIPPED)


def load(folder: Path, text: str) -> dict[str, trunks.TrunkRoutes]:
    """Reads a file with this text."""
    (folder / "secret").write_text("pass word\n")
    path = folder / "trunks.yaml"
    path.write_text(text)
    return trunks.load(path, shipped())


def test_a_whole_file(tmp_path) -> None:
    """Every field arrives where it is used."""
    found = load(tmp_path, WHOLE)
    carrier = found["carrier"]
    assert carrier.trunk.serves(Peer("tls", "192.0.2.9", 1))
    assert not carrier.trunk.serves(Peer("udp", "192.0.2.9", 1))
    assert carrier.trunk.codecs == ("opus", "pcmu")
    assert carrier.trunk.credentials is not None
    assert carrier.trunk.credentials.password == "pass word"
    route = carrier.find("+15550100")
    assert route is not None
    assert route.persona.name == "bank"
    assert route.transfer_to == "+15550199"
    assert carrier.find("+15550101") is None
    pbx = found["pbx"]
    assert pbx.find("anything") is not None
    assert pbx.register_at is not None
    assert pbx.register_at.registrar.peer() == Peer("tcp", "pbx.example.com", 5060)
    assert pbx.trunk.outbound == pbx.register_at.credentials


OTHERS_WAYS = """
trunks:
  - name: pbx
    networks: ["198.51.100.7/32"]
    register:
      registrar: sip:example.com
      username: "1000"
      auth_username: ax-1000
      password_file: secret
    outbound_proxy: sip:edge.example.com:5080;transport=tcp
    international_prefixes: ["00", "011"]
    trust_identity: true
    numbers:
      - {number: "15550100", persona: bank}
      - {number: "+1.555.0101", persona: bank}
      - {number: support, persona: bank}
"""


def test_the_names_of_a_trunk(tmp_path) -> None:
    """Where its requests go counts as well (RFC 3261 19.1.1); an address is no name."""
    way = OTHERS_WAYS.replace("sip:example.com", "sip:example.com;maddr=Node.example.com")
    way = way.replace("sip:edge.example.com:5080;transport=tcp", "sip:[2001:db8::1]")
    (line,) = load(tmp_path, way).values()
    assert line.trunk.names == {"example.com", "node.example.com"}


def test_a_trunk_with_ways_of_its_own(tmp_path) -> None:
    """Proxy, own name for the password, international prefixes, the network's word."""
    (line,) = load(tmp_path, OTHERS_WAYS).values()
    trunk, at = line.trunk, line.register_at
    assert at is not None
    assert (at.username, at.credentials.username) == ("1000", "ax-1000")
    assert at.proxy == trunk.outbound_proxy
    assert trunk.routes() == ("<sip:edge.example.com:5080;transport=tcp;lr>",)
    assert trunk.names == {"example.com", "edge.example.com"}
    assert trunk.trust_identity
    for called in ("+15550100", "15550100", "%2B15550100;npdi", "0015550100", "01115550101"):
        assert line.find(called) is not None, called
    assert line.find("support") is not None
    assert line.find("+15550102") is None


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('["00", "011"]', '["+"]', "international_prefixes"),
        ("sip:edge.example.com:5080", "sip:edge.example.com:99999", "99999 is no port"),
        ("sip:edge.example.com:5080", "http://edge", "outbound_proxy"),
        ("+1.555.0101", "+1-555-0100", "stands there twice"),
    ],
)
def test_mistakes_in_them_are_named(tmp_path, old, new, place) -> None:
    """The start stops with the place in the file."""
    assert old in OTHERS_WAYS
    with pytest.raises(ConfigurationError, match=place):
        load(tmp_path, OTHERS_WAYS.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("srtp: must", "srtp: always", "srtp"),
        ("transports: [tls]", "transports: [udp]", "srtp 'must' needs transports: [tls]"),
        ("[opus, pcmu]", "[g729]", "codec 'g729' is unknown"),
        ("192.0.2.0/24", "192.0.2.0/40", "networks"),
        ("name: pbx", "name: carrier", "there is a trunk 'carrier' already"),
        ("persona: bank}", "persona: nobody}", "nobody"),
        (
            "password_file: secret}\n    numbers",
            "password_file: none}\n    numbers",
            "cannot be read",
        ),
        ("sip:pbx.example.com", "http://pbx", "registrar"),
        ("max_channels: 30", "max_chanels: 30", "max_chanels"),
        ("trunks:", "trunk:", "trunks"),
        ("trunks:", "trunks: [", "not YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, old, new, place) -> None:
    """The start stops with the place in the file."""
    assert old in WHOLE
    with pytest.raises(ConfigurationError, match=place.replace("[", r"\[")) as error:
        load(tmp_path, WHOLE.replace(old, new))
    assert "pass word" not in str(error.value)


def test_an_empty_password_and_a_missing_file(tmp_path) -> None:
    """Both named."""
    text = WHOLE.replace(
        "password_file: secret}\n    numbers", "password_file: empty}\n    numbers"
    )
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigurationError, match="is empty"):
        load(tmp_path, text)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        trunks.load(tmp_path / "nowhere.yaml", shipped())
