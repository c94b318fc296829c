"""Cells that a spreadsheet does not run."""

import csv
import io
from datetime import UTC, datetime

import pytest

from callcenter.admin.csv_rows import row


@pytest.mark.parametrize("text", ["=1+1", "+15550100", "-2", "@SUM(A1)", "\tx", "\rx", "\n=1"])
def test_what_begins_a_formula_becomes_text(text: str) -> None:
    """An apostrophe stands in front of it."""
    ((cell,),) = csv.reader(io.StringIO(row([text]), newline=""))
    assert cell == f"'{text}"


def test_everything_else_is_as_it_is() -> None:
    """Commas, quotes and line breaks come back; moments have a zone; nothing is an empty cell."""
    at = datetime(2026, 11, 30, 12, tzinfo=UTC)
    line = row(['a, "b"\nc', "x=1", 3, 1.23456, at, None])
    ((*cells,),) = csv.reader(io.StringIO(line, newline=""))
    assert cells == [
        'a, "b"\nc', "x=1", "3", "1.235", "2026-11-30T12:00:00.000+00:00", ""
    ]  # fmt: skip
    assert line.endswith("\r\n")
