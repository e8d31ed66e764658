"""Merges people and moves views from the page, and shows what can be undone."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgeface.errors import EdgefaceError, TraceError
from edgeface.gallery.store import Gallery
from edgeface.operations.moves import in_words
from edgeface.operations.registry import EMPTY_BIN, IGNORE, MERGE, MOVE, SPLIT, UNDO
from edgeface.web.context import PageContext, form
from edgeface.web.filters import capitalize_first
from edgeface.web.language import _, said
from edgeface.wire.moves import EmptyBinRequest, MergeRequest, Moved, MoveRequest, SplitRequest, UndoRequest
from edgeface.wire.rules import IgnoreRequest


async def merge(context: PageContext, request: Request) -> Response:
    """Merge a person into the one whom the form names."""
    person_id, fields = request.path_params["person"], await form(request)
    wanted = MergeRequest(person=person_id, into=fields.get("into", ""), force=fields.get("force") == "yes")
    try:
        return _done(context, await context.perform(MERGE, wanted))
    except EdgefaceError as error:
        return _refused(context, person_id, _("Not merged"), error)


async def move(context: PageContext, request: Request) -> Response:
    """Give a view to the person whom the form names, who is created when new."""
    person_id, view, fields = request.path_params["person"], request.path_params["view"], await form(request)
    who, force = fields.get("who", "").strip(), fields.get("force") == "yes"
    try:
        if who in (await context.with_gallery(lambda gallery: {one.name for one in gallery.people()})):
            return _done(context, await context.perform(MOVE, MoveRequest(views=[view], to=who, force=force)))
        return _done(context, await context.perform(SPLIT, SplitRequest(views=[view], name=who, force=force)))
    except EdgefaceError as error:
        return _refused(context, person_id, _("Not moved"), error)


async def undo(context: PageContext, request: Request) -> Response:
    """Undo a change, or ignore a person no longer."""
    fields = await form(request)
    try:
        if "ignored" in fields:
            person = await context.perform(IGNORE, IgnoreRequest(person=fields["ignored"], ignored=False))
            return context.redirect(f"/people/{person.id}", _("{name} is no longer ignored.", name=person.name))
        done = await context.perform(UNDO, UndoRequest(change=fields.get("change") or None))
    except EdgefaceError as error:
        return context.redirect("/people", _("Not undone: {reason}.", reason=said(error)), good=False)
    return context.redirect(f"/people/{done.id}", f"{capitalize_first(said(done.told))}.")


async def show_bin(context: PageContext, request: Request) -> Response:
    """Show the changes that can be undone, the latest first."""

    def read(gallery: Gallery) -> dict[str, Any]:
        names = {person.id: person.name for person in gallery.people()}
        kept = [(one, said(in_words(one.change, names))) for one in reversed(gallery.bin.changes())]
        return {"changes": kept, "days": gallery.bin.days}

    return context.render(request, "bin.html", **await context.with_gallery(read), now=time.time())


async def empty_bin(context: PageContext, request: Request) -> Response:
    await form(request)
    try:
        await context.perform(EMPTY_BIN, EmptyBinRequest())
    except EdgefaceError as error:
        outcome = _("Erased") if isinstance(error, TraceError) else _("Not erased")
        return context.redirect("/bin", f"{outcome}: {said(error)}.", good=False)
    return context.redirect("/people", _("What could be undone is erased."))


def _done(context: PageContext, moved: Moved) -> Response:
    return context.redirect(
        f"/people/{moved.id}", f"{capitalize_first(said(moved.told))}.", undo={"change": moved.change} if moved.change else None
    )


def _refused(context: PageContext, person_id: str, outcome: str, error: EdgefaceError) -> Response:
    text = said(str(error).partition("; force ")[0])
    return context.redirect(f"/people/{person_id}", f"{outcome}: {text}.", good=False)
