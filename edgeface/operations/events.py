"""Lists kept events, and takes verdicts on them."""

from edgeface.gallery.event_store import KeptEvent
from edgeface.operations import verdicts
from edgeface.operations.context import OperationContext
from edgeface.operations.verdicts import Outcome
from edgeface.wire.commands import (
    ConfirmRequest,
    Dismissed,
    DismissRequest,
    Events,
    EventsRequest,
    IntroduceRequest,
    ListedEvent,
    RejectRequest,
    Verdict,
)
from edgeface.wire.events import DIGITS
from edgeface.wire.fields import NamedPerson, timestamp


def list_events(context: OperationContext, request: EventsRequest) -> Events:
    """List the kept events, the newest last."""
    gallery = context.gallery
    wanted = gallery.find(request.person).id if request.person else None
    names = {known.id: known.name for known in gallery.people()}
    return Events([_listed(event, names) for event in gallery.events.all() if wanted in (None, event.person_id)])


def _listed(event: KeptEvent, names: dict[str, str]) -> ListedEvent:
    return ListedEvent(
        event_id=event.event_id,
        event_type=event.event_type,
        ts=timestamp(event.wall),
        camera=event.camera,
        person_id=event.person_id,
        name=names.get(event.person_id or ""),
        score=round(event.score, DIGITS["score"]),
        quality=round(event.quality, DIGITS["quality"]),
        verdict=event.verdict,
    )


def reject(context: OperationContext, request: RejectRequest) -> Verdict:
    """Take the face of an event from the person that the event names."""
    outcome = verdicts.reject(context.gallery, context.config.matching, request.event_id, force=request.force)
    return _judged(context, "rejected", outcome)


def confirm(context: OperationContext, request: ConfirmRequest) -> Verdict:
    """Give the face of an event to a person."""
    settings = context.config.matching
    outcome = verdicts.confirm(context.gallery, context.card, settings, request.event_id, request.person)
    return _judged(context, "confirmed", outcome)


def _judged(context: OperationContext, verdict: str, outcome: Outcome) -> Verdict:
    person = outcome.person
    context.note(verdict, event=outcome.event_id, person=person.id, added=outcome.added)
    return Verdict(
        event_id=outcome.event_id,
        verdict=verdict,
        person_id=person.id,
        name=person.name,
        added=outcome.added,
        told=outcome.told,
    )


def introduce(context: OperationContext, request: IntroduceRequest) -> NamedPerson:
    """Enroll the person whom events without a name show."""
    person = verdicts.introduce(context.gallery, context.card, context.config.matching, request.event_ids, request.name)
    context.note("introduced", person=person.id, events=len(request.event_ids))
    return NamedPerson(person.id, person.name)


def dismiss(context: OperationContext, request: DismissRequest) -> Dismissed:
    """Erase kept events."""
    return Dismissed(context.gallery.events.dismiss(request.event_ids))
