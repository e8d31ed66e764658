"""Plays visits to a daemon's own pipeline and presence, and counts the errors.

Rates are those of ISO/IEC 19795-1:2021 with a visit as the transaction: FPIR is the share of strangers' visits in which anybody
was announced, FNIR the share of enrolled people's visits in which they were not.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from math import ceil, sqrt
from pathlib import Path
from statistics import median

import numpy as np
from msgspec import structs

from edgeface.config import schema
from edgeface.enrollment.enroller import Enroller, read_images
from edgeface.errors import ConfigError, ImageError, os_errors_as
from edgeface.gallery.contents import Templates
from edgeface.gallery.names import clean_name
from edgeface.gallery.open import open_gallery
from edgeface.gallery.store import Gallery
from edgeface.recognition.matching import Matcher
from edgeface.recognition.pipeline import Pipeline
from edgeface.recognition.presence import Presence
from edgeface.types import EventType, Frame, Observation
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import image_files, load_image
from edgeface.vision.model_card import ModelCard
from edgeface.vision.motion import MotionGate
from edgeface.wire.events import Event

Tell = Callable[[str], None]
START = 1.0e9  # the time at which every visit begins, in seconds since the Unix epoch
TARGETS = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
"""The values of matching.target_fpir at which a DET curve is measured, from loose to strict."""


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """A person's visit: each frame of a folder, without its picture, and the pipeline's observations."""

    person: str
    moments: tuple[tuple[Frame, tuple[Observation, ...]], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a visit: whether anybody was announced, anybody wrong, and after how many frames the right person."""

    named: bool = False
    wrong: bool = False
    right_after: int | None = None
    unknown: bool = False
    corrected: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its 95 % interval, as if visits were independent."""

    count: int
    of: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Errors with ``people`` enrolled, over ``galleries`` galleries of that size.

    ``wrong`` is the share of enrolled people's visits in which another name was announced, ``unknown`` the share of strangers'
    visits that were announced as unknown, ``corrected`` how many names were taken back. Time is from the first frame to the
    event, over the visits that were recognized: median and 90th percentile.
    """

    people: int
    galleries: int
    target_fpir: float
    fpir: Rate
    fnir: Rate
    wrong: Rate
    unknown: Rate
    corrected: int
    frames: tuple[float, float] | None
    seconds: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class DetPoint:
    target_fpir: float
    fpir: Rate
    fnir: Rate


