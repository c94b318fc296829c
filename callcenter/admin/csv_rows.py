"""Rows of a CSV file (RFC 4180) that a spreadsheet opens without running anything in it.

A cell that begins like a formula is one for a spreadsheet: a caller could name themselves
`=HYPERLINK(...)`. Such text gets an apostrophe in front, which spreadsheets do not show. It knows
neither calls nor a database.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime

Value = str | int | float | datetime | None
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def row(values: Iterable[Value]) -> str:
    """One line with its end (CRLF)."""
    line = io.StringIO()
    csv.writer(line).writerow([_cell(value) for value in values])
    return line.getvalue()


def _cell(value: Value) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case float():
            return f"{value:.3f}"
        case str():
            return f"'{value}" if value.startswith(_BEGINS_A_FORMULA) else value
    return str(value)
