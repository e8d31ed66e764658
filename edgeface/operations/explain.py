"""Explains why a visit has no name, and what helps."""

from edgeface.errors import GalleryError
from edgeface.gallery.event_store import KeptEvent
from edgeface.operations.context import OperationContext
from edgeface.operations.strangers import why_not_kept
from edgeface.types import EventType
from edgeface.wire import commands as wire
from edgeface.wire.doubt import words
from edgeface.wire.events import DIGITS
from edgeface.wire.fields import timestamp


def explain(context: OperationContext, request: wire.ExplainRequest) -> wire.Explained:
    """Explain an event, or the latest visit without a name.

    Raises:
        GalleryError: there is no such event, or no visit without a name is kept.
    """
    gallery = context.gallery
    event = gallery.events.find(request.event_id) if request.event_id else _latest(gallery.events.all())
    names = {person.id: person.name for person in gallery.people()}
    doubt, name = event.doubt, names.get(event.person_id or "")
    said = words(doubt, names, shows_face=event.shows_face) if doubt else None
    if event.person_id:
        told, cure = f"{name or 'somebody'}, with a score of {event.score:.2f}", ""
        if event.verdict:
            told = f"{'' if event.verdict == 'confirmed' else 'not '}{name or 'somebody'}, as you said"
    elif said:
        told, cure = said.told, said.cure
    else:
        told, cure = "kept before reasons were", ""
    return wire.Explained(
        event_id=event.event_id,
        event_type=event.event_type,
        ts=timestamp(event.wall),
        camera=event.camera,
        name=name,
        reason=doubt.reason if doubt else None,
        told=told,
        cure=cure,
        nearest=names.get(doubt.person_id or "") if doubt else None,
        second=names.get(doubt.other_id or "") if doubt else None,
        score=round(event.score, DIGITS["score"]),
        threshold=doubt.threshold if doubt else None,
        good_views=doubt.good if doubt else None,
        views=doubt.seen if doubt else None,
        usable=event.shows_face,
        switched_off=why_not_kept(event, context.config),
    )


def _latest(events: list[KeptEvent]) -> KeptEvent:
    nameless = [event for event in events if event.event_type != EventType.RECOGNIZED and event.person_id is None]
    if not nameless:
        raise GalleryError("no visit without a name is kept")
    return nameless[-1]
