"""Shows people, to rename, forget, or enroll more photos of."""

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edgeface.enrollment.assessment import template_scores
from edgeface.enrollment.session import LEAST
from edgeface.errors import EdgefaceError, TraceError
from edgeface.gallery.names import clean_name
from edgeface.gallery.rules import NONE, Rules
from edgeface.gallery.store import Gallery
from edgeface.operations.registry import FORGET, PHOTOS, RENAME
from edgeface.recognition.matching import Matcher
from edgeface.types import Person
from edgeface.vision.images import decode_photo
from edgeface.web.context import PageContext, body, form
from edgeface.wire.commands import ForgetRequest, PhotosRequest, RenameRequest

MAX_PHOTO = 12 * 2**20
MAX_UPLOADS = 4
"""Photos of which one is read while the others wait."""


@dataclass(frozen=True, slots=True)
class Card:
    """A person on the page.

    ``weakest`` is the lowest score of a template with the person's others, which should be ``needed``; ``alike`` is the name of
    another person who may be confused with them.
    """

    person: Person
    last_seen: float | None
    weakest: float | None
    needed: float
    alike: str | None
    picture: str | None
    rules: Rules


def read_people(context: PageContext, gallery: Gallery) -> list[Card]:
    templates = gallery.templates().by_name()
    matcher = Matcher(templates, context.daemon.card, context.config.matching)
    pictured, seen, faces = gallery.events.pictured(), {}, {}
    for event in gallery.events.all():
        if event.person_id and event.verdict != "rejected":
            seen[event.person_id] = event.wall
            if event.event_id in pictured:
                faces[event.person_id] = event.event_id
    cards, rules = [], gallery.rules()
    for index, person in enumerate(templates.people):
        scores = template_scores(templates, matcher, index)
        alike = scores.rival if scores.nearest is not None and scores.nearest >= matcher.unsure else None
        card = Card(
            person,
            seen.get(person.id),
            float(scores.mated.min()) if len(scores.mated) else None,
            matcher.accept,
            None if alike is None else templates.people[alike].name,
            faces.get(person.id),
            rules.get(person.id, NONE),
        )
        cards.append(card)
    return cards


def how_known(card: Card) -> str:
    """Say how well a person is known, after views of them were added."""
    views = card.person.templates
    sentences = [f"{card.person.name} is known from {views} view{'' if views == 1 else 's'} now."]
    if views < LEAST:
        sentences.append(f"With {LEAST} or more they are recognised more surely.")
    if card.weakest is not None and card.weakest < card.needed:
        sentences.append("One view is unlike the others: add some more that are like it.")
    if card.alike:
        sentences.append(f"They look much like {card.alike}: add views of both.")
    return " ".join(sentences)


async def people(context: PageContext, request: Request) -> Response:
    cards = await context.with_gallery(lambda gallery: read_people(context, gallery))
    return context.render(request, "people.html", people=cards, least=LEAST)


async def rename(context: PageContext, request: Request) -> Response:
    wanted = RenameRequest(person=request.path_params["person"], name=(await form(request)).get("name", ""))
    try:
        person = await context.perform(RENAME, wanted)
    except EdgefaceError as error:
        outcome = "Renamed" if isinstance(error, TraceError) else "Not renamed"
        return context.redirect("/people", f"{outcome}: {error}.", good=False)
    return context.redirect("/people", f"The name is {person.name} now.")


async def forget(context: PageContext, request: Request) -> Response:
    await form(request)
    try:
        person = await context.perform(FORGET, ForgetRequest(person=request.path_params["person"]))
    except EdgefaceError as error:
        return context.redirect("/people", f"{error}.", good=False)
    return context.redirect("/people", f"{person.name} is forgotten: name, views, visits and pictures are erased.")


async def photo(context: PageContext, request: Request) -> Response:
    """Enroll the one face of the photo in the body as ``name``."""
    if context.uploads >= MAX_UPLOADS:
        busy = {"ok": False, "text": "Other photos are being looked at; try again in a moment."}
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
        return JSONResponse({"ok": False, "text": f"{str(error).removeprefix('photo: ')}."}, 422)
    except HTTPException as error:
        return JSONResponse({"ok": False, "text": error.detail}, error.status_code, error.headers)
    if done.id is None:
        return JSONResponse({"ok": False, "text": "; ".join(f"{refused.reason}." for refused in done.refused)}, 422)
    cards = await context.with_gallery(lambda gallery: read_people(context, gallery))
    return JSONResponse({"ok": True, "text": " ".join(how_known(card) for card in cards if card.person.id == done.id)})
