"""Unknown: who was not recognised, one row a stranger, to be named or dismissed."""

import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgeface.errors import EdgefaceError, TraceError
from edgeface.gallery.store import Gallery
from edgeface.operations.registry import DISMISS, INTRODUCE
from edgeface.recognition.clustering import SAME_FAR, group, unknown
from edgeface.web.context import Site, form
from edgeface.wire.commands import DismissRequest, IntroduceRequest

MAX_PICTURES = 6
MAX_EVENTS = 500


@dataclass(frozen=True, slots=True)
class Stranger:
    """A stranger for the page: the events, the oldest first, and those of them with a picture."""

    events: list[str]
    first: float
    last: float
    camera: str
    pictured: list[str]


def read_strangers(site: Site, gallery: Gallery) -> list[Stranger]:
    """Who was not recognised in the hours that the settings say; who came last first."""
    pictured = gallery.events.pictured()
    waiting = unknown(gallery.events.all(), time.time() - 3600 * site.config.web.keep_hours)[-MAX_EVENTS:]
    return [
        Stranger(
            [event.event_id for event in events],
            events[0].wall,
            events[-1].wall,
            events[-1].camera,
            [event.event_id for event in events if event.event_id in pictured][-MAX_PICTURES:],
        )
        for events in group(waiting, site.daemon.card.threshold(SAME_FAR))
    ]


async def strangers(request: Request) -> Response:
    """The view."""
    site: Site = request.app.state.site
    if not site.config.web.unknown:
        return site.page(request, "unknown.html", strangers=[], people=[])
    rows, known = await site.with_gallery(lambda gallery: (read_strangers(site, gallery), gallery.people()))
    return site.page(request, "unknown.html", strangers=rows, people=known)


async def name(request: Request) -> Response:
    """Say who a stranger is."""
    site: Site = request.app.state.site
    fields = await form(request)
    wanted = IntroduceRequest(event_ids=fields.get("events", "").split()[:MAX_EVENTS], name=fields.get("name", ""))
    try:
        person = await site.perform(INTRODUCE, wanted)
    except EdgefaceError as error:
        return site.back("/unknown", f"Not named: {error}.", good=False)
    return site.back("/unknown", f"That was {person.name}, who will be recognised from now on.")


async def dismiss(request: Request) -> Response:
    """Erase what is kept of a stranger."""
    site: Site = request.app.state.site
    events = (await form(request)).get("events", "").split()[:MAX_EVENTS]
    try:
        count = (await site.perform(DISMISS, DismissRequest(event_ids=events))).events
    except TraceError as error:
        return site.back("/unknown", f"Dismissed: {error}.", good=False)
    except EdgefaceError as error:
        return site.back("/unknown", f"Not dismissed: {error}.", good=False)
    return site.back("/unknown", f"Dismissed: {count} visit{'' if count == 1 else 's'} erased.")


ROUTES = [
    Route("/unknown", strangers),
    Route("/unknown/name", name, methods=["POST"]),
    Route("/unknown/dismiss", dismiss, methods=["POST"]),
]
