"""Logs of a program."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from callcenter import logs


@pytest.fixture
def fresh() -> Iterator[None]:
    """Puts both logging systems back as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(capsys) -> list[dict[str, object]]:
    """What was written to standard error."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_program_and_context(fresh, capsys) -> None:
    """The call id comes with the context that the caller bound."""
    logs.configure("info", "gateway", show_pii=False)
    with structlog.contextvars.bound_contextvars(call_id="CA1"):
        structlog.get_logger("x").info("call_began", persona="bank", **{"pii.caller": "+1555"})
    (line,) = lines(capsys)
    assert line["event"] == "call_began"
    assert (line["call_id"], line["persona"], line["program"]) == ("CA1", "bank", "gateway")
    assert "pii.caller" not in line
    assert line["level"] == "info"
    assert "timestamp" in line


def test_personal_data_is_written_when_asked_for(fresh, capsys) -> None:
    """For a test system."""
    logs.configure("info", "gateway", show_pii=True)
    structlog.get_logger("x").info("call_began", **{"pii.caller": "+1555"})
    assert lines(capsys)[0]["pii.caller"] == "+1555"


def test_libraries_speak_the_same_way(fresh, capsys) -> None:
    """Also tracebacks stay inside one line."""
    logs.configure("info", "worker", show_pii=False)
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("library").exception("it_broke")
    (line,) = lines(capsys)
    assert (line["event"], line["program"]) == ("it_broke", "worker")
    assert "ValueError: odd" in str(line["exception"])


def test_the_level_holds(fresh, capsys) -> None:
    """Below it nothing is written."""
    logs.configure("warning", "gateway", show_pii=False)
    structlog.get_logger("x").info("quiet")
    structlog.get_logger("x").warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]
