"""Lists kept events, and takes verdicts on them."""

from edgeface.gallery.event_store import KeptEvent
from edgeface.operations import verdicts
from edgeface.operations.context import OperationContext
from edgeface.wire import commands as wire
from edgeface.wire.events import DIGITS
from edgeface.wire.fields import NamedPerson, timestamp


def list_events(context: OperationContext, request: wire.EventsRequest) -> wire.Events:
    gallery = context.gallery
    wanted = gallery.find(request.person).id if request.person else None
    names = {known.id: known.name for known in gallery.people()}
    return wire.Events([_listed(event, names) for event in gallery.events.all() if wanted in (None, event.person_id)])


def _listed(event: KeptEvent, names: dict[str, str]) -> wire.ListedEvent:
    return wire.ListedEvent(
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


def reject(context: OperationContext, request: wire.RejectRequest) -> wire.Verdict:
    return _noted(context, verdicts.reject(context.gallery, context.config.matching, request.event_id, force=request.force))


def confirm(context: OperationContext, request: wire.ConfirmRequest) -> wire.Verdict:
    settings = context.config.matching
    return _noted(context, verdicts.confirm(context.gallery, context.card, settings, request.event_id, request.person))


def _noted(context: OperationContext, verdict: wire.Verdict) -> wire.Verdict:
    context.note(verdict.verdict, event=verdict.event_id, person=verdict.person_id, added=verdict.added)
    return verdict


def introduce(context: OperationContext, request: wire.IntroduceRequest) -> NamedPerson:
    person = verdicts.introduce(context.gallery, context.card, context.config.matching, request.event_ids, request.name)
    context.note("introduced", person=person.id, events=len(request.event_ids))
    return NamedPerson(person.id, person.name)


def dismiss(context: OperationContext, request: wire.DismissRequest) -> wire.Dismissed:
    return wire.Dismissed(context.gallery.events.dismiss(request.event_ids))
