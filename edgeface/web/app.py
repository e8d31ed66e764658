"""Maps the page's paths to its views."""

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
from edgeface.web.context import PageContext


def application(context: PageContext) -> Starlette:
    """Make the page's application, for requests that were let in."""
    static = StaticFiles(directory=Path(__file__).parent / "static")

    async def show_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
        text = error.detail if isinstance(error, HTTPException) else str(error)
        text = "There is no such page." if status == HTTPStatus.NOT_FOUND else text
        response = context.render(request, "wrong.html", status, text=text)
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    app = Starlette(
        routes=[Mount("/static", static)]
        + [route for view in (live, people, visits, strangers, enroll, health, operations) for route in view.ROUTES],
        exception_handlers={HTTPException: show_error, EdgefaceError: show_error},
    )
    app.router.redirect_slashes = False  # a redirect would leave the session's path
    app.state.context = context
    return app
