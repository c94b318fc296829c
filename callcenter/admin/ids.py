"""Identifiers: a prefix that says of what, and a ULID, which sorts by the time of its making."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ulid import ULID


def new_id(prefix: str) -> str:
    """A fresh identifier, such as `rte_01J...`."""
    return f"{prefix}_{ULID()}"


def content_hash(value: Any) -> str:
    """SHA-256 of JSON data, independent of the order of keys; hex."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
