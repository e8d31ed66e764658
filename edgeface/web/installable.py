"""Gives everybody, without a session, what is the same for everybody.

A phone needs a manifest and icons to install the page as an app; a browser's maker may be told their addresses, so the key of a
session must not stand in them. Home Assistant imports the blueprint of notifications.
"""

from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from edgeface.web.language import _, current

STATIC = Path(__file__).parent / "static"
BLUEPRINT = "/home-assistant-notification.yaml"
ICONS = {f"/icon-{side}.png": side for side in (180, 192, 512)}
MANIFEST: dict[str, Any] = {
    "id": "/",
    "name": "edgeface",
    "short_name": "edgeface",
    "start_url": "/",
    "scope": "/",
    "display": "standalone",
    "background_color": "#f4f5f3",
    "theme_color": "#0f6b66",
    "icons": [
        {"src": path, "sizes": f"{side}x{side}", "type": "image/png", "purpose": purpose}
        for path, side in ICONS.items()
        for purpose in ("any", "maskable")
    ],
}


def open_to_all(request: Request) -> Response | None:
    """Return what a request gets without a session, or ``None`` if that is nothing."""
    path = request.url.path if request.method in ("GET", "HEAD") else ""
    if path == "/manifest.webmanifest":
        return JSONResponse(
            MANIFEST | {"description": _("Who is at the door"), "lang": current().language},
            HTTPStatus.OK,
            media_type="application/manifest+json",
        )
    if path in ICONS:
        return FileResponse(STATIC / path.lstrip("/"), media_type="image/png")
    if path == BLUEPRINT:
        return FileResponse(STATIC / path.lstrip("/"), media_type="application/yaml")
    return None
