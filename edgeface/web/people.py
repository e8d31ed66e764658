"""Shows people as portraits, to search and sort; renames and forgets them, and enrolls photos."""

import math
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edgeface.errors import EdgefaceError, TraceError
from edgeface.gallery.names import clean_name
from edgeface.gallery.rules import NONE, Rules
from edgeface.gallery.store import Gallery
from edgeface.operations.registry import FORGET, PHOTOS, RENAME
from edgeface.types import Person
from edgeface.vision.images import decode_photo
from edgeface.web.context import PageContext, body, form
from edgeface.web.language import _, said
from edgeface.web.person import how_known, read_card, read_portraits
from edgeface.wire.commands import ForgetRequest, PhotosRequest, RenameRequest
from edgeface.wire.fields import seconds
from edgeface.wire.home import PersonHome

MAX_PHOTO = 12 * 2**20
MAX_UPLOADS = 4
"""Photos of which one is read while the others wait."""
PAGE = 48


class Order(NamedTuple):
    title: str
    key: Callable[["Listed"], Any]


ORDERS = {
    "": Order("Name", lambda one: plain(one.person.name)),
    "seen": Order("Last seen", lambda one: -(one.last_seen or 0.0)),
    "new": Order("Newest", lambda one: -one.person.enrolled),
    "views": Order("Fewest views", lambda one: one.person.templates),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A person on the page; ``portrait`` is the path of a small picture, or empty, ``place`` where they were seen last."""

    person: Person
    last_seen: float | None
    portrait: str
    rules: Rules
    place: str = ""


def read_people(gallery: Gallery) -> list[Listed]:
    portraits, rules, seen = read_portraits(gallery), gallery.rules(), {}
    for event in gallery.events.all():
        if event.person_id and event.verdict != "rejected":
            seen[event.person_id] = event.wall
    return [
        Listed(person, seen.get(person.id), portraits.get(person.id, ""), rules.get(person.id, NONE))
        for person in gallery.people()
    ]


def placed(listed: Sequence[Listed], home: Sequence[PersonHome]) -> list[Listed]:
    """Return the people as any device has seen them last."""
    last = {told.person_id: (seconds(told.last_seen), told) for told in home if told.last_seen}
    found = {one.person.id: one for one in listed}
    for person_id, (when, told) in last.items():
        if (one := found.get(person_id)) and when >= (one.last_seen or 0.0):
            found[person_id] = replace(one, last_seen=when, place=f"{told.camera} ({told.device})")
    return list(found.values())


def plain(name: str) -> str:
    """Return a name to search and sort by, without capitals and accents."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter)).casefold()


async def people(context: PageContext, request: Request) -> Response:
    """Show those whose name contains ``q``, in the order ``sort``."""
    query = request.query_params
    wanted, sort = query.get("q", "").strip(), query.get("sort", "")
    order = ORDERS.get(sort, ORDERS[""])
    everybody, undoable = await context.with_gallery(lambda gallery: (read_people(gallery), gallery.bin.count()))
    everybody = placed(everybody, context.daemon.home() or ())
    found = sorted((one for one in everybody if plain(wanted) in plain(one.person.name)), key=order.key)
    pages, asked = max(1, math.ceil(len(found) / PAGE)), query.get("page", "")[:6]
    number = min(max(1, int(asked) if asked.isdecimal() else 1), pages)
    return context.render(
        request,
        "people.html",
        people=found[(number - 1) * PAGE : number * PAGE],
        found=len(found),
        known=len(everybody),
        undoable=undoable,
        wanted=wanted,
        sort=sort,
        orders={name: one.title for name, one in ORDERS.items()},
        number=number,
        pages=pages,
        now=time.time(),
    )


async def rename(context: PageContext, request: Request) -> Response:
    wanted = RenameRequest(person=request.path_params["person"], name=(await form(request)).get("name", ""))
    try:
        person = await context.perform(RENAME, wanted)
    except EdgefaceError as error:
        outcome = _("Renamed") if isinstance(error, TraceError) else _("Not renamed")
        return context.redirect(f"/people/{wanted.person}", f"{outcome}: {said(error)}.", good=False)
    return context.redirect(f"/people/{person.id}", _("The name is {name} now.", name=person.name))


async def forget(context: PageContext, request: Request) -> Response:
    await form(request)
    try:
        person = await context.perform(FORGET, ForgetRequest(person=request.path_params["person"]))
    except EdgefaceError as error:
        return context.redirect("/people", f"{said(error)}.", good=False)
    text = _("{name} is forgotten: name, views, visits and pictures are erased.", name=person.name)
    return context.redirect("/people", text)


async def photo(context: PageContext, request: Request) -> Response:
    """Enroll the one face of the photo in the body as ``name``."""
    if context.uploads >= MAX_UPLOADS:
        busy = {"ok": False, "text": _("Other photos are being looked at; try again in a moment.")}
        return JSONResponse(busy, HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "5", "connection": "close"})
    context.uploads += 1
    try:
        async with context.uploading:
            return await _enroll_photo(context, request)
    finally:
        context.uploads -= 1


async def _enroll_photo(context: PageContext, request: Request) -> Response:
    force = request.query_params.get("force") == "yes"
    try:
        wanted = PhotosRequest(name=clean_name(request.query_params.get("name", "")), force=force, assess=False)
        data = await body(request, MAX_PHOTO)
        image = await context.on_picture_thread(partial(decode_photo, data, "photo"))
        done = await context.perform(PHOTOS, wanted, iter([("photo", image)]))
    except EdgefaceError as error:
        return JSONResponse({"ok": False, "text": f"{said(str(error).removeprefix('photo: '))}."}, 422)
    except HTTPException as error:
        return JSONResponse({"ok": False, "text": error.detail}, error.status_code, error.headers)
    if done.id is None:
        return JSONResponse({"ok": False, "text": "; ".join(f"{said(refused.reason)}." for refused in done.refused)}, 422)
    person_id = done.id
    card = await context.with_gallery(lambda gallery: read_card(context, gallery, person_id))
    return JSONResponse({"ok": True, "text": how_known(card) if card else ""})
