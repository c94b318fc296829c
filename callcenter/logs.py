"""Logs of every program: one JSON object a line on standard error.

The message is static, values are fields. Fields named `pii.*` (prompt text, telephone numbers,
transcripts) are dropped here unless they were asked for, so that a line of code can log them
without deciding who may read them. It knows no program and no call; `call_id` comes with the
context that the caller bound.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

PII_PREFIX = "pii."
CHATTY_LIBRARIES = ("alembic", "httpx", "httpcore", "websockets", "uvicorn.access", "uvicorn.error")

Fields = MutableMapping[str, Any]


def configure(level: str, program: str, show_pii: bool) -> None:
    """Sets structlog and the standard library's logging up; once, at start-up."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(program),
        structlog.processors.format_exc_info,
    ]
    if not show_pii:
        shared.append(drop_pii)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in CHATTY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def drop_pii(logger: Any, method: str, fields: Fields) -> Fields:
    """A structlog processor: leaves every `pii.*` field out."""
    for name in [name for name in fields if name.startswith(PII_PREFIX)]:
        del fields[name]
    return fields


def _named(program: str) -> structlog.typing.Processor:
    def add_program(logger: Any, method: str, fields: Fields) -> Fields:
        fields["program"] = program
        return fields

    return add_program
