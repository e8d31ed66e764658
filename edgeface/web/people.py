"""People: a card each, to rename, forget, or know better."""

from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgeface.enrollment.assessment import template_scores
from edgeface.enrollment.session import LEAST
from edgeface.errors import EdgefaceError, ImageError, TraceError
from edgeface.gallery.names import clean_name
from edgeface.gallery.store import Gallery
from edgeface.operations.registry import FORGET, PHOTOS, RENAME
from edgeface.recognition.matching import Matcher
from edgeface.types import Image
from edgeface.vision.images import decode_photo
from edgeface.web.context import Site, body, form
from edgeface.wire.commands import ForgetRequest, PhotosRequest, RenameRequest

MAX_PHOTO = 12 * 2**20
MAX_UPLOADS = 4
"""Photos of which one is taken in while the others wait, unread."""


@dataclass(frozen=True, slots=True)
class Card:
    """A person for the page.

    ``weakest`` is how much the least typical of their views is like the others, a score as of a match, of the ``needed`` one;
    ``alike`` is somebody else who looks so much like them that the two may be mixed up.
    """

    id: str
    name: str
    views: int
    enrolled: float
    last_seen: float | None
    weakest: float | None
    needed: float
    alike: str | None
    picture: str | None


def read_people(site: Site, gallery: Gallery) -> list[Card]:
    """Everybody, by name."""
    templates = gallery.templates().by_name()
    matcher = Matcher(templates, site.daemon.card, site.config.matching)
    pictured, seen, faces = gallery.events.pictured(), {}, {}
    for event in gallery.events.all():
        if event.person_id and event.verdict != "rejected":
            seen[event.person_id] = event.wall
            if event.event_id in pictured:
                faces[event.person_id] = event.event_id
    cards = []
    for index, person in enumerate(templates.people):
        scores = template_scores(templates, matcher, index)
        alike = scores.rival if scores.nearest is not None and scores.nearest >= matcher.unsure else None
        cards.append(
            Card(
                person.id,
                person.name,
                person.templates,
                person.enrolled,
                seen.get(person.id),
                float(scores.mated.min()) if len(scores.mated) else None,
                matcher.accept,
                None if alike is None else templates.people[alike].name,
                faces.get(person.id),
            )
        )
    return cards


def how_known(card: Card) -> str:
    """How well somebody is known, for who has just added views of them."""
    told = [f"{card.name} is known from {card.views} view{'' if card.views == 1 else 's'} now."]
    if card.views < LEAST:
        told.append(f"With {LEAST} or more they are recognised more surely.")
    if card.weakest is not None and card.weakest < card.needed:
        told.append("One view is unlike the others: add some more that are like it.")
    if card.alike:
        told.append(f"They look much like {card.alike}: add views of both.")
    return " ".join(told)


async def people(request: Request) -> Response:
    """The view."""
    site: Site = request.app.state.site
    cards = await site.with_gallery(lambda gallery: read_people(site, gallery))
    return site.page(request, "people.html", people=cards, least=LEAST)


async def rename(request: Request) -> Response:
    """Another name for a person."""
    site: Site = request.app.state.site
    wanted = RenameRequest(person=request.path_params["person"], name=(await form(request)).get("name", ""))
    try:
        person = await site.perform(RENAME, wanted)
    except TraceError as error:
        return site.back("/people", f"Renamed: {error}.", good=False)
    except EdgefaceError as error:
        return site.back("/people", f"Not renamed: {error}.", good=False)
    return site.back("/people", f"The name is {person.name} now.")


async def forget(request: Request) -> Response:
    """Erase a person."""
    site: Site = request.app.state.site
    await form(request)
    try:
        person = await site.perform(FORGET, ForgetRequest(person=request.path_params["person"]))
    except EdgefaceError as error:
        return site.back("/people", f"{error}.", good=False)
    return site.back("/people", f"{person.name} is forgotten: name, views, visits and pictures are erased.")


async def photo(request: Request) -> Response:
    """Enroll the one face of a photo, which is the body, as ``name``."""
    site: Site = request.app.state.site
    if site.uploads >= MAX_UPLOADS:
        told = {"ok": False, "text": "Other photos are being looked at; try again in a moment."}
        return JSONResponse(told, HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "5", "connection": "close"})
    site.uploads += 1
    try:
        async with site.uploading:
            return await _enroll_photo(site, request)
    finally:
        site.uploads -= 1


async def _enroll_photo(site: Site, request: Request) -> Response:
    force = request.query_params.get("force") == "yes"
    try:
        wanted = PhotosRequest(name=clean_name(request.query_params.get("name", "")), force=force, assess=False)
        image = await _image(site, request)
        done = await site.perform(PHOTOS, wanted, iter([("photo", image)]))
    except EdgefaceError as error:
        return JSONResponse({"ok": False, "text": f"{error}."}, 422)
    except HTTPException as error:
        return JSONResponse({"ok": False, "text": error.detail}, error.status_code, error.headers)
    if done.id is None:
        return JSONResponse({"ok": False, "text": "; ".join(f"{refused.reason}." for refused in done.refused)}, 422)
    cards = await site.with_gallery(lambda gallery: read_people(site, gallery))
    return JSONResponse({"ok": True, "text": " ".join(how_known(card) for card in cards if card.id == done.id)})


async def _image(site: Site, request: Request) -> Image:
    data = await body(request, MAX_PHOTO)
    return await site.paint(lambda: decoded(data))


def decoded(data: bytes) -> Image:
    """The photo in these bytes.

    Raises:
        ImageError: they are no photo, or one that is too large, whatever it would unfold to.
    """
    try:
        return decode_photo(data, "photo")
    except ImageError as error:
        raise ImageError(str(error).removeprefix("photo: ")) from None


ROUTES = [
    Route("/people", people),
    Route("/people/photo", photo, methods=["POST"]),
    Route("/people/{person}/rename", rename, methods=["POST"]),
    Route("/people/{person}/forget", forget, methods=["POST"]),
]
