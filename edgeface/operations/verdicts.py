"""Verdicts on events: this was them, or this was not; each sharpens what the gallery knows of a person."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeface.config import schema
from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery.contents import Templates
from edgeface.gallery.names import clean_name
from edgeface.gallery.store import Gallery
from edgeface.recognition.matching import SAME_VIEW, Matcher, similarity
from edgeface.types import Person, Vector
from edgeface.vision.model_card import ModelCard


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verdict came to: whether a template was added, and what to tell the user."""

    event_id: str
    person: Person
    added: bool
    told: str


def reject(gallery: Gallery, settings: schema.MatchingSettings, event_id: str, *, force: bool = False) -> Outcome:
    """The face of this event is not the person that the event names: it becomes a negative template of theirs.

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
        return Outcome(event.event_id, person, False, f"{event.event_id} was rejected already")
    own, not_own = _of(person, gallery.templates_before(event.event_id, person.id))
    if not force and _locks_out(own, event.embedding, settings.margin):
        raise GalleryError(
            f"{person.name}'s own templates are nearer to this face than to each other: it seems to be {person.name}; "
            "--force rejects it anyway"
        )
    new = not _near(not_own, event.embedding)
    gallery.learn(event, person.id, "rejected", keep=new)
    if not len(own):
        return Outcome(event.event_id, person, False, f"not {person.name}, who is enrolled no more: there was no other face")
    return Outcome(
        event.event_id, person, new, f"not {person.name}" + ("" if new else "; such a face had been rejected before")
    )


def confirm(
    gallery: Gallery, card: ModelCard, settings: schema.MatchingSettings, event_id: str, reference: str | None = None
) -> Outcome:
    """The face of this event is the person that it names, or ``reference``: it becomes a template if it shows a new side.

    Raises:
        GalleryError: there is no such event or person, or the face is nearer to another person, or to one who was rejected.
        ConfigError: the event names nobody, and neither does ``reference``.
    """
    event = gallery.events.find(event_id)
    who = reference or event.person_id
    if who is None:
        raise ConfigError(f"{event.event_id} names nobody; say who it was with --as NAME")
    person = gallery.find(who)
    if event.verdict == "confirmed" and event.person_id == person.id:
        return Outcome(event.event_id, person, False, f"{event.event_id} was confirmed already")
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
    return Outcome(
        event.event_id, person, new, f"{person.name}, " + ("a new template" if new else "known from this side already")
    )


def introduce(
    gallery: Gallery, card: ModelCard, settings: schema.MatchingSettings, event_ids: Sequence[str], name: str
) -> Person:
    """The faces of these events, which named nobody, are this person, who is enrolled with them if new.

    Raises:
        GalleryError: there is no such event, the name is not usable, or a face passes for somebody else who is enrolled.
        ConfigError: there are no events.
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


def _of(person: Person, templates: Templates) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A person's templates and negative templates, each of shape (n, dimensions)."""
    index = templates.people.index(person)
    return templates.vectors[templates.owners == index], templates.negatives[templates.not_owners == index]


def _near(vectors: NDArray[np.float32], probe: Vector) -> bool:
    return bool((vectors @ probe).max(initial=-1.0) > SAME_VIEW)


def _locks_out(own: NDArray[np.float32], negative: Vector, margin: float) -> bool:
    """Whether most of a person's templates, each held against the others, would be refused for this negative template."""
    if len(own) < 2:
        return False
    refused = 0
    for number, template in enumerate(own):
        score = similarity(np.delete(own, number, axis=0), template)
        refused += score - float(negative @ template) < margin
    return refused > len(own) / 2
