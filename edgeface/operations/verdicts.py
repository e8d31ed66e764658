"""Confirms, rejects and introduces the faces of events; each verdict changes a person's templates."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeface.config import schema
from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery.contents import Templates
from edgeface.gallery.event_store import KeptEvent
from edgeface.gallery.names import clean_name
from edgeface.gallery.store import Gallery
from edgeface.recognition.matching import SAME_VIEW, Matcher, similarity
from edgeface.types import Person, Vector
from edgeface.vision.model_card import ModelCard
from edgeface.wire.commands import Verdict


def reject(gallery: Gallery, settings: schema.MatchingSettings, event_id: str, *, force: bool = False) -> Verdict:
    """Make the face of an event a negative template of the person whom the event names wrongly.

    Raises:
        GalleryError: there is no such event, it names nobody, or (not with ``force``) the person would hardly be recognised
            any more: most of their own templates are nearer to this face than to each other.
    """
    event = gallery.events.find(event_id)
    if event.person_id is None:
        raise GalleryError(
            f"{event.event_id} names nobody; to say who it was: edgeface people confirm {event.event_id} --as NAME"
        )
    person = gallery.find(event.person_id)
    if event.verdict == "rejected":
        return _verdict("rejected", event, person, False, f"{event.event_id} was rejected already")
    own, not_own = _of(person, gallery.templates_before(event.event_id, person.id))
    if not force and _locks_out(own, event.embedding, settings.margin):
        raise GalleryError(
            f"{person.name}'s own templates are nearer to this face than to each other: it seems to be {person.name}; "
            "--force rejects it anyway"
        )
    new = not _near(not_own, event.embedding)
    gallery.learn(event, person.id, "rejected", keep=new)
    if not len(own):
        gone = f"not {person.name}, who is enrolled no more: there was no other face"
        return _verdict("rejected", event, person, False, gone)
    before = "" if new else "; such a face had been rejected before"
    return _verdict("rejected", event, person, new, f"not {person.name}{before}")


def confirm(
    gallery: Gallery, card: ModelCard, settings: schema.MatchingSettings, event_id: str, reference: str | None = None
) -> Verdict:
    """Make the face of an event a template, if it shows a new side, of the person whom the event or ``reference`` names.

    Raises:
        GalleryError: there is no such event or person, or the face is nearer to another person or to a rejected face.
        ConfigError: neither the event nor ``reference`` names anybody.
    """
    event = gallery.events.find(event_id)
    who = reference or event.person_id
    if who is None:
        raise ConfigError(f"{event.event_id} names nobody; say who it was with --as NAME")
    person = gallery.find(who)
    if event.verdict == "confirmed" and event.person_id == person.id:
        return _verdict("confirmed", event, person, False, f"{event.event_id} was confirmed already")
    templates = gallery.templates_before(event.event_id, person.id)
    match = Matcher(templates, card, settings).match(event.embedding)
    if match.person_id != person.id:
        raise GalleryError(
            f"this face is nearer to {match.name} than to {person.name}; if it named the wrong one, reject it first"
        )
    if match.margin < 0:
        raise GalleryError(f"this face is nearer to one that was rejected as {person.name} than to {person.name}")
    new = not _near(_of(person, templates)[0], event.embedding)
    gallery.learn(event, person.id, "confirmed", keep=new)
    gained = "a new template" if new else "known from this side already"
    return _verdict("confirmed", event, person, new, f"{person.name}, {gained}")


def introduce(
    gallery: Gallery, card: ModelCard, settings: schema.MatchingSettings, event_ids: Sequence[str], name: str
) -> Person:
    """Enroll a person with the faces of events that named nobody, or give them to the person who has this name.

    Raises:
        GalleryError: there is no such event, the name is not usable, or a face matches another person.
        ConfigError: ``event_ids`` is empty.
    """
    if not event_ids:
        raise ConfigError("there is no face to name")
    name = clean_name(name)
    events = [gallery.events.find(event_id) for event_id in event_ids]
    matcher = Matcher(gallery.templates(), card, settings)
    for event in events:
        match = matcher.match(event.embedding)
        if match.score >= match.threshold and match.name != name:
            raise GalleryError(f"this face passes for {match.name}, who is enrolled; if it is them, name it so")
    kept: list[Vector] = []
    chosen = []
    for event in events:
        new = not kept or not _near(np.stack(kept), event.embedding)
        kept += [event.embedding] if new else []
        chosen.append((event, new))
    return gallery.introduce(name, chosen)


def _verdict(verdict: str, event: KeptEvent, person: Person, added: bool, told: str) -> Verdict:
    return Verdict(event_id=event.event_id, verdict=verdict, person_id=person.id, name=person.name, added=added, told=told)


def _of(person: Person, templates: Templates) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a person's templates and negative templates, each of shape (n, dimensions)."""
    index = templates.people.index(person)
    return templates.vectors[templates.owners == index], templates.negatives[templates.not_owners == index]


def _near(vectors: NDArray[np.float32], probe: Vector) -> bool:
    return bool((vectors @ probe).max(initial=-1.0) > SAME_VIEW)


def _locks_out(own: NDArray[np.float32], negative: Vector, margin: float) -> bool:
    """Return whether a negative template would have most of a person's templates, each matched to the others, refused."""
    if len(own) < 2:
        return False
    refused = 0
    for number, template in enumerate(own):
        score = similarity(np.delete(own, number, axis=0), template)
        refused += score - float(negative @ template) < margin
    return refused > len(own) / 2
