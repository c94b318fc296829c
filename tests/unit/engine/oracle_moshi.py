"""Loads the reference implementation, moshi 0.1.0, under a private name.

It stands in a folder of its own, because it pins old libraries and shares its name with newer
releases: `pip install --no-deps --target .oracle/moshi-0.1.0 moshi==0.1.0`, or MOSHI_ORACLE.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[3]
NAME = "moshi_oracle"


def load_moshi() -> ModuleType:
    """Imports the reference package; skips the calling test if it is not installed."""
    if NAME in sys.modules:
        return sys.modules[NAME]
    folder = Path(os.environ.get("MOSHI_ORACLE", REPOSITORY / ".oracle" / "moshi-0.1.0"))
    source = folder / "moshi" / "__init__.py"
    if not source.is_file():
        pytest.skip(f"no reference implementation at {folder}: set MOSHI_ORACLE or run make test")
    os.environ.setdefault("NO_TORCH_COMPILE", "1")  # read while it is imported
    return _import_package(source)


def _import_package(source: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        NAME, source, submodule_search_locations=[str(source.parent)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module
