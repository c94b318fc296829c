"""The console's frame: its policy, its headers, and that no module parses markup."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from callcenter.admin.console import pages
from callcenter.records import journal

GATEWAY = "https://voice.example.com/base"
MODULES = sorted(pages.STATIC.rglob("*.js"))


@pytest.fixture
def client() -> TestClient:
    """A browser in front of a console that knows a gateway."""
    app = FastAPI()
    pages.mount(app, GATEWAY)
    return TestClient(app, follow_redirects=False)


@pytest.mark.parametrize("path", ["/admin", "/admin/", "/admin/calls", "/admin/calls/a/b"])
def test_frame(client: TestClient, path: str) -> None:
    """Every address below /admin is the frame: which view it is, the modules decide."""
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Content-Security-Policy"] == pages.policy(GATEWAY)
    assert f'name="gateway" content="{GATEWAY}"' in answer.text


def test_bare_address(client: TestClient) -> None:
    """The bare address leads to the console."""
    assert client.get("/").headers["Location"] == "/admin"


def test_files(client: TestClient) -> None:
    """Modules, styles and the widget are served; what is not there is not."""
    module = client.get("/admin/static/main.js")
    assert "javascript" in module.headers["Content-Type"]
    assert module.headers["Cache-Control"] == "no-cache"
    assert client.get("/admin/static/styles/base.css").status_code == 200
    assert client.get("/admin/widget/element.js").status_code == 200
    assert client.get("/admin/static/nothing.js").status_code == 404
    assert client.get("/admin/static/..%2fpages.py").status_code == 404


def test_gateway_is_escaped() -> None:
    """The one value in the frame cannot leave its attribute."""
    app = FastAPI()
    pages.mount(app, 'https://x"><script>alert(1)</script>')
    assert "<script>alert" not in TestClient(app).get("/admin").text


def test_policy() -> None:
    """Only the gateway's origin is let through, and only for connections."""
    rules = dict(rule.split(" ", 1) for rule in pages.policy(GATEWAY).split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["connect-src"] == "'self' https://voice.example.com"
    assert rules["frame-ancestors"] == rules["form-action"] == rules["base-uri"] == "'none'"
    assert "connect-src 'self';" in pages.policy("")
    assert "unsafe" not in pages.policy(GATEWAY)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_module_parses_markup(module: Path) -> None:
    """Text goes on the page as text: nothing that turns text into elements or code is used."""
    source = module.read_text()
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    )
    assert re.search(forbidden, source) is None


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_imports_lead_somewhere(module: Path) -> None:
    """Every import names a file that is there."""
    for target in re.findall(r'from "(\.[^"]+)"', module.read_text()):
        assert (module.parent / target).resolve().is_file(), target


def test_a_live_call_hears_of_everything() -> None:
    """What gateways put down, the page of a live call listens for, and has words for."""
    kinds = set(re.findall(r"^ {4}([a-z_]+) ", str(journal.__doc__), re.MULTILINE))
    page = (pages.STATIC / "pages/call.js").read_text()
    words = (pages.STATIC / "parts/timeline.js").read_text()
    listed = re.search(r"const KINDS = \[(.*?)\]", page, re.DOTALL)
    assert listed is not None
    assert set(re.findall(r'"(\w+)"', listed[1])) == kinds
    for kind in kinds - {"text", "turn", "speech"}:
        assert f"  {kind}: (data) =>" in words, kind


def test_style_sheets_are_there() -> None:
    """The frame names files that are there."""
    for path in re.findall(r'(?:href|src)="/admin/static/([^"]+)"', pages.FRAME):
        assert (pages.STATIC / path).is_file(), path
