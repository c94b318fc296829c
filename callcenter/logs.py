"""Logs of every program, on standard error: one JSON object a line, or text on a terminal.

The message is static, values are fields. Fields named `pii.*` (prompt text, telephone numbers,
transcripts) are dropped here unless they were asked for, so that a line of code can log them
without deciding who may read them. It knows no program and no call; `call_id` comes with the
context that the caller bound.

An exception's own text may quote what tripped it: a number, a name, words of a call. Unless
personal data was asked for, a traceback therefore shows where and of what kind the error was, and
its text only where it is the system's (`OSError`).

Lines are written by a thread of their own: a full pipe or a slow disk behind standard error holds
up no audio loop. When the writer is `MAX_WAITING` lines behind, further lines are lost.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue
from typing import Any, Literal

import structlog

PII_PREFIX = "pii."
MAX_WAITING = 10_000
MAX_ERRORS = 10  # of one chain or group that are shown
CHATTY_LIBRARIES = ("alembic", "httpx", "httpcore", "websockets", "uvicorn.access", "uvicorn.error")

Fields = MutableMapping[str, Any]
Format = Literal["auto", "json", "text"]


def configure(level: str, program: str, show_pii: bool, form: Format = "json") -> QueueListener:
    """Sets structlog and the standard library's logging up; once, at start-up.

    Fields that a library gives as `extra` become fields of the line.

    Args:
        level: the least urgent kind of line that is written.
        program: stands in every line.
        show_pii: whether `pii.*` fields are written.
        form: `json`; `text` for people; `auto` is text where standard error is a terminal.

    Returns:
        The writer; `writer.queue.join()` waits until every line so far is written.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(program),
    ]
    if not show_pii:
        shared += [
            structlog.processors.ExceptionRenderer(without_texts),
            without_arguments,
            drop_pii,
        ]
    renderer = _text() if _for_people(form) else _json()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    waiting: Queue[logging.LogRecord] = Queue(MAX_WAITING)
    writer = QueueListener(waiting, logging.StreamHandler(sys.stderr))
    handler = DeferringHandler(waiting)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in CHATTY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    writer.start()
    atexit.register(writer.stop)  # writes what still waits
    return writer


class DeferringHandler(QueueHandler):
    """Formats a line where it was logged, with its context; never waits for the writer."""

    def enqueue(self, record: logging.LogRecord) -> None:
        """Loses the line when the queue is full."""
        try:
            self.queue.put_nowait(record)
        except Full:
            return


def drop_pii(logger: Any, method: str, fields: Fields) -> Fields:
    """A structlog processor: leaves every `pii.*` field out."""
    for name in [name for name in fields if name.startswith(PII_PREFIX)]:
        del fields[name]
    return fields


def _for_people(form: Format) -> bool:
    return form == "text" or (form == "auto" and sys.stderr.isatty())


def _json() -> list[structlog.typing.Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _text() -> list[structlog.typing.Processor]:
    """`17:36:02 warning  admin    webhook_failed  receiver=crm`, in colours on a terminal.

    A traceback is written without the values of its variables: they may be personal data.
    """
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    renderer = structlog.dev.ConsoleRenderer(
        colors=colours, pad_event_to=24, exception_formatter=structlog.dev.plain_traceback
    )
    return [_for_reading, renderer]


def _for_reading(logger: Any, method: str, fields: Fields) -> Fields:
    """The time without its date, the program in front; which module it was says little."""
    fields["timestamp"] = str(fields["timestamp"])[11:19]
    fields["event"] = f"{fields.pop('program'):8} {fields['event']}"
    fields.pop("logger", None)
    return fields


def without_texts(exc_info: Any) -> str:
    """A traceback, the chain of causes and groups included, without the errors' own texts."""
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    return "\n".join(_shown(error, MAX_ERRORS)) if error is not None else ""


def _shown(error: BaseException, room: int) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and room:
        yield from _shown(before, room - 1)
        yield "which led to:"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    yield f"{kind}: {error}" if isinstance(error, OSError) else kind
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions[:room]:
            yield "in it:"
            yield from _shown(each, room - 1)


def without_arguments(logger: Any, method: str, fields: Fields) -> Fields:
    """A structlog processor: asyncio's own lines show the arguments of what failed; cuts them off.

    "Exception in callback deliver([...])" becomes "Exception in callback deliver".
    """
    if fields.get("logger") == "asyncio":
        first, *_ = str(fields["event"]).splitlines() or [""]
        fields["event"] = first.partition("(")[0]
    return fields


def _named(program: str) -> structlog.typing.Processor:
    def add_program(logger: Any, method: str, fields: Fields) -> Fields:
        fields["program"] = program
        return fields

    return add_program
