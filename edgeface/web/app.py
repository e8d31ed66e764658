"""Maps the page's paths to its views."""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from edgeface.errors import EdgefaceError
from edgeface.web import (
    about,
    enroll,
    health,
    live,
    moves,
    operations,
    pause,
    people,
    person,
    phone,
    regions,
    rules,
    settings,
    strangers,
    visits,
    welcome,
)
from edgeface.web.context import PageContext
from edgeface.web.language import _, said

View: TypeAlias = Callable[[PageContext, Request], Awaitable[Response]]
GET: dict[str, View] = {
    "/": live.live,
    "/live/recent": live.recent,
    "/live/picture": live.picture,
    "/stream": live.stream,
    "/people": people.people,
    "/people/{person}": person.person,
    "/people/{person}/face": person.face,
    "/people/{person}/views/{view}/picture": person.view_picture,
    "/visits": visits.visits,
    "/visits/{event}/picture": visits.picture,
    "/unknown": strangers.strangers,
    "/enroll": enroll.enroll,
    "/enroll/state": enroll.state,
    "/health": health.health,
    "/settings": settings.settings,
    "/welcome": welcome.welcome,
    "/regions": regions.regions,
    "/phone": phone.phone,
    "/bin": moves.show_bin,
}
POST: dict[str, View] = {
    "/people/photo": people.photo,
    "/people/{person}/rename": people.rename,
    "/people/{person}/forget": people.forget,
    "/people/{person}/views/{view}/drop": person.drop,
    "/people/{person}/views/{view}/move": moves.move,
    "/people/{person}/merge": moves.merge,
    "/undo": moves.undo,
    "/bin/empty": moves.empty_bin,
    "/visits/{event}/confirm": visits.confirm,
    "/visits/{event}/reject": visits.reject,
    "/unknown/name": strangers.name,
    "/unknown/dismiss": strangers.dismiss,
    "/unknown/keep": strangers.keep,
    "/unknown/about": about.about,
    "/unknown/erase": about.erase,
    "/enroll/start": enroll.start,
    "/enroll/finish": enroll.finish,
    "/pause": pause.pause,
    "/people/{person}/rules": rules.rules,
    "/unknown/ignore": strangers.ignore,
    "/settings": settings.change,
    "/operations/{name}": operations.operate,
}


def application(context: PageContext) -> Starlette:
    """Make the page's application, for requests that were let in."""
    views = [(path, view, "GET") for path, view in GET.items()] + [(path, view, "POST") for path, view in POST.items()]

    async def show_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
        text = error.detail if isinstance(error, HTTPException) else said(error)
        text = _("There is no such page.") if status == HTTPStatus.NOT_FOUND else text
        response = context.render(request, "wrong.html", status, text=text)
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    app = Starlette(
        routes=[
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
            *(Route(path, partial(view, context), methods=[method]) for path, view, method in views),
        ],
        exception_handlers={HTTPException: show_error, EdgefaceError: show_error},
    )
    app.router.redirect_slashes = False  # a redirect would leave the session's path
    return app