@dataclass(frozen=True, slots=True)
class Trials:
    """The galleries to measure: ``most`` of each size, or one with everybody, with ``curve`` at every target of a DET curve."""

    sizes: Sequence[int] = ()
    most: int = 20
    curve: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The figures at the configured target, by gallery size, and for each size those at all targets, from loose to strict."""

    model: str
    fps: float
    enrolled: int
    refused: list[str]
    figures: list[Figures]
    curves: list[list[DetPoint]]


def evaluate(
    settings: schema.Config, model: Path, gallery: Path, visits: Sequence[Path], trials: Trials, *, tell: Tell
) -> Report:
    """Enroll the people of a folder in a gallery of its own, and play visits to it at ``camera.fps``.

    Raise ``EdgefaceError`` if a folder holds nothing of use, or a part of edgeface does not work here.
    """
    with tempfile.TemporaryDirectory() as folder:
        embedder = Embedder(model)
        settings = structs.replace(settings, gallery=schema.GallerySettings(str(Path(folder) / "gallery.db")))
        with closing(open_gallery(settings, embedder.card)) as database:
            pipeline = Pipeline(settings, embedder, database)
            refused = enroll(pipeline, database, gallery, tell)
            templates = database.templates()
            # Before hours of frames: too few people are an error.
            drawn = [list(galleries(templates, size, trials.most)) for size in trials.sizes or [len(templates.people)]]
            seen = [visit for folder in visits for visit in watch(pipeline, folder, settings, tell)]
    found = [measure(seen, some, settings, embedder.card, curve=trials.curve, tell=tell) for some in drawn]
    return Report(
        embedder.card.digest,
        settings.camera.fps,
        len(templates.people),
        refused,
        [figures[settings.matching.target_fpir] for figures in found],
        [[DetPoint(target, one.fpir, one.fnir) for target, one in figures.items()] for figures in found],
    )


def people(folder: Path) -> list[Path]:
    """Return the folders of people in a folder, by name. Raise ``ConfigError`` if it cannot be read, or has none."""
    with os_errors_as(ConfigError, folder):
        found = sorted(path for path in folder.iterdir() if path.is_dir())
    if not found:
        raise ConfigError(f"{folder}: there is no folder of a person in it")
    return found


def enroll(pipeline: Pipeline, gallery: Gallery, folder: Path, tell: Tell) -> list[str]:
    """Enroll everybody in a folder of ``NAME/*.jpg`` as ``edgeface enroll`` does; return the names without a usable photo.

    Raise ``ConfigError`` without a folder of a person, ``GalleryError`` if a folder's name is none or nothing can be written.
    """
    enroller, refused = Enroller(pipeline, gallery), []
    for person in people(folder):
        report = enroller.enroll(person.name, read_images([person]))
        if report.person is None:
            refused.append(person.name)
            tell(f"{person}: not enrolled, {report.refused[0][1]}")
    return refused


def watch(pipeline: Pipeline, folder: Path, settings: schema.Config, tell: Tell) -> Iterator[Visit]:
    """Yield the visits in ``PERSON/VISIT/*.jpg``, by name; tell of unreadable frames. Raise ``ConfigError`` without any."""
    for person in people(folder):
        for frames in people(person):
            paths = image_files(frames)
            if not paths:
                raise ConfigError(f"{frames}: there is no image of a visit in it")
            moments, gate = [], MotionGate(settings.detector.still_every, settings.presence.left_after)
            for number, path in enumerate(paths):
                try:
                    image = load_image(path)
                except ImageError as error:
                    tell(str(error))
                    continue
                time = number / settings.camera.fps
                seen = pipeline.observe(image) if gate.wants(Frame(image, time, START + time)) else None
                if seen is not None:
                    gate.searched(time, len(seen))
                blank = np.broadcast_to(np.uint8(0), image.shape)  # takes no memory
                moments.append((Frame(blank, time, START + time), tuple(seen or ())))
            yield Visit(clean_name(person.name), tuple(moments))


def play(visit: Visit, settings: schema.Config, card: ModelCard, matcher: Matcher) -> Outcome:
    presence = Presence(settings, card)
    events: list[tuple[int, Event]] = []
    for number, (moment, observations) in enumerate(visit.moments, start=1):
        events += ((number, event) for event in presence.update(moment, observations, matcher))
    named = [(number, event) for number, event in events if event.event_type is EventType.RECOGNIZED]
    return Outcome(
        bool(named),
        any(event.name != visit.person for _, event in named),
        next((number for number, event in named if event.name == visit.person), None),
        any(event.event_type is EventType.UNKNOWN for _, event in events),
        sum(event.corrected is not None and event.event_type is not EventType.LEFT for _, event in events),
    )


def measure(
    visits: Sequence[Visit], drawn: Sequence[Templates], settings: schema.Config, card: ModelCard, *, curve: bool, tell: Tell
) -> dict[float, Figures]:
    """Play all visits to galleries of one size, and return the figures by target, from loose to strict.

    The targets are the configured one and, with ``curve``, those of a DET curve. People outside a gallery are its strangers.
    """
    size = len(drawn[0].people)
    targets = sorted({settings.matching.target_fpir, *(TARGETS if curve else ())}, reverse=True)
    outcomes: dict[float, list[tuple[bool, Outcome]]] = {target: [] for target in targets}
    for number, gallery in enumerate(drawn, start=1):
        tell(f"{size} enrolled, gallery {number} of {len(drawn)}")
        names = {person.name for person in gallery.people}
        matchers = [Matcher(gallery, card, structs.replace(settings.matching, target_fpir=target)) for target in targets]
        for visit in visits:
            matched, outcome = rematch(visit, matchers[0]), Outcome(named=True)
            for target, matcher in zip(targets, matchers, strict=True):
                if outcome.named or target == settings.matching.target_fpir:
                    # A visit that named nobody names nobody at a stricter target either: the probe is the same.
                    outcome = play(matched, settings, card, matcher)
                outcomes[target].append((visit.person in names, outcome))
    return {target: _count(size, len(drawn), target, found, settings.camera.fps) for target, found in outcomes.items()}


def galleries(templates: Templates, size: int, most: int) -> Iterator[Templates]:
    """Yield disjoint parts of a gallery, each of ``size`` people drawn by a fixed seed. Raise ``ConfigError`` if too few."""
    total = len(templates.people)
    if not 1 <= size <= total:
        raise ConfigError(f"a gallery of {size} people cannot be had: {total} are enrolled")
    order = np.random.default_rng(0).permutation(total)
    for start in range(0, min(most, total // size) * size, size):
        chosen = np.sort(order[start : start + size])
        rows = np.isin(templates.owners, chosen)
        yield replace(
            templates,
            people=tuple(templates.people[number] for number in chosen),
            owners=np.searchsorted(chosen, templates.owners[rows]),
            vectors=templates.vectors[rows],
        )


def rematch(visit: Visit, matcher: Matcher) -> Visit:
    """Return a visit as the pipeline would have seen it with another gallery."""
    moments = (
        (moment, tuple(s if s.embedding is None else replace(s, match=matcher.match(s.embedding.vector)) for s in seen))
        for moment, seen in visit.moments
    )
    return replace(visit, moments=tuple(moments))


def wilson(count: int, of: int) -> Rate:
    """Return a share with its 95 % interval by Wilson's score (JASA 22, 1927), which is valid near 0 and for few trials."""
    if not of:
        return Rate(0, 0, 0.0, 0.0, 1.0)
    z, share = 1.959964, count / of
    middle, reach = share + z * z / (2 * of), z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low, high = ((middle + sign * reach) / (1 + z * z / of) for sign in (-1, 1))
    return Rate(count, of, share, max(0.0, low) if count else 0.0, min(1.0, high))


def _count(size: int, drawn: int, target: float, outcomes: Sequence[tuple[bool, Outcome]], fps: float) -> Figures:
    known = [outcome for enrolled, outcome in outcomes if enrolled]
    strangers = [outcome for enrolled, outcome in outcomes if not enrolled]
    right = [outcome.right_after for outcome in known if outcome.right_after is not None]
    frames = (median(right), float(sorted(right)[ceil(0.9 * len(right)) - 1])) if right else None
    return Figures(
        size,
        drawn,
        target,
        fpir=wilson(sum(outcome.named for outcome in strangers), len(strangers)),
        fnir=wilson(len(known) - len(right), len(known)),
        wrong=wilson(sum(outcome.wrong for outcome in known), len(known)),
        unknown=wilson(sum(outcome.unknown for outcome in strangers), len(strangers)),
        corrected=sum(outcome.corrected for outcome in known + strangers),
        frames=frames,
        seconds=(frames[0] / fps, frames[1] / fps) if frames else None,
    )
