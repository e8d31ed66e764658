"""Pauses the camera from the page, and resumes."""

from starlette.requests import Request
from starlette.responses import Response

from edgeface.errors import EdgefaceError
from edgeface.operations.registry import PAUSE
from edgeface.web.context import PageContext, form
from edgeface.web.language import _, said
from edgeface.wire.commands import PauseRequest


async def pause(context: PageContext, request: Request) -> Response:
    paused = (await form(request)).get("paused") != "false"
    try:
        await context.perform(PAUSE, PauseRequest(paused=paused))
    except EdgefaceError as error:
        return context.redirect("/", f"{said(error)}.", good=False)
    return context.redirect("/", _("The camera is closed.") if paused else _("The camera is opened."))
