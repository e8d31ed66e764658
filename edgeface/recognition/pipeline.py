"""Turns a frame into observations: detects, aligns, judges, embeds and matches faces."""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from edgeface import detectors
from edgeface.config import schema
from edgeface.errors import GalleryError
from edgeface.gallery.contents import Templates
from edgeface.gallery.rules import Rules
from edgeface.gallery.store import Gallery
from edgeface.health import GalleryHealth
from edgeface.recognition.matching import Matcher
from edgeface.types import Decision, Face, Image, Match, Observation, Person, Reason, Vector
from edgeface.vision.alignment import align, eye_distance
from edgeface.vision.embedding import Embedder
from edgeface.vision.flaws import flaw
from edgeface.vision.passive_liveness import PassiveLiveness
from edgeface.vision.quality import quality
from edgeface.vision.regions import SortedFaces, sort_faces

log = logging.getLogger(__name__)
RETRY_S = 5.0
"""Seconds before a gallery that could not be read is tried again: a locked one needs as long to fail."""
VISITOR = 0.5
"""Share of the least eye distance from which on a face that is too small is a visitor's, not a passer-by's far away."""
READ_AT_ONCE = 500
"""People who are read between two frames at most, when another program has changed more."""


class Pipeline:
    """Looks at pictures with the detector of the settings, one embedder and the newest state of the gallery.

    A daemon's gallery that cannot be read counts as empty until it can be. ``matcher`` is that of the latest picture.
    """

    def __init__(self, settings: schema.Config, embedder: Embedder, gallery: Gallery) -> None:
        limits = settings.detector
        self.detector = detectors.create(limits.model, max_side=limits.max_side, threads=limits.threads)
        self.embedder, self._gallery, self._settings = embedder, gallery, settings
        self._version: tuple[int, int] | None = None
        self._blind_until = 0.0
        self._failure: str | None = None
        self.rules: Mapping[str, Rules] = {}
        self._announced: tuple[Person, ...] = ()
        self._announced_of: Templates | None = None
        self._take(Templates((), np.empty(0, np.intp), np.empty((0, embedder.card.identity), np.float32)))
        self._refresh()

    @cached_property
    def passive(self) -> PassiveLiveness:
        """The network that scores the looks of faces; it is loaded where it is first asked for."""
        return PassiveLiveness()

    @property
    def templates(self) -> Templates:
        self._refresh()
        return self._templates

    @property
    def announced(self) -> tuple[Person, ...]:
        """Everybody who may be announced: all but ignored people; the same object while nothing changes."""
        self._refresh()
        return self._announced

    @property
    def health(self) -> GalleryHealth:
        if self._failure:
            return GalleryHealth("unreadable" if self._version is None else "stale", self._failure)
        return self._gallery.health

    def search(self, image: Image, camera: schema.CameraSettings | None = None) -> SortedFaces:
        """Find the faces of a camera's picture, by the masks and zones of that camera, or of the first."""
        regions = self._settings.camera if camera is None else camera
        return sort_faces(self.detector.detect(image), (image.shape[1], image.shape[0]), regions)

    def observe(
        self, image: Image, faces: Sequence[Face] | None = None, *, every_face: bool = False, living: bool = False
    ) -> list[Observation]:
        """Observe every face that is large enough; poor views are seen but not matched, unless ``every_face``.

        ``faces`` are those that the detector has found in the image, if it has been asked already;
        ``living`` scores their looks.
        """
        limits = self._settings.detector
        return [
            self.judge(image, face, min_quality=0.0 if every_face else limits.min_quality, living=living)
            for face in (self.detector.detect(image) if faces is None else faces)
            if every_face or eye_distance(face) >= limits.min_eye_distance
        ]

    def too_small(self, faces: Sequence[Face]) -> list[Face]:
        """Return the faces that ``observe`` leaves out, but for those too far away to be a visit."""
        least = self._settings.detector.min_eye_distance
        return [face for face in faces if least * VISITOR <= eye_distance(face) < least]

    def judge(
        self, image: Image, face: Face, *, min_quality: float = 0.0, enrolling: bool = False, living: bool = False
    ) -> Observation:
        """Embed and match one face of an image if its quality allows: as a probe, or with ``enrolling`` as a template.

        With ``living``, score whether it looks live, too.
        """
        chip = align(image, face.landmarks)
        fitness = quality(face, chip)
        if fitness < min_quality:
            return Observation(face, fitness, flaw=flaw(face, chip) or Reason.POOR)
        embedding = (self.embedder.template if enrolling else self.embedder.embed)(chip)
        if min_quality and embedding.norm < self.embedder.card.min_norm:
            return Observation(face, fitness, flaw=flaw(face, chip) or Reason.POOR)
        match = self.match(embedding.vector)
        passive = self.passive.score(image, face.box) if living else None
        unnamed = min_quality and match and match.decision is not Decision.ACCEPT
        return Observation(face, fitness, embedding, match, flaw(face, chip) if unnamed else None, passive)

    def match(self, vector: Vector) -> Match | None:
        self._refresh()
        return self.matcher.match(vector)

    def _refresh(self) -> None:
        """Take in the changes of other processes; while the gallery cannot be read, keep its last state."""
        now = time.monotonic()
        if now < self._blind_until:
            return
        try:
            version = self._gallery.version
            if version != self._version and (self._version is None or self._gallery.catch_up(READ_AT_ONCE)):
                templates = self._gallery.templates()
                if templates is not self._templates:
                    self._take(templates)
                self._take_rules(self._gallery.rules())
                self._version = version
            self._failure = None
        except GalleryError as error:
            if self._version is None:
                if not self._gallery.serving:
                    raise
                self._gallery.let_go(error)
            if str(error) != self._failure:
                known = "nobody" if self._version is None else "what it was"
                log.error("the gallery cannot be read, going on with %s: %s", known, error)
            self._failure, self._blind_until = str(error), now + RETRY_S

    def _take_rules(self, rules: Mapping[str, Rules]) -> None:
        if rules is not self.rules or self._announced_of is not self._templates:
            self.rules, self._announced_of = rules, self._templates
            ignored = {person_id for person_id, theirs in rules.items() if theirs.ignored}
            self._announced = tuple(person for person in self._templates.people if person.id not in ignored)

    def _take(self, templates: Templates) -> None:
        self._templates = templates
        self.matcher = Matcher(templates, self.embedder.card, self._settings.matching)
