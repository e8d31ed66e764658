"""Shows everything that is kept of the face of a photo, and erases it."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from edgeface.errors import EdgefaceError, TraceError
from edgeface.operations.registry import ABOUT, ERASE
from edgeface.web.context import ACTOR, PageContext, form
from edgeface.web.filters import number
from edgeface.web.language import _, said
from edgeface.web.operations import run
from edgeface.wire.about import EraseRequest

AT_ONCE = 400
"""Events that one form erases at most: their ids fit into it."""


async def about(context: PageContext, request: Request) -> Response:
    """Answer the photo in the body with a piece of HTML."""
    try:
        told = await run(context, request, ABOUT, ACTOR)
    except EdgefaceError as error:
        reason = str(error).removeprefix("photo: ")
        return context.render(request, "about_face.html", HTTPStatus.UNPROCESSABLE_ENTITY, told=None, reason=reason)
    except HTTPException as error:
        return context.render(request, "about_face.html", error.status_code, told=None, reason=error.detail)
    return context.render(request, "about_face.html", told=told, at_once=AT_ONCE, reason="")


async def erase(context: PageContext, request: Request) -> Response:
    fields = await form(request)
    people, events, rejected, changes = (fields.get(name, "").split() for name in ("people", "events", "rejected", "changes"))
    wanted = EraseRequest(people=people, event_ids=events[:AT_ONCE], rejected=rejected, changes=changes)
    try:
        done = await context.perform(ERASE, wanted)
    except EdgefaceError as error:
        outcome = _("Erased") if isinstance(error, TraceError) else _("Not erased")
        return context.redirect("/unknown", f"{outcome}: {said(error)}.", good=False)
    names = "".join(f"{person.name}, " for person in done.people)
    counts = {"visits": number(done.events), "rejected": number(done.rejected)}
    text = _("Erased: {names}{visits} visits and {rejected} rejected faces.", names=names, **counts)
    left = _("Still in older backups: {files}.", files=", ".join(done.left_in)) if done.left_in else ""
    return context.redirect("/unknown", f"{text} {left}".strip())
