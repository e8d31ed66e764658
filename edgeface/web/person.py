"""Shows one person: how well they are known, every view of them, and their latest visits."""

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from edgeface.enrollment.assessment import template_scores
from edgeface.enrollment.session import LEAST
from edgeface.errors import EdgefaceError, TraceError
from edgeface.gallery.event_store import KeptEvent
from edgeface.gallery.rules import NONE
from edgeface.gallery.store import Gallery, View
from edgeface.operations.registry import DROP
from edgeface.recognition.matching import Matcher
from edgeface.types import Person
from edgeface.web.context import PageContext, form
from edgeface.web.language import _, plural, said
from edgeface.web.visits import Wanted, read_visits
from edgeface.wire.commands import DropRequest

VISITS = 6


@dataclass(frozen=True, slots=True)
class Card:
    """How well a person is known.

    ``weakest`` is the lowest score of a template with the person's others, which should be ``needed``; ``alike`` is the name of
    another person who may be confused with them.
    """

    person: Person
    weakest: float | None
    needed: float
    alike: str | None


@dataclass(frozen=True, slots=True)
class ShownView:
    """A view of a person: the event that it came from, as long as it is kept, and whether there is a picture."""

    view: View
    event: KeptEvent | None
    pictured: bool


def read_card(context: PageContext, gallery: Gallery, person_id: str) -> Card | None:
    """Return how well a person is known, or ``None`` if they are not enrolled."""
    templates = gallery.templates()
    index = next((number for number, one in enumerate(templates.people) if one.id == person_id), None)
    if index is None:
        return None
    matcher = Matcher(templates, context.daemon.card, context.config.matching)
    scores = template_scores(templates, matcher, index)
    alike = scores.rival if scores.nearest is not None and scores.nearest >= matcher.unsure else None
    return Card(
        templates.people[index],
        float(scores.mated.min()) if len(scores.mated) else None,
        matcher.accept,
        None if alike is None else templates.people[alike].name,
    )


def read_portraits(gallery: Gallery) -> dict[str, str]:
    """Return the path of a small picture of each person who has one: of their newest visit, else a kept face; by id."""
    portraits = {person_id: f"/people/{person_id}/face" for person_id in gallery.people_with_faces()}
    pictured = gallery.events.pictured()
    for event in gallery.events.all():
        if event.person_id and event.verdict != "rejected" and event.event_id in pictured:
            portraits[event.person_id] = f"/visits/{event.event_id}/picture?small"
    return portraits


def how_known(card: Card) -> str:
    """Say how well a person is known, after views of them were added."""
    views = card.person.templates
    sentences = [
        plural(
            "{name} is known from {count} view now.", "{name} is known from {count} views now.", views, name=card.person.name
        )
    ]
    if views < LEAST:
        sentences.append(_("With {count} or more, recognition is more reliable.", count=LEAST))
    if card.weakest is not None and card.weakest < card.needed:
        sentences.append(_("One view is unlike the others: add some more that are like it."))
    if card.alike:
        sentences.append(_("They look much like {name}: add views of both.", name=card.alike))
    return " ".join(sentences)


def _read_views(gallery: Gallery, person_id: str) -> list[ShownView]:
    events, pictured = {event.event_id: event for event in gallery.events.all()}, gallery.events.pictured()
    return [ShownView(view, events.get(view.source), view.face or view.source in pictured) for view in gallery.views(person_id)]


async def person(context: PageContext, request: Request) -> Response:
    person_id = request.path_params["person"]

    def read(gallery: Gallery) -> dict[str, Any]:
        return {
            "card": read_card(context, gallery, person_id),
            "own_views": _read_views(gallery, person_id),
            "visits": read_visits(context, gallery, Wanted(person_id), limit=VISITS)[0],
            "picture": read_portraits(gallery).get(person_id, ""),
            "rules": gallery.rules().get(person_id, NONE),
            "people": [one for one in gallery.people() if one.id != person_id],
        }

    found = await context.with_gallery(read)
    if found["card"] is None:
        if note := request.query_params.get("note"):  # the change before has erased them
            return RedirectResponse(f"/people?{urlencode({'note': note})}", HTTPStatus.SEE_OTHER)
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return context.render(request, "person.html", **found, least=LEAST, now=time.time())


async def face(context: PageContext, request: Request) -> Response:
    """Return a kept face of a person as a small picture."""
    person_id = request.path_params["person"]
    return await context.small_picture(await context.with_gallery(lambda gallery: gallery.kept_face(person_id)))


async def view_picture(context: PageContext, request: Request) -> Response:
    """Return the picture of a view: the kept face, or that of the visit that it came from."""
    person_id, template = request.path_params["person"], request.path_params["view"]

    def read(gallery: Gallery) -> bytes | None:
        source = next((view.source for view in gallery.views(person_id) if view.id == template), "")
        return gallery.kept_face(person_id, template) or (gallery.events.picture(source) if source else None)

    return await context.small_picture(await context.with_gallery(read))


async def drop(context: PageContext, request: Request) -> Response:
    await form(request)
    where = f"/people/{request.path_params['person']}"
    try:
        dropped = await context.perform(DROP, DropRequest(template=request.path_params["view"]))
    except EdgefaceError as error:
        outcome = _("Deleted") if isinstance(error, TraceError) else _("Not deleted")
        return context.redirect(where, f"{outcome}: {said(error)}.", good=False)
    return context.redirect(where, _("The view is deleted."), undo={"change": dropped.change} if dropped.change else None)
