"""Logs of a program."""

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from logging.handlers import QueueListener
from queue import Queue

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


def lines(capsys, writer: QueueListener) -> list[dict[str, object]]:
    """What was written to standard error, once the writer is through."""
    writer.queue.join()
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_program_and_context(fresh, capsys) -> None:
    """The call id comes with the context that the caller bound."""
    writer = logs.configure("info", "gateway", show_pii=False)
    with structlog.contextvars.bound_contextvars(call_id="CA1"):
        structlog.get_logger("x").info("call_began", persona="bank", **{"pii.caller": "+1555"})
    (line,) = lines(capsys, writer)
    assert line["event"] == "call_began"
    assert (line["call_id"], line["persona"], line["program"]) == ("CA1", "bank", "gateway")
    assert "pii.caller" not in line
    assert line["level"] == "info"
    assert "timestamp" in line


def test_personal_data_is_written_when_asked_for(fresh, capsys) -> None:
    """For a test system."""
    writer = logs.configure("info", "gateway", show_pii=True)
    structlog.get_logger("x").info("call_began", **{"pii.caller": "+1555"})
    assert lines(capsys, writer)[0]["pii.caller"] == "+1555"


def test_libraries_speak_the_same_way(fresh, capsys) -> None:
    """Also tracebacks stay inside one line."""
    writer = logs.configure("info", "worker", show_pii=True)
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("library").exception("it_broke")
    (line,) = lines(capsys, writer)
    assert (line["event"], line["program"]) == ("it_broke", "worker")
    assert "ValueError: odd" in str(line["exception"])


def test_errors_quote_nobody(fresh, capsys) -> None:
    """Kinds and places stay, also of causes and groups; texts of the system stay, too."""
    writer, number = logs.configure("info", "worker", show_pii=False), "+1555" + "0101"
    try:
        try:
            raise ConnectionRefusedError(111, "refused")
        except OSError as cause:
            raise ExceptionGroup(number, [KeyError(number)]) from cause
    except ExceptionGroup:
        structlog.get_logger("x").exception("it_broke")
    (line,) = lines(capsys, writer)
    shown = str(line["exception"])
    assert "+1555" not in str(line)
    assert "ConnectionRefusedError: [Errno 111] refused" in shown
    assert "KeyError" in shown
    assert "test_errors_quote_nobody" in shown


async def test_failed_callbacks_and_tasks_quote_nobody(fresh, capsys) -> None:
    """The own lines of asyncio show arguments and errors."""
    writer = logs.configure("info", "worker", show_pii=False)

    def deliver(number: str) -> None:
        raise ValueError(number)

    asyncio.get_running_loop().call_soon(deliver, "+15550101")
    await asyncio.sleep(0)
    (line,) = lines(capsys, writer)
    assert line["event"].startswith("Exception in callback")
    assert "ValueError" in str(line["exception"])
    assert "+1555" not in str(line)


def test_fields_of_libraries_are_fields(fresh, capsys) -> None:
    """What comes as `extra` stands in the line, personal data left out."""
    writer = logs.configure("info", "worker", show_pii=False)
    logging.getLogger("engine").warning("it_fell_back", extra={"slot": 3, "pii.text": "secret"})
    (line,) = lines(capsys, writer)
    assert (line["event"], line["slot"]) == ("it_fell_back", 3)
    assert "secret" not in str(line)


def test_the_level_holds(fresh, capsys) -> None:
    """Below it nothing is written."""
    writer = logs.configure("warning", "gateway", show_pii=False)
    structlog.get_logger("x").info("quiet")
    structlog.get_logger("x").warning("loud")
    assert [line["event"] for line in lines(capsys, writer)] == ["loud"]


def test_a_writer_that_stands_still_holds_nobody_up() -> None:
    """Lines beyond the queue's length are lost; the caller goes on."""
    waiting: Queue[logging.LogRecord] = Queue(2)
    handler = logs.DeferringHandler(waiting)
    for number in range(5):
        handler.handle(logging.makeLogRecord({"msg": f"line {number}"}))
    assert [waiting.get_nowait().getMessage() for _ in range(2)] == ["line 0", "line 1"]
    assert waiting.empty()


def test_people_read_text(fresh, capsys) -> None:
    """Time, level, program and event first; without personal data, and no colours in a file."""
    writer = logs.configure("info", "gateway", show_pii=False, form="text")
    structlog.get_logger("x").warning("call_began", persona="bank", **{"pii.caller": "+1555"})
    writer.queue.join()
    line = capsys.readouterr().err
    assert re.match(r"\d\d:\d\d:\d\d \[warning *\] gateway +call_began +persona=bank\n$", line)


def test_a_file_gets_json_unless_it_is_told_otherwise(fresh, capsys) -> None:
    """`auto` is for terminals."""
    writer = logs.configure("info", "gateway", show_pii=False, form="auto")
    structlog.get_logger("x").info("call_began")
    (line,) = lines(capsys, writer)
    assert line["event"] == "call_began"
