"""Pauses the camera from the page, and resumes."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgeface.errors import EdgefaceError
from edgeface.operations.registry import PAUSE
from edgeface.web.context import PageContext, form
from edgeface.web.language import _, said
from edgeface.wire.commands import PauseRequest


async def pause(context: PageContext, request: Request) -> Response:
    fields = await form(request)
    paused, minutes = fields.get("paused") != "false", fields.get("minutes", "")
    try:
        wanted = {"paused": paused, "minutes": float(minutes) if paused and minutes else None}
        await context.perform(PAUSE, msgspec.convert(wanted, PauseRequest))
    except ValueError:
        return context.redirect("/", _("That is no time."), good=False)
    except EdgefaceError as error:
        return context.redirect("/", f"{said(error)}.", good=False)
    return context.redirect("/", _("The camera is closed.") if paused else _("The camera is opened."))
