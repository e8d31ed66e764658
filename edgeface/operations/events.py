"""Lists kept events, and takes verdicts on their faces, each of which changes a person's templates."""

from collections.abc import Sequence

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery.contents import Templates
from edgeface.gallery.event_store import KeptEvent
from edgeface.gallery.names import clean_name
from edgeface.gallery.rules import Rules
from edgeface.operations.context import OperationContext
from edgeface.operations.strangers import switched_off, with_face
from edgeface.recognition.matching import SAME_VIEW, Matcher, similarity
from edgeface.types import Match, Person, Vector
from edgeface.wire import commands as wire
from edgeface.wire.doubt import words
from edgeface.wire.events import DIGITS
from edgeface.wire.fields import NamedPerson, timestamp


def list_events(context: OperationContext, request: wire.EventsRequest) -> wire.Events:
    gallery = context.gallery
    wanted = gallery.find(request.person).id if request.person else None
    names = {known.id: known.name for known in gallery.people()}
    listed = [event for event in gallery.events.all() if wanted in (None, event.person_id)]
    off = switched_off(context.config) if any(event.of_stranger for event in listed) else UNSET
    return wire.Events([_listed(event, names) for event in listed], off)


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
        reason=event.doubt.reason if event.doubt else None,
        why=words(event.doubt, names).short if event.doubt and event.person_id is None else None,
    )


def reject(context: OperationContext, request: wire.RejectRequest) -> wire.Verdict:
    """Make the face of an event a negative template of the person whom the event names wrongly.

    Raises:
        GalleryError: there is no such event, it names nobody, or (not with ``force``) the person would hardly be recognized
            any more: most of their own templates are nearer to this face than to each other.
    """
    gallery = context.gallery
    event = with_face(gallery.events.find(request.event_id), context.config)
    if event.person_id is None:
        raise GalleryError(
            f"{event.event_id} names nobody; to say who it was: edgeface people confirm {event.event_id} --as NAME"
        )
    person = gallery.find(event.person_id)
    if event.verdict == "rejected":
        return _verdict(context, "rejected", event, person, False, f"{event.event_id} was rejected already")
    own, not_own = of_person(person, gallery.templates_before(event.event_id, person.id))
    if not request.force and locks_out(own, event.embedding, context.config.matching.margin):
        raise GalleryError(
            f"{person.name}'s own templates are nearer to this face than to each other: it seems to be {person.name}; "
            "force rejects it anyway"
        )
    new = not _near(not_own, event.embedding)
    gallery.learn(event, person.id, "rejected", keep=new)
    if not len(own):
        gone = f"not {person.name}, who is enrolled no more: there was no other face"
        return _verdict(context, "rejected", event, person, False, gone)
    before = "" if new else "; such a face had been rejected before"
    return _verdict(context, "rejected", event, person, new, f"not {person.name}{before}")


def confirm(context: OperationContext, request: wire.ConfirmRequest) -> wire.Verdict:
    """Make the face of an event a template, if it shows a new side, of the person whom the event or the request names.

    Raises:
        GalleryError: there is no such event or person, or the face is nearer to another person or to a rejected face.
        ConfigError: neither the event nor the request names anybody.
    """
    gallery = context.gallery
    event = with_face(gallery.events.find(request.event_id), context.config)
    who = request.person or event.person_id
    if who is None:
        raise ConfigError(f"{event.event_id} names nobody; say who it was with --as NAME, or introduce it")
    person = gallery.find(who)
    if event.verdict == "confirmed" and event.person_id == person.id:
        return _verdict(context, "confirmed", event, person, False, f"{event.event_id} was confirmed already")
    templates = gallery.templates_before(event.event_id, person.id)
    _check_nearest(Matcher(templates, context.card, context.config.matching).match(event.embedding), person)
    new = not _near(of_person(person, templates)[0], event.embedding)
    gallery.learn(event, person.id, "confirmed", keep=new)
    gained = "a new template" if new else "known from this side already"
    return _verdict(context, "confirmed", event, person, new, f"{person.name}, {gained}")


