"""Searches the kept events for the face of photos, or of another event."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeface.enrollment.guidance import others
from edgeface.errors import ConfigError, EdgefaceError, ImageError
from edgeface.gallery.event_store import KeptEvent
from edgeface.operations.context import OperationContext, Photo, Steps
from edgeface.operations.enroll import PhotoJudged
from edgeface.operations.strangers import switched_off, with_face
from edgeface.types import Vector
from edgeface.wire import commands as wire
from edgeface.wire.events import DIGITS
from edgeface.wire.fields import timestamp


def find(context: OperationContext, request: wire.FindRequest) -> Steps[wire.Found]:
    """Judge one photo a round and yield the verdict; then compare the mean of the faces with every kept event's.

    Each comparison gets its share of the wanted false-positive rate, as in a search of the gallery.

    Raises:
        ConfigError: there is neither a photo nor an event.
        GalleryError: there is no such event, or it shows no face.
        ImageError: no photo shows one face alone.
    """
    known = [with_face(context.gallery.events.find(request.event_id), context.config).embedding] if request.event_id else []
    probe, refused = yield from mean_face(context, known)
    return _search(context, probe, refused, request)


def mean_face(context: OperationContext, known: Sequence[Vector] = ()) -> Steps[tuple[Vector, list[wire.Refused]]]:
    """Judge one photo a round and yield the verdict; return the mean of the faces, ``known`` ones too, and what was refused.

    Raises:
        ConfigError: there is neither a photo nor a known face.
        ImageError: no photo shows one face alone.
    """
    job, refused = context.job, []
    assert job is not None
    probes = list(known)
    for photo in job.photos:
        if photo is None:
            yield None
            continue
        reason = None
        try:
            probes.append(_face(context, photo))
        except ImageError as error:
            reason = str(error).removeprefix(f"{photo[0]}: ")
            refused.append(wire.Refused(photo[0], reason))
        yield PhotoJudged(photo[0], reason)
    if not probes:
        if refused:
            raise ImageError("; ".join(f"{one.path}: {one.reason}" for one in refused))
        raise ConfigError("nothing to search for: a photo or an event is needed")
    return np.asarray(np.mean(probes, axis=0), np.float32), refused


def _face(context: OperationContext, photo: Photo) -> Vector:
    label, image = photo
    if isinstance(image, EdgefaceError):
        raise ImageError(str(image))
    pipeline = context.enroller.pipeline
    faces = pipeline.detector.detect(image)
    if not faces:
        raise ImageError("no face was found")
    if beside := others(faces):
        raise ImageError(f"{1 + beside} faces were found, it must show one person alone")
    return context.enroller.view(label, image, faces[0]).vector


def thresholds(context: OperationContext, compared: int) -> tuple[float, float]:
    """Return the scores from which on one of so many faces is surely, and perhaps, the same."""
    card, matching = context.card, context.config.matching
    sure = card.threshold(matching.target_fpir / max(1, compared))
    return sure, min(sure, card.threshold(matching.unsure_fpir / max(1, compared)))


def told(event: KeptEvent, score: float, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "ts": timestamp(event.wall),
        "camera": event.camera,
        "score": round(score, DIGITS["score"]),
        "person_id": event.person_id,
        "name": names.get(event.person_id or ""),
        "stranger_id": event.stranger_id if event.person_id is None else None,
    }


def _search(context: OperationContext, probe: Vector, refused: list[wire.Refused], request: wire.FindRequest) -> wire.Found:
    gallery = context.gallery
    names = {person.id: person.name for person in gallery.people()}
    kept = [
        event
        for event in gallery.events.all()
        if event.shows_face and event.event_id != (request.event_id or "").strip().upper()
    ]
    sure, least = thresholds(context, len(kept))
    scored = ((event, float(event.embedding @ probe)) for event in reversed(kept))
    return wire.Found(
        events=[wire.FoundEvent(**told(event, score, names), sure=score >= sure) for event, score in scored if score >= least],
        compared=len(kept),
        threshold=round(sure, DIGITS["score"]),
        refused=refused,
        switched_off=switched_off(context.config),
    )
