"""The views of the page by their paths."""

from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from edgeface.errors import EdgefaceError
from edgeface.web import enroll, health, live, operations, people, strangers, visits
from edgeface.web.context import Site


def application(site: Site) -> Starlette:
    """The page of a site, for whoever is let in."""
    static = StaticFiles(directory=Path(__file__).parent / "static")

    async def wrong(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
        told = {HTTPStatus.NOT_FOUND: "There is no such page."}.get(HTTPStatus(status))
        text = told or (error.detail if isinstance(error, HTTPException) else str(error))
        response = site.page(request, "wrong.html", status, text=text)
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    app = Starlette(
        routes=[Mount("/static", static)]
        + [route for view in (live, people, visits, strangers, enroll, health, operations) for route in view.ROUTES],
        exception_handlers={HTTPException: wrong, EdgefaceError: wrong},
    )
    app.router.redirect_slashes = False  # it would lead out of the session's path
    app.state.site = site
    return app
