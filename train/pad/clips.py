"""Score the clips of Replay-Attack as the device scores visits, and count the errors as ISO/IEC 30107-3 does."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeface import detectors
from edgeface.errors import DataError, EdgefaceError
from edgeface.types import Box, Image, PassiveScore
from edgeface.vision.images import image_files, load_image
from edgeface.vision.passive_liveness import fuse
from train.pad.prepare import attack_class
from train.prepare import find_photos

Score = Callable[[Image, Box], PassiveScore]
REPEATS = 2000
"""Resamplings of the people for an interval."""


class Clip(NamedTuple):
    """A visit: who is shown, the class, its conditions (medium, photo or video, held or fixed, light), and its score."""

    person: str
    kind: str
    medium: str
    shown: str
    support: str
    light: str
    score: PassiveScore


class HasPerson(Protocol):
    """What intervals by person are computed of."""

    @property
    def person(self) -> str: ...


Shown = TypeVar("Shown", bound=HasPerson)


class Share(NamedTuple):
    """A share of clips, and the limits of its 95 % interval by bootstrap of the people."""

    share: float
    low: float
    high: float
    clips: int


def score_clips(folder: Path, score: Score) -> list[Clip]:
    """Score all clips in folder/live and folder/attack; a clip without a face in any frame is left out.

    Raises:
        DataError: there are none.
    """
    detector = detectors.create()
    clips = []
    for path in sorted(folder.glob("*/*")):
        scores = []
        for file in image_files(path):
            image = load_image(file)
            if faces := detector.detect(image):
                scores.append(score(image, faces[0].box))
        if scores:
            clips.append(_clip(path, fuse(scores)))
    if not clips:
        raise DataError(f"{folder}: there are no clips with faces in live/ and attack/")
    return clips


def score_photos(folder: Path, score: Score, most: int = 1000) -> NDArray[np.float64]:
    """How live the largest face of each of so many photos looks by one view, drawn at random from ``folder``.

    Raises:
        DataError: no photo shows a face.
    """
    detector = detectors.create()
    found = [path for path, _ in find_photos([folder])]
    scores = []
    for number in np.random.default_rng(0).permutation(len(found))[:most]:
        try:
            image = load_image(found[int(number)])
        except EdgefaceError:
            continue
        if faces := detector.detect(image):
            scores.append(score(image, faces[0].box).live)
    if not scores:
        raise DataError(f"{folder}: there are no photos with faces")
    return np.array(scores)


def _clip(path: Path, score: PassiveScore) -> Clip:
    name, kind = path.name, class_of(path)
    live = kind == "live"
    medium = "live" if live else next(each for each in ("print", "mobile", "highdef") if f"_{each}_" in name)
    return Clip(
        person=person_of(name),
        kind=kind,
        medium=medium,
        shown="person" if live else "video" if "_video_" in name else "photo",
        support="person" if live else "hand" if "__hand__" in name else "fixed",
        light="adverse" if "adverse" in name else "controlled",
        score=score,
    )


def class_of(clip: Path) -> str:
    """Return the class of what a clip's folder shows: it lies in live/ or in attack/."""
    return "live" if clip.parent.name == "live" else attack_class(clip.name)


def person_of(clip: str) -> str:
    """The person shown, by the name of a clip of Replay-Attack; the name itself where it has none."""
    person = re.search(r"client\d+", clip)
    return person.group() if person else clip


def share(clips: Sequence[Shown], counted: Callable[[Shown], bool]) -> Share:
    """The share of clips that are counted."""
    people = sorted({clip.person for clip in clips})
    hits, totals = np.zeros(len(people)), np.zeros(len(people))
    for clip in clips:
        row = people.index(clip.person)
        hits[row] += counted(clip)
        totals[row] += 1
    drawn = np.random.default_rng(0).integers(0, len(people), (REPEATS, len(people)))
    low, high = np.quantile(hits[drawn].sum(axis=1) / totals[drawn].sum(axis=1), (0.025, 0.975))
    return Share(float(hits.sum() / totals.sum()), float(low), float(high), len(clips))


def live_scores(clips: Sequence[Clip], kind: str) -> NDArray[np.float64]:
    """The ``live`` of all clips of a class, sorted."""
    return np.sort([clip.score.live for clip in clips if clip.kind == kind])
