"""A request's body and words: within limits, JSON where it says so, text that databases take."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from fastapi import Request
from starlette.types import Message, Receive

from callcenter.admin.problems import Problem


async def read(request: Request, max_bytes: int) -> bytes:
    """Reads the body within its limit, and looks for text that no database takes."""
    declared = request.headers.get("Content-Length", "0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large(max_bytes)
    pieces = [request.url.path, *request.query_params.keys(), *request.query_params.values()]
    body = await request.body()
    if "json" in request.headers.get("Content-Type", "json"):
        pieces += _texts(_parsed(body))
    for text in pieces:
        check_text(text)
    return body


def check_text(text: str) -> None:
    """Refuses NUL characters and lone surrogates, which databases do not store; a Problem."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Problem(
            HTTPStatus.BAD_REQUEST, "bad_text", "text must not hold NUL or half of a surrogate pair"
        )


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):  # no JSON, no Unicode, nested too deeply
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_json", "the body is not JSON") from None


def _texts(data: Any) -> list[str]:
    """All strings in JSON data; refuses numbers that JSON does not have."""
    found: list[str] = []
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            found += item.keys()
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, float) and not abs(item) < float("inf"):
            raise Problem(HTTPStatus.BAD_REQUEST, "bad_json", "NaN and Infinity are not JSON")
    return found


def bounded(receive: Receive, limit: int) -> Receive:
    """Stops reading where the limit is passed, whatever Content-Length said."""
    total = 0

    async def receive_some() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise too_large(limit)
        return message

    return receive_some


def too_large(limit: int) -> Problem:
    """More bytes than a request may have."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"the request has more than {limit} bytes",
    )
