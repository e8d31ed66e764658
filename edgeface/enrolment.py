"""Enrolment: images of one person -> templates, and every image that will not do refused with its reason."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgeface.errors import CameraError, EdgefaceError, ImageError
from edgeface.gallery import Gallery, clean_name
from edgeface.imaging import eye_distance, image_files, load_image
from edgeface.interfaces import Camera
from edgeface.pipeline import Pipeline
from edgeface.types import Frame, Gap, Image, Observation, Person

MIN_EYE_DISTANCE = 24.0
MIN_QUALITY = 0.5
BACKGROUND = 0.25
"""A face this much smaller than the largest is somebody far behind, not a second person in the picture."""


@dataclass(slots=True)
class Report:
    """What became of each image: ``refused`` holds (path or label, reason)."""

    person: Person | None = None
    accepted: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


class Enrolment:
    """Judges images and enrols the good ones, all together in one transaction."""

    def __init__(self, pipeline: Pipeline, gallery: Gallery) -> None:
        self._pipeline, self._gallery = pipeline, gallery

    def judge(self, image: Image, name: str, *, force: bool = False) -> Observation:
        """The one face of an image, fit to be a template of ``name``.

        Raises:
            ImageError: there is not exactly one face, it is too small or too poor, or it is enrolled under another name
                (not with ``force``).
        """
        faces = self._pipeline.detector.detect(image)
        if not faces:
            raise ImageError("no face was found")
        size = eye_distance(faces[0])
        others = [face for face in faces[1:] if eye_distance(face) > BACKGROUND * size]
        if others:
            raise ImageError(f"{1 + len(others)} faces were found, it must show one person alone")
        if size < MIN_EYE_DISTANCE:
            raise ImageError(f"the face is too small: {size:.0f} pixels between the eyes, {MIN_EYE_DISTANCE:.0f} are needed")
        seen = self._pipeline.judge(image, faces[0], enrolling=True)
        if seen.quality < MIN_QUALITY:
            raise ImageError(
                f"the face is too blurred, dark or turned away: quality {seen.quality:.2f}, {MIN_QUALITY} is needed"
            )
        match = seen.match
        if match is not None and match.score >= match.threshold and match.name != name and not force:
            raise ImageError(
                f"this face is already enrolled as {match.name!r} (score {match.score:.2f}); force enrols it anyway"
            )
        return seen

    def enroll(self, name: str, images: Iterable[tuple[str, Image | EdgefaceError]], *, force: bool = False) -> Report:
        """Enrol what is usable of ``images``, given with their labels, as templates of ``name``.

        Raises:
            GalleryError: the name is not usable, or the gallery cannot be written.
        """
        name, report, seen = clean_name(name), Report(), []
        for label, image in images:
            try:
                if isinstance(image, EdgefaceError):
                    raise image
                seen.append(self.judge(image, name, force=force))
                report.accepted.append(label)
            except ImageError as error:
                report.refused.append((label, str(error).removeprefix(f"{label}: ")))
        if seen:
            vectors = [view.embedding.vector for view in seen if view.embedding is not None]
            report.person = self._gallery.enroll(name, vectors, [view.quality for view in seen])
        return report

    def capture(
        self, camera: Camera, name: str, wanted: int, timeout: float, tell: Callable[[str], None], *, force: bool = False
    ) -> Iterator[tuple[str, Image]]:
        """The first ``wanted`` usable views of a live camera, half a second apart at least.

        Raises:
            CameraError: the camera gave no usable view within ``timeout`` seconds.
        """
        sitting, deadline, told = Sitting(self, name, wanted, force=force), time.monotonic() + timeout, ""
        for moment in camera.frames():
            if sitting.look(moment):
                yield sitting.views[-1]
            if sitting.hint and sitting.hint != told:
                tell(sitting.hint)
                told = sitting.hint
            if sitting.complete:
                return
            if time.monotonic() > deadline:
                break
        sitting.end(timeout)


class Sitting:
    """Takes the first ``wanted`` usable views of one person from moments of a camera, half a second apart at least."""

    INTERVAL = 0.5

    def __init__(self, enrolment: Enrolment, name: str, wanted: int, *, force: bool = False) -> None:
        self._enrolment, self._name, self._wanted, self._force = enrolment, clean_name(name), wanted, force
        self._earliest = 0.0
        self.views: list[tuple[str, Image]] = []
        self.hint = ""

    @property
    def complete(self) -> bool:
        """Whether there are as many views as wanted."""
        return len(self.views) >= self._wanted

    def look(self, moment: Frame | Gap) -> bool:
        """Whether this moment gave a view; ``hint`` tells the sitter."""
        if isinstance(moment, Gap):
            self.hint = moment.lost or "no frame yet"
            return False
        if moment.time < self._earliest:
            return False
        try:
            self._enrolment.judge(moment.image, self._name, force=self._force)
        except ImageError as error:
            self.hint = str(error)
            return False
        self._earliest = moment.time + self.INTERVAL
        self.hint = f"view {len(self.views) + 1} of {self._wanted}"
        self.views.append((f"view {len(self.views) + 1}", moment.image))
        return True

    def end(self, seconds: float) -> None:
        """The time is over.

        Raises:
            CameraError: there is no view.
        """
        if not self.views:
            raise CameraError(f"no usable view within {seconds:.0f} s; the last hint was: {self.hint or 'none'}")


def read_images(paths: Iterable[Path]) -> Iterator[tuple[str, Image | EdgefaceError]]:
    """Each image file, or why it cannot be read; a folder stands for the images in it."""
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
