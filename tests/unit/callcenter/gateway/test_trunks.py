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
