"""Assesses a person's templates: the most similar other person, the weakest view, and the distance of recognition."""

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
from edgeface.vision.images import shrunk

PUPILS = 0.063
"""Metres between an adult's eyes, on average (Dodgson, "Variation and extrema of human interpupillary distance", 2004)."""
LENS = 62.0
"""Assumed horizontal angle of view in degrees, that of the Raspberry Pi Camera Module 2; a wider lens must be nearer."""
CHIP_EYES = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
"""Pixels between the eyes in a chip; views are not tried at larger sizes."""
SIZES = (16.0, 20.0, 26.0, CHIP_EYES)
"""Pixels between the eyes at which views are tried."""
MOST_TRIED = 6
"""Views that are tried at each size, at most."""


@dataclass(frozen=True, slots=True)
class TemplateScores:
    """The similarities of each template of a person to the person's other templates and to other people.

    ``mated`` has each template's score with the person's other templates, ``non_mated`` that with the most similar other
    person, whose index is in ``rivals``. With one template ``mated`` is empty, with one person ``non_mated``.
    """

    person: Person
    vectors: NDArray[np.float32]
    mated: NDArray[np.float32]
    non_mated: NDArray[np.float32]
    rivals: NDArray[np.intp]

    @property
    def rival(self) -> int | None:
        """Return the index of the most similar other person, over all templates."""
        return int(self.rivals[np.argmax(self.non_mated)]) if len(self.non_mated) else None

    @property
    def nearest(self) -> float | None:
        return float(self.non_mated.max()) if len(self.non_mated) else None

    @property
    def margin(self) -> float | None:
        return float(self.mated.mean() - self.non_mated.mean()) if len(self.mated) and len(self.non_mated) else None

    @property
    def strays(self) -> list[int]:
        """Return the numbers of the templates that are more similar to another person than to their own."""
        both = len(self.mated) and len(self.non_mated)
        return np.flatnonzero(self.non_mated > self.mated).tolist() if both else []


def template_scores(templates: Templates, matcher: Matcher, index: int) -> TemplateScores:
    """Compute the scores of the templates of ``templates.people[index]``; the matcher is one for these templates."""
    own = templates.vectors[templates.owners == index]
    mated = [similarity(np.delete(own, number, axis=0), probe) for number, probe in enumerate(own)] if len(own) > 1 else []
    table = np.array([matcher.scores(probe) for probe in own], np.float32).reshape(len(own), len(templates.people))
    table[:, index] = -np.inf
    if len(templates.people) == 1:
        table = table[:0]  # there is nobody to be mistaken for
    return TemplateScores(templates.people[index], own, np.array(mated, np.float32), table.max(axis=1), table.argmax(axis=1))


def assess(pipeline: Pipeline, settings: schema.Config, person: Person, views: Sequence[View]) -> Assessment:
    templates, matcher = pipeline.templates, pipeline.matcher
    index = next((number for number, one in enumerate(templates.people) if one.id == person.id), None)
    if index is None:  # forgotten by another process meanwhile
        return Assessment(0, matcher.accept)
    scores = template_scores(templates, matcher, index)
    own, width = scores.vectors, settings.camera.width
    rival = None if scores.rival is None else templates.people[scores.rival].name
    borne_out = [(similarity(rest, view.vector), view.label) for view in views if len(rest := _others(own, view))]
    score, weakest = min(borne_out) if borne_out else (None, None)
    pixels = _pixels(pipeline, settings, own, views) if borne_out else None
    metres = None if pixels is None else distance(width, pixels)
    told, advice = _range(bool(borne_out), pixels, width), []
    if len(own) < LEAST:
        advice.append(f"{len(own)} of {LEAST} views: edgeface enroll {argument(person.name)} adds those that are missing")
    if borne_out and pixels is None:
        advice.append("take more views where the camera hangs, in its light, or forget the person and start again")
    if score is not None and score < matcher.accept:
        advice.append(
            f"{weakest} is little like the others (score {score:.2f}): take more views that are like it, or leave it out"
        )
    if scores.nearest is not None and scores.nearest >= matcher.unsure:
        advice.append(f"{rival} looks alike: take more views of both, edgeface gallery check has more")
    return Assessment(
        len(own), matcher.accept, rival, scores.nearest, scores.margin, weakest, score, pixels, metres, told, advice
    )


def distance(width: int, pixels: float) -> float:
    """Compute the metres at which eyes are ``pixels`` apart in a picture of this width, taken with a lens of ``LENS``."""
    return width / 2 / math.tan(math.radians(LENS / 2)) * PUPILS / pixels


def _range(tried: bool, pixels: float | None, width: int) -> str:
    if not tried:
        return "one view alone cannot tell from how far they will be recognized"
    if pixels is None:
        return "will hardly be recognized: half of the views are not, each held against the others"
    return (
        f"will be recognized from about {distance(width, pixels):.1f} m ({pixels:.0f} pixels between the eyes, "
        f"if the camera sees {LENS:.0f} degrees on {width} pixels)"
    )


def _others(own: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """Return a person's templates without that of a view."""
    return np.asarray(own[np.abs(own - view.vector).max(axis=1) > 0])


def _pixels(pipeline: Pipeline, settings: schema.Config, own: NDArray[np.float32], views: Sequence[View]) -> float | None:
    """Return the smallest of ``SIZES`` at which half of the views are recognized, each by the other templates."""
    for size in SIZES:
        if size < min(settings.detector.min_eye_distance, CHIP_EYES):
            continue
        passed = tried = 0
        for view in views[:MOST_TRIED]:
            if len(rest := _others(own, view)):
                tried += 1
                probe = pipeline.embedder.embed(_blurred(view.chip, size)).vector
                passed += similarity(rest, probe) >= pipeline.matcher.accept
        if tried and passed >= tried / 2:
            return size
    return None


def _blurred(chip: Image, eyes: float) -> Image:
    """Blur a chip to the detail of a face with ``eyes`` pixels between the eyes."""
    small = shrunk(chip, eyes / CHIP_EYES)
    return np.asarray(cv2.resize(small, (CHIP_SIZE, CHIP_SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)
