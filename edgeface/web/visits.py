"""Shows who was there and when, to confirm or reject."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgeface.errors import EdgefaceError
from edgeface.gallery.event_store import KeptEvent
from edgeface.gallery.store import Gallery
from edgeface.operations.registry import CONFIRM, FIND, REJECT
from edgeface.types import EventType, Person
from edgeface.web.context import PageContext, form
from edgeface.web.filters import capitalize_first, day
from edgeface.web.language import _, current, said
from edgeface.wire.commands import ConfirmRequest, FindRequest, RejectRequest
from edgeface.wire.doubt import Words, words

PAGE = 60


@dataclass(frozen=True, slots=True)
class Visit:
    """An event on the page: ``name`` is the person whom it named or was confirmed as, ``sure`` the probability.

    ``why`` says why it names nobody.
    """

    event: KeptEvent
    name: str | None
    sure: float | None
    pictured: bool
    why: Words | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which visits are shown.

    They are those of one ``person``, or of nobody known (``"?"``), of one ``day``, earlier than the event ``before``, and
    ``among`` some events.
    """

    person: str = ""
    day: date | None = None
    before: str = ""
    among: Collection[str] | None = None

    def __contains__(self, event: KeptEvent) -> bool:
        return (
            (not self.person or (event.person_id or "?") == self.person)
            and (self.day is None or datetime.fromtimestamp(event.wall).date() == self.day)
            and (not self.before or event.event_id < self.before)
            and (self.among is None or event.event_id in self.among)
        )


def read_visits(context: PageContext, gallery: Gallery, wanted: Wanted, *, limit: int = PAGE) -> tuple[list[Visit], bool]:
    """Read visits, the newest first, and whether there are more than ``limit``."""
    names = {known.id: known.name for known in gallery.people()}
    pictured = gallery.events.pictured()
    events = [event for event in reversed(gallery.events.all()) if event in wanted]
    visits = [
        Visit(
            event,
            names.get(event.person_id or ""),
            context.daemon.card.probability(event.score) if event.event_type == EventType.RECOGNIZED else None,
            event.event_id in pictured,
            _why(event, names),
        )
        for event in events[:limit]
    ]
    return visits, len(events) > limit


def _why(event: KeptEvent, names: Mapping[str, str]) -> Words | None:
    if event.doubt is None or event.person_id is not None:
        return None
    return words(event.doubt, names, current(), shows_face=event.shows_face)


async def visits(context: PageContext, request: Request) -> Response:
    query = request.query_params
    person, like, chosen = query.get("person", "").strip(), query.get("like", ""), _day(query.get("day", ""))
    among = None
    if like:
        try:
            found = await context.perform(FIND, msgspec.convert({"event_id": like}, FindRequest))
        except (EdgefaceError, msgspec.ValidationError) as error:
            return context.redirect("/visits", _plain(str(error)), good=False)
        among = {like, *(event.event_id for event in found.events)}

    def read(gallery: Gallery) -> dict[str, object]:
        people = gallery.people()
        wanted, name = _chosen(person, people)
        rows, more = read_visits(context, gallery, Wanted(wanted, chosen, query.get("before", ""), among))
        days = [(name, list(same)) for name, same in groupby(rows, lambda visit: day(visit.event.wall))]
        return {
            "days": days,
            "more": more,
            "before": rows[-1].event.event_id if rows else "",
            "people": people,
            "person": wanted,
            "chosen": name,
        }

    shown = await context.with_gallery(read)
    today = datetime.now().date()
    return context.render(
        request,
        "visits.html",
        **shown,
        like=like,
        day=chosen and chosen.isoformat(),
        doubted=query.get("doubted", ""),
        first=(today - timedelta(days=context.config.events.keep_days)).isoformat(),
        last=today.isoformat(),
    )


def _chosen(text: str, people: Sequence[Person]) -> tuple[str, str]:
    """Return the id and the name of the person whom a filter names by either; ``"?"`` is nobody known."""
    for person in people:
        if text in (person.id, person.name):
            return person.id, person.name
    unknown = _("Unknown")
    return ("?", unknown) if text.casefold() in ("?", "unknown", unknown.casefold()) else (text, text)


async def confirm(context: PageContext, request: Request) -> Response:
    fields, event_id = await form(request), request.path_params["event"]
    try:
        done = await context.perform(CONFIRM, ConfirmRequest(event_id=event_id, person=fields.get("who") or None))
    except EdgefaceError as error:
        return context.redirect("/visits", _plain(str(error)), _filter(fields), good=False)
    text = _("Noted: that was {name}.", name=done.name)
    if done.added:
        text = f"{text} {_('One more view of them is known now.')}"
    return context.redirect("/visits", text, _filter(fields))


async def reject(context: PageContext, request: Request) -> Response:
    fields, event_id = await form(request), request.path_params["event"]
    try:
        done = await context.perform(REJECT, RejectRequest(event_id=event_id, force=fields.get("force") == "yes"))
    except EdgefaceError as error:
        return context.redirect("/visits", _plain(str(error)), _filter(fields) | {"doubted": event_id}, good=False)
    text = _("Noted: that was not {name}. This face will not be recognized as {name} again.", name=done.name)
    where = {"live": "/", "person": f"/people/{done.person_id}"}.get(fields.get("from", ""), "/visits")
    return context.redirect(where, text, _filter(fields))


def _filter(fields: dict[str, str]) -> dict[str, str]:
    return {name: fields[name] for name in ("person", "day") if fields.get(name)}


async def picture(context: PageContext, request: Request) -> Response:
    event_id = request.path_params["event"]
    jpeg = await context.with_gallery(lambda gallery: gallery.events.picture(event_id))
    if "small" in request.query_params:
        return await context.small_picture(jpeg)
    if jpeg is None:
        return Response(status_code=404)
    return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _plain(text: str) -> str:
    """Return a message without its advice for the command line."""
    text = text.partition("; --")[0].partition(": edgeface ")[0].partition("; see edgeface ")[0]
    text = capitalize_first(said(text))
    return text + ("" if text.endswith(".") else ".")
