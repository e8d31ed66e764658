"""Merges and splits people, moves views from one to another, and undoes that."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgeface.enrollment.assessment import TemplateScores, template_scores
from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery.bin import Change
from edgeface.gallery.contents import Templates
from edgeface.gallery.store import Gallery, View, template_id
from edgeface.operations.context import OperationContext
from edgeface.operations.events import locks_out, of_person
from edgeface.platform.text import scored
from edgeface.recognition.matching import Matcher, similarity
from edgeface.types import Match, Person, Vector
from edgeface.wire import moves as wire
from edgeface.wire.events import DIGITS
from edgeface.wire.fields import NamedPerson, timestamp


def merge(context: OperationContext, request: wire.MergeRequest) -> wire.Moved:
    """Give all that is a person's to another.

    Raises:
        GalleryError: there is no such person, or (not with ``force``) no view of one would be taken for the other.
        ConfigError: the two are one.
    """
    gallery = context.gallery
    person, into = gallery.find(request.person), gallery.find(request.into)
    if person.id == into.id:
        raise ConfigError(f"that is one person, {into.name}, already")
    templates = gallery.templates()
    own, theirs = of_person(person, templates), of_person(into, templates)
    accept = Matcher(templates, context.card, context.config.matching).accept
    score = max(similarity(theirs[0], vector) for vector in own[0])
    if score < accept and not request.force:
        raise GalleryError(
            f"{person.name} and {into.name} do not look alike, {scored(score, accept)}; force merges them anyway"
        )
    everything = np.concatenate([own[0], theirs[0]])
    contradicted = {
        vector.tobytes()
        for vector in np.concatenate([own[1], theirs[1]])
        if locks_out(everything, vector, context.config.matching.margin)
    }
    with context.noted("merge", person=person.id, into=into.id, force=request.force) as note:
        change = gallery.moves.merge(person.id, into.id, contradicted)
        note["change"] = change or ""
    return _moved(gallery, into.id, change, f"{person.name} is merged into {into.name}")


def move(context: OperationContext, request: wire.MoveRequest) -> wire.Moved:
    """Give views of one person to another.

    Raises:
        GalleryError: there is no such view or person, the views are all that their person has, or (not with ``force``) one is
            nearer to anybody else than to who gets it.
    """
    gallery = context.gallery
    owner, vectors = _some(gallery, request.views, "merge the two")
    to = gallery.find(request.to)
    if to.id == owner.id:
        raise ConfigError(f"they are views of {to.name} already")
    for match in _matches(context, owner, vectors):
        if match.person_id != to.id and not request.force:
            raise GalleryError(f"this view is nearer to {match.name} than to {to.name}; force moves it anyway")
    with context.noted("move", person=owner.id, to=to.id, views=len(vectors), force=request.force) as note:
        change = gallery.moves.move(owner.id, {vector.tobytes() for vector in vectors}, to.id)
        note["change"] = change or ""
    return _moved(gallery, to.id, change, f"{_views(len(vectors))} of {owner.name} moved")


def split(context: OperationContext, request: wire.SplitRequest) -> wire.Moved:
    """Give views of one person to a new one.

    Raises:
        GalleryError: there is no such view, the views are all that their person has, the name is taken or not usable, or (not
            with ``force``) one passes for somebody who is enrolled.
    """
    gallery = context.gallery
    name = gallery.check_name(request.name)
    owner, vectors = _some(gallery, request.views, "rename them")
    for match in _matches(context, owner, vectors):
        if match.score >= match.threshold and not request.force:
            raise GalleryError(f"this view passes for {match.name}; force splits it off anyway")
    with context.noted("split", person=owner.id, views=len(vectors), force=request.force) as note:
        change = gallery.moves.split(owner.id, {vector.tobytes() for vector in vectors}, name)
        new = gallery.find(name)
        note.update(new=new.id, change=change or "")
    return _moved(gallery, new.id, change, f"{_views(len(vectors))} of {owner.name} split off as {name}")


def undo(context: OperationContext, request: wire.UndoRequest) -> wire.UndoneChange:
    gallery = context.gallery
    with context.noted("undo") as note:
        done = gallery.moves.undo(request.change)
        note.update(what=done.change.what, person=done.change.origin.person_id, to=done.change.target)
    person = gallery.find(done.change.origin.person_id)
    names = {one.id: one.name for one in gallery.people()}
    what = in_words(done.change, names)
    told = f"undone: {what}; {done.lost} had been changed since" if done.lost else f"undone: {what}"
    return wire.UndoneChange(id=person.id, name=person.name, back=done.back, lost=done.lost, told=told)


def list_views(context: OperationContext, request: wire.ViewsRequest) -> wire.Views:
    gallery = context.gallery
    person, templates = gallery.find(request.person), gallery.templates()
    index = next((number for number, one in enumerate(templates.people) if one.id == person.id), None)
    if index is None:
        raise GalleryError(f"every view of {person.name} is damaged; edgeface gallery check tells what cures them")
    scores = template_scores(templates, Matcher(templates, context.card, context.config.matching), index)
    places = {template_id(person.id, vector): number for number, vector in enumerate(scores.vectors)}
    return wire.Views(
        id=person.id,
        name=person.name,
        views=[_listed(view, places[view.id], scores, templates) for view in gallery.views(person.id)],
    )


def _listed(view: View, number: int, scores: TemplateScores, templates: Templates) -> wire.ListedView:
    rival = templates.people[int(scores.rivals[number])] if number in scores.strays else None
    return wire.ListedView(
        id=view.id,
        quality=round(view.quality, DIGITS["quality"]),
        score=round(float(scores.mated[number]), DIGITS["score"]) if len(scores.mated) else None,
        event_id=view.source or None,
        like=NamedPerson(rival.id, rival.name) if rival else None,
    )


def list_bin(context: OperationContext, _request: wire.BinRequest) -> wire.Bin:
    gallery = context.gallery
    names = {person.id: person.name for person in gallery.people()}
    listed = [
        wire.ListedChange(
            change=kept.id,
            ts=timestamp(kept.change.wall),
            until=timestamp(kept.until),
            told=in_words(kept.change, names),
            people=sorted(kept.change.people),
        )
        for kept in gallery.bin.changes()
    ]
    return wire.Bin(listed, gallery.bin.days)


def empty_bin(context: OperationContext, _request: wire.EmptyBinRequest) -> wire.Emptied:
    with context.noted("empty_bin") as note:
        note["changes"] = erased = context.gallery.moves.empty_bin()
    return wire.Emptied(erased)


def in_words(change: Change, names: Mapping[str, str]) -> str:
    """Say what a change was; ``names`` are those of the people enrolled, by id."""
    origin = names.get(change.origin.person_id, change.origin.record.name)
    target, views = names.get(change.target, change.target_name), _views(change.views)
    return {
        "merged": f"{origin} was merged into {target}",
        "moved": f"{views} of {origin} moved to {target}",
        "split": f"{views} of {origin} split off as {target}",
        "dropped": f"{views} of {origin} deleted",
    }[change.what]


def _views(number: int) -> str:
    return "1 view" if number == 1 else f"{number} views"


def _some(gallery: Gallery, views: Sequence[str], instead: str) -> tuple[Person, list[Vector]]:
    """Return a person and some of their templates; raise ``GalleryError`` if these are all that they have."""
    owner, vectors = gallery.owner_of(views)
    if len(vectors) >= gallery.find(owner.id).templates:
        raise GalleryError(f"these are all views of {owner.name}: {instead}")
    return owner, vectors


def _matches(context: OperationContext, owner: Person, vectors: Sequence[Vector]) -> Iterator[Match]:
    """Match templates of a person against everybody's others."""
    known = context.gallery.templates()
    taken = {vector.tobytes() for vector in vectors}
    index = [person.id for person in known.people].index(owner.id)
    keep = np.array(
        [at != index or vector.tobytes() not in taken for at, vector in zip(known.owners, known.vectors, strict=True)], bool
    )
    rest = Templates(known.people, known.owners[keep], known.vectors[keep], known.not_owners, known.negatives)
    return map(Matcher(rest, context.card, context.config.matching).match, vectors)


def _moved(gallery: Gallery, person_id: str, change: str | None, told: str) -> wire.Moved:
    person = gallery.find(person_id)
    told = f"{told}; {person.name} has {_views(person.templates)}"
    return wire.Moved(id=person.id, name=person.name, templates=person.templates, change=change, told=told)
