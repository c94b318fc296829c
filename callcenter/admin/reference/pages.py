"""Serves the API's reference: Redoc over /v1/openapi.json, without any other site.

`redoc.standalone.js` is the file of that name in the npm package `redoc`, version 2.5.1; `LICENSE`
says whose work it is, and a test holds its hash.
It knows no session: the description says nothing that this repository does not.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Response

from callcenter.telephony.webrtc.files import FreshFiles

FILES = Path(__file__).parent
PAGE = (FILES / "index.html").read_text(encoding="utf-8")
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Redoc writes its styles into the page
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
_SERVED = ("redoc.standalone.js", "style.css", "LICENSE")


class _Chosen(FreshFiles):
    """Files that are named; the rest of the folder is code."""

    def lookup_path(self, path: str) -> tuple[str, object]:  # type: ignore[override]
        """Nothing else is there."""
        return super().lookup_path(path) if path in _SERVED else ("", None)


def mount(app: FastAPI) -> None:
    """Adds the page to an application."""

    @app.get("/docs", include_in_schema=False)
    async def show_reference() -> Response:
        """The page."""
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return Response(PAGE, media_type="text/html", headers=headers)

    app.mount("/docs", _Chosen(directory=FILES), name="reference")
