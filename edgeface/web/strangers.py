"""Shows people who were not recognized, a card for each, to name, ignore or dismiss."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from edgeface.errors import EdgefaceError, TraceError
from edgeface.gallery.event_store import KeptEvent
from edgeface.gallery.store import Gallery
from edgeface.operations.registry import DISMISS, IGNORE, INTRODUCE
from edgeface.operations.strangers import was_taken
from edgeface.recognition.clustering import SAME_FAR, group, unknown
from edgeface.web.context import PageContext, form
from edgeface.web.language import _, current, plural, said
from edgeface.web.settings import configure
from edgeface.wire.commands import DismissRequest, IntroduceRequest
from edgeface.wire.doubt import words
from edgeface.wire.rules import IgnoreRequest

MAX_PICTURES = 6
MAX_EVENTS = 500
"""Events that are sorted by stranger at once, which takes a time that grows with the third power of their number."""
PAGE = 40
WHERE = ("older", "before")
"""Where a page begins: at events before ``older``, and strangers who were last seen before ``before``; both are event ids."""


@dataclass(frozen=True, slots=True)
class Strangers:
    """A page of strangers, each with their events and those of them with a picture, and where the next page begins.

    ``faceless`` says whether others are left out, as their faces were not kept.
    """

    shown: list[tuple[list[KeptEvent], list[KeptEvent]]]
    following: dict[str, str]
    faceless: bool


def read_strangers(context: PageContext, gallery: Gallery, where: Mapping[str, str]) -> Strangers:
    """Read who was not recognized in the last ``web.keep_hours``, the latest first."""
    older, before = (where.get(name, "") for name in WHERE)
    pictured = gallery.events.pictured()
    kept, since = gallery.events.all(), time.time() - 3600 * context.config.web.keep_hours
    faceless = any(event.wall >= since and event.of_stranger and was_taken(event) for event in kept)
    waiting = unknown(kept, since)
    waiting = [event for event in waiting if not older or event.event_id < older]
    sorted_now = waiting[-MAX_EVENTS:]
    grouped = group(sorted_now, context.daemon.card.threshold(SAME_FAR))
    rest = [events for events in grouped if not before or events[-1].event_id < before]
    shown = [(events, [event for event in events if event.event_id in pictured][-MAX_PICTURES:]) for events in rest[:PAGE]]
    following: dict[str, str] = {}
    if len(rest) > PAGE:
        following = {"older": older, "before": rest[PAGE - 1][-1].event_id}
    elif len(waiting) > MAX_EVENTS:
        following = {"older": sorted_now[0].event_id, "before": ""}
    return Strangers(shown, following, faceless)


async def strangers(context: PageContext, request: Request) -> Response:
    where = {name: request.query_params.get(name, "") for name in WHERE}
    if not (context.config.web.unknown and context.config.events.keep_strangers):
        return context.render(request, "unknown.html", strangers=[], people=[], where=where, following={})
    page, known = await context.with_gallery(lambda gallery: (read_strangers(context, gallery, where), gallery.people()))
    names, latest = {person.id: person.name for person in known}, (events[-1] for events, _pictured in page.shown)
    reasons = {event.event_id: words(event.doubt, names, current()) if event.doubt else None for event in latest}
    values = {"strangers": page.shown, "following": page.following, "where": where, "faceless": page.faceless}
    return context.render(request, "unknown.html", **values, people=known, reasons=reasons)


async def keep(context: PageContext, request: Request) -> Response:
    """Have strangers kept and shown from now on."""
    wanted: dict[str, str | None] = {"events.keep_strangers": "true", "web.unknown": "true"}
    if (await form(request)).get("pictures") == "yes":
        wanted["web.pictures"] = "true"
    try:
        await configure(context, wanted)
    except EdgefaceError as error:
        return context.redirect("/unknown", _("Not switched on: {reason}.", reason=said(error)), good=False)
    return context.redirect("/unknown", _("The faces of visitors who are not recognized are kept from now on."))


async def name(context: PageContext, request: Request) -> Response:
    fields = await form(request)
    wanted = IntroduceRequest(event_ids=_chosen(fields), name=fields.get("name", ""))
    try:
        person = await context.perform(INTRODUCE, wanted)
    except EdgefaceError as error:
        return context.redirect("/unknown", _("Not named: {reason}.", reason=said(error)), _where(fields), good=False)
    text = _("That was {name}, who will be recognized from now on.", name=person.name)
    return context.redirect("/unknown", text, _where(fields))


async def ignore(context: PageContext, request: Request) -> Response:
    fields = await form(request)
    try:
        person = await context.perform(IGNORE, IgnoreRequest(event_ids=_chosen(fields), name=fields.get("name", "")))
    except EdgefaceError as error:
        return context.redirect("/unknown", _("Not ignored: {reason}.", reason=said(error)), _where(fields), good=False)
    text = _("They are ignored from now on, as {name}.", name=person.name)
    return context.redirect("/unknown", text, _where(fields), undo={"ignored": person.id})


async def dismiss(context: PageContext, request: Request) -> Response:
    fields = await form(request)
    try:
        count = (await context.perform(DISMISS, DismissRequest(event_ids=_chosen(fields)))).events
    except EdgefaceError as error:
        outcome = _("Dismissed") if isinstance(error, TraceError) else _("Not dismissed")
        return context.redirect("/unknown", f"{outcome}: {said(error)}.", _where(fields), good=False)
    text = plural("Dismissed: {count} visit erased.", "Dismissed: {count} visits erased.", count)
    return context.redirect("/unknown", text, _where(fields))


def _where(fields: Mapping[str, str]) -> dict[str, str]:
    """Return where the page begins that a form stands on."""
    return {name: fields[name] for name in WHERE if fields.get(name)}


def _chosen(fields: dict[str, str]) -> list[str]:
    """Return the ids of the events that a form sends."""
    return fields.get("events", "").split()[:MAX_EVENTS]
