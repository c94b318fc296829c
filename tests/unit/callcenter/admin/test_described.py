"""The API's description is one that an integrator can work with."""

import ast
import hashlib
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from callcenter import admin
from callcenter.admin.described import EXAMPLES, attributes_in
from callcenter.admin.problems import CODES
from callcenter.admin.program import description
from callcenter.admin.reference import pages

SHA256 = "2d8d13e94b5a21011cc6f8260d87ca475d0f6f2faed16dd12e7394dfa3bb05b8"  # of redoc 2.5.1


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """As it is served."""
    return description()


def test_every_field_says_what_it_means(described: dict[str, Any]) -> None:
    """Those of requests and those of answers."""
    silent = [
        f"{name}.{field}"
        for name, schema in described["components"]["schemas"].items()
        for field, of_field in schema.get("properties", {}).items()
        if not of_field.get("description")
        and name not in ("HTTPValidationError", "ValidationError")
    ]
    assert silent == []


def test_operations_have_names_of_their_own(described: dict[str, Any]) -> None:
    """Short ones, which become names of methods; the whole is introduced to its reader."""
    names = [one["operationId"] for path in described["paths"].values() for one in path.values()]
    assert len(set(names)) == len(names)
    assert {"list_calls", "press_keys", "create_webhook", "change_number"} <= set(names)
    assert described["servers"][0]["url"] == "/"
    assert "If-Match" in described["info"]["description"]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_fit_their_schemas(described: dict[str, Any], name: str) -> None:
    """An example that is refused would be worse than none."""
    schemas = described["components"]["schemas"]
    assert schemas[name]["examples"] == [EXAMPLES[name]]
    whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    Draft202012Validator(whole).validate(EXAMPLES[name])


def test_every_code_of_an_error_is_listed(described: dict[str, Any]) -> None:
    """Every code that the program names, and no other."""
    used = {"invalid"} | {"not_transferred", "not_pressed"}  # handed on as an argument
    used |= {"bad_request", "method_not_allowed"}  # the framework's
    for path in Path(admin.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (code := _code_of(node)):
                used.add(code)
    assert used == set(CODES)
    listed = described["components"]["schemas"]["ProblemDetails"]["properties"]["code"]["enum"]
    assert set(listed) == used


def _code_of(call: ast.Call) -> str | None:
    place = {"Problem": 1, "conflict": 0, "invalid": 2}.get(getattr(call.func, "id", ""))
    if place is None:
        return None
    named = {word.arg: word.value for word in call.keywords}
    value = call.args[place] if len(call.args) > place else named.get("code")
    return value.value if isinstance(value, ast.Constant) else None


def test_docstrings_are_read() -> None:
    """Several names, and a meaning over two lines."""
    text = (
        "X.\n\nAttributes:\n    a, b: of both,\n        in two lines.\n    c_s: seconds.\n\nMore: x"
    )
    both = "Of both, in two lines."
    assert attributes_in(text) == {"a": both, "b": both, "c_s": "Seconds."}


def test_the_reference_needs_no_other_site() -> None:
    """The page, the bundle as it was published, its licence; nothing else of the folder."""
    app = FastAPI(docs_url=None)
    pages.mount(app)
    client = TestClient(app)
    page = client.get("/docs")
    assert page.headers["Content-Security-Policy"] == pages.POLICY
    assert "http" not in pages.PAGE
    assert "http" not in pages.POLICY
    bundle = client.get("/docs/redoc.standalone.js")
    assert hashlib.sha256(bundle.content).hexdigest() == SHA256
    assert "MIT" in client.get("/docs/LICENSE").text
    for path in ("pages.py", "__init__.py", "index.html", "../app.py", "nothing"):
        assert client.get(f"/docs/{path}").status_code == 404, path
