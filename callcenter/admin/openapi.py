"""Writes the API's description beside this file: `python -m callcenter.admin.openapi`."""

from __future__ import annotations

import json
from pathlib import Path

from callcenter.admin.program import description

FILE = Path(__file__).with_name("openapi.json")

if __name__ == "__main__":
    FILE.write_text(json.dumps(description(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
