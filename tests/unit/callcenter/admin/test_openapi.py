"""The committed description is that of the code; every write says who may do it."""

import json
from pathlib import Path

from callcenter import admin
from callcenter.admin.program import description

COMMITTED = Path(admin.__file__).with_name("openapi.json")


def test_no_drift() -> None:
    """Write it anew after a change: python -m callcenter.admin.openapi."""
    assert json.loads(COMMITTED.read_text()) == description()


def test_it_is_openapi_3_1() -> None:
    """With unique operations, and errors in the common form."""
    found = description()
    assert found["openapi"].startswith("3.1")
    operations = [item for path in found["paths"].values() for item in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names) > 70
    for operation in operations:
        assert "application/problem+json" in operation["responses"]["4XX"]["content"]
