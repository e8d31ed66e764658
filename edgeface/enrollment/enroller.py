"""Turns images of one person into templates, and refuses each unfit image with the reason."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgeface.enrollment.guidance import MIN_EYE_DISTANCE, MIN_QUALITY, others
from edgeface.errors import EdgefaceError, GalleryError, ImageError
from edgeface.gallery.names import clean_name, quoted
from edgeface.gallery.store import Gallery
from edgeface.platform.text import apart, scored
from edgeface.recognition.matching import similarity
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import Face, Image, Observation, Person, Vector
from edgeface.vision.alignment import align, eye_distance
from edgeface.vision.images import image_files, load_image

OWN_FAR = 0.02
"""False-accept rate of the score that a new template needs with the person's other templates."""
FORCE = "force enrolls it anyway"
"""The cure, by the name that it has at every door."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A face that may become a template: the label of its image, its chip, its observation and its embedding."""

    label: str
    chip: Image
    seen: Observation
    vector: Vector


@dataclass(frozen=True, slots=True)
class Assessment:
    """How a person's templates compare with each other and with other people's.

    ``nearest`` is the most similar other person, with their ``score`` and the ``margin`` between mated and non-mated scores.
    ``weakest`` is the view least similar to the others, with its ``weakest_score``. The person is recognized from ``metres``:
    there half of the views are, shrunk to ``pixels`` between the eyes; ``None`` if they are at no distance, or are too few to
    try. ``told`` says that in words; ``advice`` has a sentence for each thing to improve.
    """

    templates: int
    threshold: float
    nearest: str | None = None
    score: float | None = None
    margin: float | None = None
    weakest: str | None = None
    weakest_score: float | None = None
    pixels: float | None = None
    metres: float | None = None
    told: str = ""
    advice: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """The images that were accepted and refused, with the views of the accepted; ``refused`` holds (path or label, reason)."""

    person: Person | None = None
    accepted: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    views: list[View] = field(default_factory=list)


class Enroller:
    """Judges images of a person and enrolls the good ones, all in one transaction."""

    def __init__(self, pipeline: Pipeline, gallery: Gallery) -> None:
        self.pipeline, self._gallery = pipeline, gallery

    def judge(self, label: str, image: Image, name: str, *, force: bool = False) -> View:
        """Return the one face of an image, fit to be a template of ``name``.

        Raises:
            ImageError: there is not exactly one face, it is too small or too poor, or (not with ``force``) it is enrolled under
                another name, or unlike the templates of this one.
        """
        faces = self.pipeline.detector.detect(image)
        if not faces:
            raise ImageError("no face was found")
        size, beside = eye_distance(faces[0]), others(faces)
        if beside:
            raise ImageError(f"{1 + beside} faces were found, it must show one person alone")
        if size < MIN_EYE_DISTANCE:
            pixels, _ = apart(size, MIN_EYE_DISTANCE, 1)
            raise ImageError(f"the face is too small: {pixels} pixels between the eyes, {MIN_EYE_DISTANCE:.0f} are needed")
        view = self.view(label, image, faces[0])
        if view.seen.quality < MIN_QUALITY:
            value, needed = apart(view.seen.quality, MIN_QUALITY)
            raise ImageError(f"the face is too blurred, dark or turned away: quality {value} (needs {needed})")
        if force:
            return view
        if (known := self.known_as(view.seen, name)) and view.seen.match:
            raise ImageError(f"this face is already enrolled as {quoted(known)} (score {view.seen.match.score:.2f}); {FORCE}")
        if unlike := self.unlike(view.vector, name):
            raise ImageError(f"this face is not like that of {quoted(name)}: {unlike}; {FORCE}")
        return view

    def view(self, label: str, image: Image, face: Face, *, living: bool = False) -> View:
        """Make a view of one face of an image, whatever its quality; with ``living``, score whether it looks live."""
        seen = self.pipeline.judge(image, face, enrolling=True, living=living)
        assert seen.embedding is not None  # ``enrolling`` sets no least quality, so every face is embedded
        return View(label, align(image, face.landmarks), seen, seen.embedding.vector)

    def known_as(self, seen: Observation, name: str) -> str | None:
        """Return the other name under which a face is enrolled already, if there is one."""
        match = seen.match
        return match.name if match is not None and match.score >= match.threshold and match.name != name else None

    def unlike(self, vector: Vector, name: str) -> str | None:
        """Return the score of a face with the templates of this name, and the score needed, if the former is too low."""
        templates = self.pipeline.templates
        index = next((number for number, person in enumerate(templates.people) if person.name == name), None)
        if index is None:
            return None
        own = templates.vectors[templates.owners == index]
        score, needed = similarity(own, vector), self.pipeline.embedder.card.threshold(OWN_FAR)
        return scored(score, needed) if score < needed else None

    def alike(self, view: View, views: Sequence[View], far: float) -> bool:
        """Return whether a view may be of the same person as the others, at a false-accept rate of ``far``."""
        if not views:
            return True
        mean = np.mean([other.vector for other in views], axis=0)
        return bool(mean @ view.vector >= np.linalg.norm(mean) * self.pipeline.embedder.card.threshold(far))

    def enroll(self, name: str, images: Iterable[tuple[str, Image | EdgefaceError]], *, force: bool = False) -> Report:
        """Enroll the usable ones of ``images``, given with their labels, as templates of ``name``.

        Raises:
            GalleryError: the name is not usable, or the gallery cannot be written.
        """
        name, report = clean_name(name), Report()
        for label, image in images:
            self.add(report, name, label, image, force=force)
        if report.views:
            report.person = self.keep(name, report.views, force=force)
        return report

    def add(self, report: Report, name: str, label: str, image: Image | EdgefaceError, *, force: bool = False) -> str | None:
        """Judge one more image and add it to the report; return why it is refused, if it is."""
        try:
            if isinstance(image, EdgefaceError):
                raise image
            report.views.append(self.judge(label, image, name, force=force))
        except ImageError as error:
            reason = str(error).removeprefix(f"{label}: ")
            report.refused.append((label, reason))
            return reason
        report.accepted.append(label)
        return None

    def keep(self, name: str, views: Sequence[View], *, force: bool = False) -> Person:
        """Store views as templates of ``name``.

        Raises:
            GalleryError: the name is not usable, there is no view, the gallery cannot be written, or (not with ``force``) a
                face was enrolled under another name since it was judged, or another face under this name.
        """
        for view in [] if force else views:
            if known := self.known_as(replace(view.seen, match=self.pipeline.match(view.vector)), name):
                raise GalleryError(f"this face was enrolled as {quoted(known)} meanwhile; {FORCE}")
            if unlike := self.unlike(view.vector, name):
                raise GalleryError(f"{quoted(name)} was enrolled with another face meanwhile: {unlike}; {FORCE}")
        vectors, qualities = [view.vector for view in views], [view.seen.quality for view in views]
        return self._gallery.enroll(name, vectors, qualities, [view.chip for view in views])


def read_images(paths: Iterable[Path]) -> Iterator[tuple[str, Image | EdgefaceError]]:
    """Yield each image file, or the reason why it cannot be read; a folder stands for the images in it."""
    for path in paths:
        label = os.fsencode(path).decode(errors="replace")
        try:
            if path.is_dir():
                inside = image_files(path)
                if not inside:
                    raise ImageError(f"{label}: there is no image in this folder")
                yield from read_images(inside)
            else:
                yield label, load_image(path)
        except ImageError as error:
            yield label, error
        except OSError as error:
            yield label, ImageError(f"{label}: {error.strerror or error}")
