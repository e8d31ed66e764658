"""Shows people who were not recognized, a card for each, to name, ignore or dismiss."""

import time

from starlette.requests import Request
from starlette.responses import Response

from edgeface.errors import EdgefaceError, TraceError
from edgeface.gallery.event_store import KeptEvent
from edgeface.gallery.store import Gallery
from edgeface.operations.registry import DISMISS, IGNORE, INTRODUCE
from edgeface.recognition.clustering import SAME_FAR, group, unknown
from edgeface.web.context import PageContext, form
from edgeface.web.language import _, current, plural, said
from edgeface.wire.commands import DismissRequest, IntroduceRequest
from edgeface.wire.doubt import words
from edgeface.wire.rules import IgnoreRequest

MAX_PICTURES = 6
MAX_EVENTS = 500


def read_strangers(context: PageContext, gallery: Gallery) -> list[tuple[list[KeptEvent], list[KeptEvent]]]:
    """Read who was not recognized in the last ``web.keep_hours``, the latest first: the events, and those with a picture."""
    pictured = gallery.events.pictured()
    waiting = unknown(gallery.events.all(), time.time() - 3600 * context.config.web.keep_hours)[-MAX_EVENTS:]
    return [
        (events, [event for event in events if event.event_id in pictured][-MAX_PICTURES:])
        for events in group(waiting, context.daemon.card.threshold(SAME_FAR))
    ]


async def strangers(context: PageContext, request: Request) -> Response:
    if not context.config.web.unknown:
        return context.render(request, "unknown.html", strangers=[], people=[])
    rows, known = await context.with_gallery(lambda gallery: (read_strangers(context, gallery), gallery.people()))
    names, latest = {person.id: person.name for person in known}, (events[-1] for events, _ in rows)
    reasons = {event.event_id: words(event.doubt, names, current()) if event.doubt else None for event in latest}
    return context.render(request, "unknown.html", strangers=rows, people=known, reasons=reasons)


async def name(context: PageContext, request: Request) -> Response:
    fields = await form(request)
    wanted = IntroduceRequest(event_ids=_chosen(fields), name=fields.get("name", ""))
    try:
        person = await context.perform(INTRODUCE, wanted)
    except EdgefaceError as error:
        return context.redirect("/unknown", _("Not named: {reason}.", reason=said(error)), good=False)
    return context.redirect("/unknown", _("That was {name}, who will be recognized from now on.", name=person.name))


async def ignore(context: PageContext, request: Request) -> Response:
    fields = await form(request)
    try:
        person = await context.perform(IGNORE, IgnoreRequest(event_ids=_chosen(fields), name=fields.get("name", "")))
    except EdgefaceError as error:
        return context.redirect("/unknown", _("Not ignored: {reason}.", reason=said(error)), good=False)
    return context.redirect("/unknown", _("{name} is ignored from now on.", name=person.name))


async def dismiss(context: PageContext, request: Request) -> Response:
    events = _chosen(await form(request))
    try:
        count = (await context.perform(DISMISS, DismissRequest(event_ids=events))).events
    except EdgefaceError as error:
        outcome = _("Dismissed") if isinstance(error, TraceError) else _("Not dismissed")
        return context.redirect("/unknown", f"{outcome}: {said(error)}.", good=False)
    text = plural("Dismissed: {count} visit erased.", "Dismissed: {count} visits erased.", count)
    return context.redirect("/unknown", text)


def _chosen(fields: dict[str, str]) -> list[str]:
    """Return the ids of the events that a form sends."""
    return fields.get("events", "").split()[:MAX_EVENTS]
