"""Lists come in pages; a cursor says where the next one begins. It knows no object's content."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel

from callcenter.admin.api.common import stamped
from callcenter.admin.problems import Problem
from callcenter.admin.store import documents
from callcenter.admin.store.documents import Record
from callcenter.admin.store.work import Work

Item = TypeVar("Item")
Limit = Annotated[int, Query(ge=1, le=200, description="Items on a page.")]
Cursor = Annotated[
    str, Query(max_length=400, description="`next_cursor` of the page before; empty: the first.")
]


class Page(BaseModel, Generic[Item]):
    """Some of the items, and where the next ones begin.

    Attributes:
        next_cursor: ask for the next page with it; null at the end.
    """

    items: list[Item]
    next_cursor: str | None


def encode_cursor(position: str) -> str:
    """A position in a list, opaque to clients."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The position; a Problem (400) if it is not one of ours."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):  # not base64, not UTF-8
        raise Problem(
            HTTPStatus.BAD_REQUEST, "bad_cursor", "the cursor is none of this API's"
        ) from None


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a list that a client asks for.

    Attributes:
        after: position that it begins behind; "" for the beginning.
        limit: most items on the page.
    """

    after: str
    limit: int

    @property
    def rows(self) -> int:
        """How many to read: one more than is shown tells whether there is another page."""
        return self.limit + 1

    def cut(
        self,
        found: Sequence[Any],
        show: Callable[[Any], Any],
        position: Callable[[Any], str] = lambda item: str(item.id),
    ) -> dict[str, Any]:
        """The page's fields.

        Args:
            found: up to `rows` items, in order.
            show: an item as the API shows it.
            position: of an item, for the cursor.
        """
        shown = found[: self.limit]
        more = encode_cursor(position(shown[-1])) if len(found) > self.limit else None
        return {"items": [show(item) for item in shown], "next_cursor": more}


def _window(cursor: Cursor = "", limit: Limit = 50) -> Window:
    return Window(decode_cursor(cursor), limit)


WindowIn = Annotated[Window, Depends(_window)]


async def list_documents(
    work: Work, kind: str, window: Window, show: Callable[[Record], Any] | None = None
) -> dict[str, Any]:
    """A page of documents, oldest first."""
    found = await documents.page(work.db, kind, window.after, window.rows)
    return window.cut(found, show or stamped)
