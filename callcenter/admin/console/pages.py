"""Serves the console: the page that frames every view, its modules and styles, the call widget.

    GET /admin, /admin/...      the frame; which view it shows is the modules' business
    GET /admin/static/...       modules and styles
    GET /admin/widget/...       the call button, for test calls out of the persona editor

The frame holds nothing that a person wrote: all of that comes from the API and is put on the page
as text. It knows no session and no database; what may be seen is the API's business.
"""

from __future__ import annotations

import html
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import RedirectResponse

from callcenter.telephony.webrtc.files import WIDGET, FreshFiles

STATIC = Path(__file__).parent / "static"
FRAME = (STATIC / "frame.html").read_text(encoding="utf-8")


def mount(app: FastAPI, gateway_url: str, *, sign_on: str = "", key_login: bool = True) -> None:
    """Adds the console to an application.

    Args:
        app: the admin app.
        gateway_url: where browsers place test calls; "" where no gateway takes them.
        sign_on: what the log-in page calls the OpenID provider; "" where there is none.
        key_login: whether the log-in page takes API keys.
    """
    routes = APIRouter(prefix="/admin", include_in_schema=False)
    said = {"gateway": gateway_url, "sign-on": sign_on, "key-login": "yes" if key_login else ""}
    frame = FRAME
    for name, value in said.items():
        frame = frame.replace("{{" + name + "}}", html.escape(value))
    headers = {
        "Content-Security-Policy": policy(gateway_url),
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
        "Cache-Control": "no-cache",
    }

    @routes.get("")
    @routes.get("/{view:path}")
    async def show_frame(view: str = "") -> Response:
        """The frame of every view."""
        return Response(frame, media_type="text/html", headers=headers)

    @app.get("/", include_in_schema=False)
    async def go_to_console() -> Response:
        """Somebody typed the bare address."""
        return RedirectResponse("/admin")

    for name, folder in (("static", STATIC), ("widget", WIDGET)):
        app.mount(f"/admin/{name}", FreshFiles(directory=folder), name=f"console-{name}")
    app.include_router(routes)


def policy(gateway_url: str) -> str:
    """The content security policy: everything from here, and calls to the gateway.

    No inline script or style, no evaluation, no form that leaves, no framing: text that slipped
    through as markup could do nothing.
    """
    parts = urlsplit(gateway_url)
    gateway = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "media-src 'self' blob:",
            f"connect-src 'self'{gateway}",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )
