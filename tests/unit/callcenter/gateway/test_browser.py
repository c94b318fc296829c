"""Whether there is a browser's door, and to whom it leads."""

import sys
from pathlib import Path
from typing import Any

import pytest

from callcenter.errors import ConfigurationError
from callcenter.gateway import browser, routes
from callcenter.settings import GatewaySettings
from personas import library

SECRET = "0123456789abcdef0123456789abcdef"
TABLE = """
routes:
  - {number: '+15550100', persona: bank, transfer_to: '+15550199'}
  - {number: '+15550101', persona: bank}
  - {number: '+15550102', persona: hotel}
default: {persona: clinic}
"""


@pytest.fixture
def table(tmp_path: Path) -> routes.Routes:
    """Three personas on four routes."""
    path = tmp_path / "routes.yaml"
    path.write_text(TABLE)
    return routes.load(path, library.load())


def settings(**given: object) -> GatewaySettings:
    """The least that is needed, and what is given."""
    return GatewaySettings.load(
        link_secret=SECRET,
        public_base_url="https://voice.example.com",
        twilio_auth_token="t" * 32,
        routes_file=Path("routes.yaml"),
        **given,
    )


def build(table: routes.Routes, **given: object) -> Any:
    """The door; its parts are not used before the first call."""
    return browser.build(settings(**given), table, None, None, None, None, None)  # type: ignore[arg-type]


def test_first_route_of_each_persona_counts(table: routes.Routes) -> None:
    """Also the default's."""
    found = table.by_persona()
    assert list(found) == ["bank", "hotel", "clinic"]
    assert found["bank"].transfer_to == "+15550199"


def test_no_secret_no_door(table: routes.Routes) -> None:
    """Telephones only."""
    assert build(table) is None


def test_a_persona_without_a_route_stops_the_start(table: routes.Routes) -> None:
    """The message says which, and which there are."""
    with pytest.raises(ConfigurationError, match=r"airline.*bank, hotel, clinic"):
        build(table, webrtc_secret=SECRET, webrtc_personas="bank, airline")


@pytest.mark.parametrize(
    ("named", "allowed"),
    [("", []), ("hotel", ["hotel"]), ("*", ["bank", "hotel", "clinic"])],
)
def test_browsers_call_whom_they_may(table: routes.Routes, named: str, allowed: list[str]) -> None:
    """Nobody, unless somebody is named."""
    found = browser._open_routes(settings(webrtc_secret=SECRET, webrtc_personas=named), table)
    assert list(found) == allowed


def test_a_missing_package_is_named(table: routes.Routes, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    for module in list(sys.modules):
        if module.startswith(("aiortc", "callcenter.telephony.webrtc", "callcenter.gateway.vi")):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "aiortc", None)
    monkeypatch.delattr("callcenter.gateway.visits", raising=False)
    with pytest.raises(ConfigurationError, match=r"aiortc.*pip install"):
        build(table, webrtc_secret=SECRET)