def introduce(context: OperationContext, request: wire.IntroduceRequest) -> NamedPerson:
    """Enroll a person with the faces of events that named nobody, or give them to the person who has this name.

    Raises:
        GalleryError: there is no such event, the name is not usable, a face matches another person, or the name is somebody's
            to whom a face is not the nearest.
        ConfigError: there is no event.
    """
    if not request.event_ids:
        raise ConfigError("there is no face to name")
    person = introduced(context, request.event_ids, clean_name(request.name))
    context.note("introduced", person=person.id, events=len(request.event_ids))
    return NamedPerson(person.id, person.name)


def introduced(context: OperationContext, event_ids: Sequence[str], name: str, rules: Rules | None = None) -> Person:
    """Do as ``introduce``; with ``rules``, the person has these from then on."""
    gallery = context.gallery
    events = [with_face(gallery.events.find(event_id), context.config) for event_id in event_ids]
    templates = gallery.templates()
    matcher = Matcher(templates, context.card, context.config.matching)
    known = next((person for person in gallery.people() if person.name == name), None)
    kept = list(of_person(known, templates)[0]) if known else []
    chosen = []
    for event in events:
        again = known is not None and (event.verdict, event.person_id) == ("confirmed", known.id)  # a message may come twice
        if event.verdict and not again:  # which is taken back
            before = gallery.templates_before(event.event_id, known.id if known else "")
            match = Matcher(before, context.card, context.config.matching).match(event.embedding)
        else:
            match = matcher.match(event.embedding)
        if match.score >= match.threshold and match.name != name and match.margin >= 0:
            raise GalleryError(f"this face passes for {match.name}, who is enrolled; if it is them, name it so")
        if known:
            _check_nearest(match, known)
        new = not again and (not kept or not _near(np.stack(kept), event.embedding))
        kept += [event.embedding] if new else []
        chosen.append((event, new))
    return gallery.introduce(name, chosen, rules)


def introduced_in_words(person: NamedPerson) -> str:
    return f"that was {person.name}, who will be recognized from now on"


def dismiss(context: OperationContext, request: wire.DismissRequest) -> wire.Dismissed:
    with context.noted("dismissed") as fields:
        fields["events"] = erased = context.gallery.events.dismiss(request.event_ids)
    return wire.Dismissed(erased)


def dismissed_in_words(dismissed: wire.Dismissed) -> str:
    return "1 event is erased" if dismissed.events == 1 else f"{dismissed.events} events are erased"


def _verdict(context: OperationContext, verdict: str, event: KeptEvent, person: Person, added: bool, told: str) -> wire.Verdict:
    context.note(verdict, event=event.event_id, person=person.id, added=added)
    return wire.Verdict(event_id=event.event_id, verdict=verdict, person_id=person.id, name=person.name, added=added, told=told)


def _check_nearest(match: Match, person: Person) -> None:
    """Raise ``GalleryError`` if a face is nearer to another person, or to a rejected face, than to this person."""
    if match.person_id not in (person.id, None):
        raise GalleryError(
            f"this face is nearer to {match.name} than to {person.name}; if it named the wrong one, reject it first"
        )
    if match.margin < 0:
        raise GalleryError(f"this face is nearer to one that was rejected as {person.name} than to {person.name}")


def of_person(person: Person, templates: Templates) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a person's templates and negative templates, each of shape (n, dimensions)."""
    index = templates.people.index(person)
    return templates.vectors[templates.owners == index], templates.negatives[templates.not_owners == index]


def _near(vectors: NDArray[np.float32], probe: Vector) -> bool:
    return bool((vectors @ probe).max(initial=-1.0) > SAME_VIEW)


def locks_out(own: NDArray[np.float32], negative: Vector, margin: float) -> bool:
    """Return whether a negative template would have most of a person's templates, each matched to the others, refused."""
    if len(own) < 2:
        return False
    refused = 0
    for number, template in enumerate(own):
        score = similarity(np.delete(own, number, axis=0), template)
        refused += score - float(negative @ template) < margin
    return refused > len(own) / 2
