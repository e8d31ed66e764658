"""Tells everything that is kept of the face of a photo, and erases it."""

from collections.abc import Iterable
from operator import attrgetter

from msgspec import UNSET

from edgeface.gallery.backup import Backups
from edgeface.gallery.event_store import NAMELESS, KeptEvent
from edgeface.gallery.rules import NONE
from edgeface.gallery.store import template_id
from edgeface.operations.backups import in_thread
from edgeface.operations.context import OperationContext, Steps
from edgeface.operations.find import mean_face, thresholds, told
from edgeface.operations.people import left_in_backups
from edgeface.operations.rules import told as rules_told
from edgeface.operations.strangers import switched_off
from edgeface.recognition.matching import Matcher
from edgeface.types import Decision, Vector
from edgeface.wire import about as wire
from edgeface.wire.events import DIGITS
from edgeface.wire.fields import NamedPerson, timestamp


def about(context: OperationContext, _request: wire.AboutRequest) -> Steps[wire.About]:
    """Judge one photo a round and yield the verdict; then tell who, what events and what rejected faces show the face.

    Each comparison gets its share of the wanted false-positive rate, as in a search of the gallery.

    Raises:
        ConfigError: there is no photo.
        ImageError: no photo shows one face alone.
    """
    probe, refused = yield from mean_face(context)
    people, rejected = _people(context, probe), _rejected(context, probe)
    sure = {person.id for person in people if person.sure}
    events = _events(context, probe, sure)
    changes = _changes(context, probe)
    of_others = {face.person_id for face in rejected}
    backups = yield from in_thread(lambda: Backups(context.config).holding(sure | of_others))
    return wire.About(
        people=people,
        rejected=rejected,
        events=events,
        strangers=_strangers(events),
        changes=changes,
        backups=backups,
        erase=wire.EraseRequest(
            people=sorted(sure),
            event_ids=[one.event_id for one in events if one.sure or one.person_id in sure or one.person_id is None],
            rejected=[face.id for face in rejected],
            changes=changes,
        ),
        refused=refused,
        switched_off=switched_off(context.config),
    )


def erase(context: OperationContext, request: wire.EraseRequest) -> Steps[wire.Erased]:
    """Erase people, events and rejected faces; note how many in the audit log, even if a trace could not be wiped.

    Forgotten people are erased from the backups, too, by the daemon a moment later. Rejected faces stay in older ones, which
    are told.
    """
    gallery, wanted = context.gallery, frozenset(request.rejected)
    templates = gallery.templates()
    of_others = {
        templates.people[owner].id
        for owner, vector in zip(templates.not_owners.tolist(), templates.negatives, strict=True)
        if template_id(templates.people[owner].id, vector) in wanted
    }
    with context.noted("erase", people=len(request.people), events=len(request.event_ids), rejected=len(wanted)):
        people, events, rejected = gallery.erase(request.people, request.event_ids, wanted, request.changes)
    left = [] if context.serving else left_in_backups(context)
    left += yield from in_thread(lambda: Backups(context.config).holding(of_others - set(request.people)))
    return wire.Erased(
        people=[NamedPerson(person.id, person.name) for person in people],
        events=events,
        rejected=rejected,
        left_in=sorted(set(left)) or UNSET,
    )


def _people(context: OperationContext, probe: Vector) -> list[wire.KnownPerson]:
    gallery = context.gallery
    templates = gallery.templates()
    matcher = Matcher(templates, context.card, context.config.matching)
    match, rules = matcher.match(probe), gallery.rules()
    scores = matcher.scores(probe).tolist() if templates.people else []
    known = [
        wire.KnownPerson(
            person.id,
            person.name,
            score=round(score, DIGITS["score"]),
            sure=match.decision is Decision.ACCEPT and match.person_id == person.id,
            templates=person.templates,
            faces=sum(view.face for view in gallery.views(person.id)),
            enrolled=timestamp(person.enrolled),
            rules=rules_told(rules[person.id]) if rules.get(person.id, NONE) != NONE else UNSET,
        )
        for person, score in zip(templates.people, scores, strict=True)
        if score >= matcher.unsure
    ]
    return sorted(known, key=attrgetter("score"), reverse=True)


def _rejected(context: OperationContext, probe: Vector) -> list[wire.RejectedFace]:
    templates = context.gallery.templates()
    sure, least = thresholds(context, len(templates.negatives))
    faces = [
        wire.RejectedFace(
            id=template_id(person.id, vector),
            person_id=person.id,
            name=person.name,
            score=round(score, DIGITS["score"]),
            sure=score >= sure,
        )
        for owner, vector in zip(templates.not_owners.tolist(), templates.negatives, strict=True)
        if (score := float(vector @ probe)) >= least and (person := templates.people[owner])
    ]
    return sorted(faces, key=attrgetter("score"), reverse=True)


def _changes(context: OperationContext, probe: Vector) -> list[str]:
    """Return the changes that can be undone and hold a view that may show the face."""
    kept = list(context.gallery.bin.vectors())
    _, least = thresholds(context, len(kept))
    return sorted({change for change, vector in kept if float(vector @ probe) >= least})


def _events(context: OperationContext, probe: Vector, people: set[str]) -> list[wire.KnownEvent]:
    """Return the events that show the face, those that name one of these people, and those of the same strangers."""
    gallery = context.gallery
    names, pictured = {person.id: person.name for person in gallery.people()}, gallery.events.pictured()
    kept = [event for event in gallery.events.all() if event.shows_face or event.person_id in people]
    sure, least = thresholds(context, len(kept))
    score = {event.event_id: float(event.embedding @ probe) for event in kept}
    strangers = {event.stranger_id for event in kept if _nameless(event) and score[event.event_id] >= sure} - {None}

    def wanted(event: KeptEvent) -> bool:
        same = _nameless(event) and event.stranger_id in strangers
        return same or event.person_id in people or score[event.event_id] >= least

    return [
        wire.KnownEvent(
            **told(event, score[event.event_id], names),
            sure=score[event.event_id] >= sure,
            picture=event.event_id in pictured,
        )
        for event in reversed(kept)
        if wanted(event)
    ]


def _nameless(event: KeptEvent) -> bool:
    return event.event_type in NAMELESS and event.person_id is None


def _strangers(events: Iterable[wire.KnownEvent]) -> list[wire.KnownStranger]:
    visits: dict[str, list[str]] = {}
    for event in events:
        if event.stranger_id:
            visits.setdefault(event.stranger_id, []).append(event.ts)
    return [
        wire.KnownStranger(stranger_id=stranger, visits=len(times), first=min(times), last=max(times))
        for stranger, times in visits.items()
    ]
