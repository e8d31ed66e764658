"""A whole daemon in a thread of this process, before whose camera a test puts what it likes."""

import time
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import msgspec
import numpy as np
from broker import eventually

from edgeface.config.schema import Config
from edgeface.daemon import assembly
from edgeface.enrollment.enroller import Enrolment, read_images
from edgeface.gallery.open import open_gallery
from edgeface.types import Frame, Gap
from edgeface.vision.embedding import Embedder

EMPTY = np.full((480, 640, 3), 127, np.uint8)


class Stage:
    """A camera that shows ``scene`` twenty times a second: an image, nothing yet (``None``), or why it is lost."""

    dropped = 0

    def __init__(self):
        self.scene = EMPTY
        self._closed = Flag()

    def frames(self):
        while not self._closed.wait(0.05):
            at = time.monotonic(), time.time()
            yield Frame(self.scene, *at) if isinstance(self.scene, np.ndarray) else Gap(*at, self.scene)

    def close(self):
        self._closed.set()


def settings(folder: Path, broker, **sections) -> Config:
    """A device called door with a camera called front, which is quick to see that somebody has left."""
    given = {
        "device": {"id": "door"},
        "camera": {"name": "front"},
        "gallery": {"path": str(folder / "gallery.db")},
        "presence": {"left_after": 0.5},
        "mqtt": broker.settings(),
    }
    for name, values in sections.items():
        given[name] = given.get(name, {}) | values
    return msgspec.convert(given, Config)


def enroll(config: Config, name: str, photo: Path) -> str:
    """Enrol somebody from a photo, as another process would; gives the id."""
    embedder = Embedder()
    gallery = open_gallery(config, embedder.card)
    try:
        return Enrolment(assembly.pipeline(config, embedder, gallery), gallery).enroll(name, read_images([photo])).person.id
    finally:
        gallery.close()


@contextmanager
def running(config: Config):
    """The stage of a daemon that runs meanwhile."""
    stage, faults = Stage(), []

    def live():
        try:
            assembly.daemon(config, camera=stage).run()
        except BaseException as fault:
            faults.append(fault)
            raise

    thread = Thread(target=live, daemon=True)
    thread.start()
    try:
        yield stage
    finally:
        stage.close()
        assert eventually(lambda: not thread.is_alive(), 30)
        assert not faults
