"""How a person stands in the gallery: who is nearest, which template is the weakest, and from how far they are recognised."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.config import schema
from edgeface.enrollment.enroller import Assessment, View
from edgeface.enrollment.session import LEAST
from edgeface.gallery.contents import Templates
from edgeface.gallery.names import argument
from edgeface.recognition.matching import Matcher, similarity
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import Image, Person
from edgeface.vision.alignment import CHIP_SIZE, TEMPLATE

PUPILS = 0.063
"""Metres between an adult's eyes, on average (Dodgson, "Variation and extrema of human interpupillary distance", 2004)."""
LENS = 62.0
"""Degrees that a camera is taken to see from left to right, as the Raspberry Pi's second does; a wider lens must be nearer."""
CHIP_EYES = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
"""Pixels between the eyes in a chip: what is larger is not tried."""
SIZES = (16.0, 20.0, 26.0, CHIP_EYES)
"""Pixels between the eyes at which views are tried."""
MOST_TRIED = 6


@dataclass(frozen=True, slots=True)
class Standing:
    """How each template of a person fares, held against their other ones and against everybody else.

    ``own`` and ``other`` have a score for each template: the likeness to the person's others, and to the other person who is
    nearest to it, whose index is in ``rivals``. With one template there is no ``own``, with one person no ``other``.
    """

    person: Person
    vectors: NDArray[np.float32]
    own: NDArray[np.float32]
    other: NDArray[np.float32]
    rivals: NDArray[np.intp]

    @property
    def rival(self) -> int | None:
        """The index of the person who is nearest, over all templates."""
        return int(self.rivals[np.argmax(self.other)]) if len(self.other) else None

    @property
    def margin(self) -> float | None:
        """By how much the templates are nearer to each other than to anybody else, on average."""
        return float(self.own.mean() - self.other.mean()) if len(self.own) and len(self.other) else None

    @property
    def strays(self) -> list[int]:
        """The templates that are nearer to another person than to their own."""
        if not len(self.own) or not len(self.other):
            return []
        return [int(number) for number in np.flatnonzero(self.other > self.own)]


def standing(templates: Templates, matcher: Matcher, index: int) -> Standing:
    """How the person ``templates.people[index]`` stands; the matcher is one for these templates."""
    own = templates.vectors[templates.owners == index]
    among = [similarity(np.delete(own, number, axis=0), probe) for number, probe in enumerate(own)] if len(own) > 1 else []
    table = np.array([matcher.scores(probe) for probe in own], np.float32).reshape(len(own), len(templates.people))
    table[:, index] = -np.inf
    several = len(templates.people) > 1
    return Standing(
        templates.people[index],
        own,
        np.array(among, np.float32),
        table.max(axis=1) if several else np.empty(0, np.float32),
        table.argmax(axis=1) if several else np.empty(0, np.intp),
    )


def assess(pipeline: Pipeline, settings: schema.Config, person: Person, views: Sequence[View]) -> Assessment:
    """How somebody stands who has just been enrolled with these views."""
    templates = pipeline.templates
    index = next((number for number, one in enumerate(templates.people) if one.id == person.id), None)
    accept = pipeline.matcher.accept
    if index is None:  # forgotten by another process meanwhile
        return Assessment(0, accept)
    stands, own = standing(templates, pipeline.matcher, index), templates.vectors[templates.owners == index]
    rival = None if stands.rival is None else templates.people[stands.rival].name
    scores = [
        (similarity(rest, view.vector), view.label)
        for view in views
        if len(rest := own[np.abs(own - view.vector).max(axis=1) > 0])
    ]
    score, weakest = min(scores) if scores else (None, None)
    pixels = _pixels(pipeline, settings, own, views) if scores else None
    metres = None if pixels is None else distance(settings.camera.width, pixels)
    advice = []
    if len(own) < LEAST:
        advice.append(f"{len(own)} of {LEAST} views: edgeface enroll {argument(person.name)} adds those that are missing")
    if scores and pixels is None:
        advice.append("take more views where the camera hangs, in its light, or forget the person and start again")
    if score is not None and score < accept:
        advice.append(
            f"{weakest} is little like the others (score {score:.2f}): take more views that are like it, or leave it out"
        )
    if len(stands.other) and float(stands.other.max()) >= pipeline.matcher.unsure:
        advice.append(f"{rival} looks alike: take more views of both, edgeface gallery check has more")
    return Assessment(
        len(own),
        accept,
        rival,
        float(stands.other.max()) if len(stands.other) else None,
        stands.margin,
        weakest,
        score,
        pixels,
        metres,
        _sentence(bool(scores), pixels, metres, settings.camera.width),
        advice,
    )


def distance(width: int, pixels: float) -> float:
    """From how many metres a face has so many pixels between the eyes, in a picture of this width, with a lens of ``LENS``."""
    return width / 2 / math.tan(math.radians(LENS / 2)) * PUPILS / pixels


def _sentence(tried: bool, pixels: float | None, metres: float | None, width: int) -> str:
    if not tried:
        return "one view alone cannot tell from how far they will be recognised"
    if pixels is None or metres is None:
        return "will hardly be recognised: half of the views are not, each held against the others"
    return (
        f"will be recognised from about {metres:.1f} m ({pixels:.0f} pixels between the eyes, "
        f"if the camera sees {LENS:.0f} degrees on {width} pixels)"
    )


def _pixels(pipeline: Pipeline, settings: schema.Config, own: NDArray[np.float32], views: Sequence[View]) -> float | None:
    """The smallest of ``SIZES`` at which half of the views are recognised, each by the other templates."""
    accept = pipeline.matcher.accept
    for size in SIZES:
        if size < min(settings.detector.min_eye_distance, CHIP_EYES):
            continue
        passed = tried = 0
        for view in views[:MOST_TRIED]:
            rest = own[np.abs(own - view.vector).max(axis=1) > 0]
            if len(rest):
                tried += 1
                passed += similarity(rest, pipeline.embedder.embed(_shrunk(view.chip, size)).vector) >= accept
        if tried and passed >= tried / 2:
            return size
    return None


def _shrunk(chip: Image, eyes: float) -> Image:
    """A chip as it would be, had the face so many pixels between the eyes."""
    side = round(CHIP_SIZE * eyes / CHIP_EYES)
    if side >= CHIP_SIZE:
        return chip
    small = cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (CHIP_SIZE, CHIP_SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)
