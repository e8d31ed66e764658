"""Frames composed of real photos, as a camera at a door sees people, and the real pipeline to look at them."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from edgeface import detectors
from edgeface.config.schema import Config, Gallery, Presence
from edgeface.daemon import assembly
from edgeface.enrollment.enroller import Enrolment, read_images
from edgeface.gallery.open import open_gallery
from edgeface.recognition.tracking import Tracker
from edgeface.types import Frame, Gap
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image

WIDTH, HEIGHT = 640, 480
HEAD = 200
PHOTOS = (Path(__file__).parent / "photos", Path(assembly.__file__).parent.parent / "demo" / "photos")


def photo(name):
    return next(folder / name for folder in PHOTOS if (folder / name).exists())


@cache
def head(name, face=0):
    """The head of a photo's face, by size, as 200 x 200 pixels."""
    image = load_image(photo(name))
    box = detectors.create().detect(image)[face].box
    side = round(1.7 * max(box.width, box.height))
    x, y = round(box.left + box.width / 2 - side / 2), round(box.top + box.height / 2 - side / 2)
    image = cv2.copyMakeBorder(image, side, side, side, side, cv2.BORDER_REPLICATE)
    return cv2.resize(image[y + side : y + 2 * side, x + side : x + 2 * side], (HEAD, HEAD), interpolation=cv2.INTER_AREA)


def frame(*heads):
    """A frame with heads at (name, left, top), or pictures in the place of names; later ones hide earlier ones."""
    picture = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
    for what, left, top in heads:
        cut = head(what) if isinstance(what, str) else what
        right, bottom = min(WIDTH, left + HEAD), min(HEIGHT, top + HEAD)
        picture[max(0, top) : bottom, max(0, left) : right] = cut[max(0, -top) : bottom - top, max(0, -left) : right - left]
    return picture


class Door:
    """The real pipeline and presence, with a gallery of these people's photos, and a clock of ten frames a second."""

    def __init__(self, folder, people, **settings):
        embedder = Embedder()
        card = embedder.card
        config = Config(gallery=Gallery(str(folder / "gallery.db")), presence=Presence(**settings))
        self.gallery = open_gallery(config, card)
        self.pipeline = assembly.pipeline(config, embedder, self.gallery)
        enrolment = Enrolment(self.pipeline, self.gallery)
        for name, photos in people.items():
            assert enrolment.enroll(name, read_images(map(photo, photos))).person
        self.presence = assembly.presence(config, card)
        self.tracker = Tracker(
            same=card.threshold(assembly.SAME_FAR),
            different=card.threshold(assembly.DIFFERENT_FAR),
            keep=config.presence.left_after,
        )
        self.time = 0.0

    def look(self, *heads):
        """What the pipeline sees of the next frame."""
        self.time += 0.1
        return self.pipeline.observe(frame(*heads))

    def see(self, *heads):
        """The events of the next frame."""
        observations = self.look(*heads)
        return self.presence.update(Frame(frame(), self.time, 1e9 + self.time), observations, self.pipeline.matcher)

    def wait(self, seconds):
        """The events of some time without anybody."""
        self.time += seconds
        return self.presence.update(Gap(self.time, 1e9 + self.time), [], self.pipeline.matcher)
