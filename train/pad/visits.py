"""Play the clips of Replay-Attack to the face pipeline, and measure who is named with ``[liveness] mode`` off and refuse."""

import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from edgeface.config.schema import Config, GallerySettings
from edgeface.enrollment.enroller import Enroller, read_images
from edgeface.errors import DataError
from edgeface.gallery.open import open_gallery
from edgeface.recognition.pipeline import Pipeline
from edgeface.recognition.presence import Presence
from edgeface.types import EventType, Frame, Image, Observation
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import image_files, load_image
from train.pad.clips import Share, class_of, person_of, share

SECONDS, FPS, HELD = 6.0, 5.0, 0.5
"""Seconds that a clip is before the camera, frames a second, and seconds that each of the clip's frames is shown in turn."""


class Told(NamedTuple):
    """Of one clip: who is shown, the class, and the seconds until the person was named, ``None`` where they never were."""

    person: str
    kind: str
    off: float | None
    refuse: float | None


def play_clips(test: Path) -> list[Told]:
    """Play each clip to a camera at whose door its person is enrolled, from a live clip in the other light.

    Raises:
        DataError: the folder has no clips in live/ and attack/, or nobody of them can be enrolled.
    """
    live = sorted((test / "live").iterdir())
    told = []
    embedder = Embedder()
    with tempfile.TemporaryDirectory() as folder:
        settings = Config(gallery=GallerySettings(str(Path(folder) / "gallery.db")))
        with closing(open_gallery(settings, embedder.card)) as gallery:
            pipeline = Pipeline(settings, embedder, gallery)
            enroller = Enroller(pipeline, gallery)
            for clip in [*live, *sorted((test / "attack").iterdir())]:
                person, dark, frames = person_of(clip.name), "adverse" in clip.name, image_files(clip)
                other = [path for path in live if person_of(path.name) == person and ("adverse" in path.name) != dark][:1]
                if not frames or not other or enroller.enroll(person, read_images(other)).person is None:
                    continue
                seen = _observe(pipeline, [load_image(path) for path in frames])
                told.append(Told(person, class_of(clip), *(_named(pipeline, seen, mode) for mode in ("off", "refuse"))))
                gallery.forget(person)
    if not told:
        raise DataError(f"{test}: nobody of its clips can be enrolled")
    return told


def _observe(pipeline: Pipeline, frames: Sequence[Image]) -> list[tuple[Frame, list[Observation]]]:
    looks = [pipeline.observe(image, living=True) for image in frames]
    turns = [int(step / FPS / HELD) % len(frames) for step in range(round(SECONDS * FPS))]
    return [(Frame(frames[turn], step / FPS, step / FPS), looks[turn]) for step, turn in enumerate(turns)]


def _named(pipeline: Pipeline, seen: Sequence[tuple[Frame, list[Observation]]], mode: str) -> float | None:
    settings = msgspec.convert({"liveness": {"mode": mode}}, Config)
    presence = Presence(settings, pipeline.embedder.card, None, pipeline.passive.card)
    for moment, observations in seen:
        for event in presence.update(moment, observations, pipeline.matcher):
            if event.event_type is EventType.RECOGNIZED:
                return moment.time
    return None


class Named(NamedTuple):
    """The shares of clips whose person was named, by mode, and how many seconds later with refuse: the median."""

    off: Share
    refuse: Share
    later: float | None


def summary(told: Sequence[Told]) -> dict[str, Named]:
    """The figures of each class of which there are clips."""
    table = {}
    for kind in dict.fromkeys(clip.kind for clip in told):
        some = [clip for clip in told if clip.kind == kind]
        later = [clip.refuse - clip.off for clip in some if clip.off is not None and clip.refuse is not None]
        table[kind] = Named(
            share(some, lambda clip: clip.off is not None),
            share(some, lambda clip: clip.refuse is not None),
            float(np.median(later)) if later else None,
        )
    return table
