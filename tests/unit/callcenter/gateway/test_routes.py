"""Routes: which number is answered by whom."""

from pathlib import Path

import pytest

from callcenter.errors import ConfigurationError
from callcenter.gateway import routes
from personas import library

EXAMPLE = Path(__file__).parents[4] / "deploy" / "routes.example.yaml"


@pytest.fixture(scope="module")
def personas() -> library.Library:
    """The personas that come with the project."""
    return library.load()


def load(folder: Path, text: str, personas: library.Library) -> routes.Routes:
    """Routes from a text."""
    path = folder / "routes.yaml"
    path.write_text(text)
    return routes.load(path, personas)


def test_the_example_file_works(personas) -> None:
    """People copy it."""
    found = routes.load(EXAMPLE, personas).find("+15550100")
    assert found is not None
    assert (found.persona.name, found.transfer_to) == ("bank", "+15550199")


def test_numbers_in_any_spelling(tmp_path, personas) -> None:
    """In the file and on the wire."""
    table = load(tmp_path, "routes: [{number: '+1 (555) 010-0', persona: bank}]", personas)
    assert table.find("+1555 0100") is not None
    assert table.find("+15550101") is None


def test_what_a_sip_domain_and_an_app_can_dial(tmp_path, personas) -> None:
    """Addresses of a Twilio SIP domain and of its clients beside numbers."""
    text = (
        "routes:\n"
        "  - {number: 'sip:help@acme.sip.twilio.com', persona: bank}\n"
        "  - {number: 'client:support', persona: hotel}\n"
        "  - {number: '+15550100', persona: bank}\n"
    )
    table = load(tmp_path, text, personas)
    for called, persona in (
        ("sip:help@ACME.sip.twilio.com;transport=tls", "bank"),
        ("client:support", "hotel"),
        ("sip:+15550100@acme.sip.twilio.com", "bank"),
        ("15550100", "bank"),
    ):
        found = table.find(called)
        assert found is not None, called
        assert found.persona.name == persona
    assert table.find("client:other") is None


def test_every_other_number_goes_to_the_default(tmp_path, personas) -> None:
    """Also what is no number at all, such as a SIP address."""
    table = load(tmp_path, "default: {persona: bank}", personas)
    found = table.find("sip:anybody@example.com")
    assert found is not None
    assert found.persona.name == "bank"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("routes: [{number: '+15550100', persona: bankk}]", "bankk"),
        ("routes: [{number: 15550100, persona: bank}]", "routes.0.number"),
        ("routes: [{number: '5550100', persona: bank}]", "E.164"),
        ("routes: [{number: '+15550100', persona: bank, voice: joe}]", "routes.0.voice"),
        (
            "routes: [{number: '+15550100', persona: bank, variables: {mood: good}}]",
            "mood",
        ),
        (
            "routes: [{number: '+15550100', persona: bank}, {number: '+1555-0100', persona: bank}]",
            "has a route already",
        ),
        ("routes: [{number: '+15550100', persona: bank, transfer_to: help}]", "transfer_to"),
        ("routes: []", "nobody would be answered"),
        ("routes: [", "not YAML"),
        ("- 1", "dictionary"),
        ("", "dictionary"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, personas, text, reason) -> None:
    """File and field stand in the error."""
    with pytest.raises(ConfigurationError, match=reason) as error:
        load(tmp_path, text, personas)
    assert "routes.yaml" in str(error.value)


def test_a_missing_file(tmp_path, personas) -> None:
    """The error says so."""
    with pytest.raises(ConfigurationError, match="No such file"):
        routes.load(tmp_path / "none.yaml", personas)
