"""The widget's files, and how browsers keep them. Knows no call and no aiortc."""

from __future__ import annotations

from pathlib import Path

from fastapi import Response
from fastapi.staticfiles import StaticFiles

WIDGET = Path(__file__).parent / "widget"


class FreshFiles(StaticFiles):
    """Files that browsers ask about again, so that a new release shows at once and as a whole."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """Adds the header to every file."""
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response
