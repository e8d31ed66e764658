"""Plays a folder of images or a video file once, at the set rate."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from threading import Condition

from edgeface.cameras.ffmpeg import Stream
from edgeface.config import schema
from edgeface.config.paths import expand
from edgeface.errors import CameraError, ImageError
from edgeface.types import Frame, Image, NoFrame
from edgeface.vision.images import image_files, load_image

log = logging.getLogger(__name__)


class Recording:
    """Plays images in order, one every ``1 / fps`` seconds; none is dropped for a slow reader."""

    dropped = 0
    GAP = 0.5

    def __init__(self, images: Callable[[], Iterator[Image | None]], fps: float) -> None:
        self._images, self._interval = images, 1.0 / fps
        self._changed = Condition()  # a signal handler may call close() within its lock, but not within an Event's
        self._closed = False
        self._moments = self._play()

    def frames(self) -> Iterator[Frame | NoFrame]:
        """Yield each image when it is due; an unreadable image gives a ``NoFrame``."""
        return self._moments

    def _play(self) -> Iterator[Frame | NoFrame]:
        due = time.monotonic()
        for image in self._images():
            while (early := due - time.monotonic()) > self.GAP and not self._wait(self.GAP):
                yield NoFrame(time.monotonic(), time.time())
            if self._wait(early):
                return
            due = max(due + self._interval, time.monotonic())
            now, wall = time.monotonic(), time.time()
            yield NoFrame(now, wall) if image is None else Frame(image, now, wall)

    def close(self) -> None:
        """End ``frames()``."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, seconds: float) -> bool:
        """Wait until ``close``, ``seconds`` at most; return whether ``close`` was called."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, timeout=max(0.0, seconds))


def open_folder(settings: schema.CameraSettings) -> Recording:
    """Build the camera of ``folder:DIR``: images by name, each shown for ``hold`` seconds.

    Raises:
        CameraError: there is no such folder, or no image in it.
    """
    folder = expand(settings.source.partition(":")[2], "camera.source")
    try:
        paths = image_files(folder)
    except OSError as error:
        raise CameraError(f"camera.source: {folder}: {error.strerror or error}") from None
    if not paths:
        raise CameraError(f"camera.source: there is no image in {folder}")
    repeats = max(1, round(settings.hold * settings.fps))

    def images() -> Iterator[Image | None]:
        for path in paths:
            try:
                image: Image | None = load_image(path, settings.max_pixels)
            except ImageError as error:
                log.warning("camera: %s", error)
                image = None
            for _ in range(repeats):
                yield image

    return Recording(images, settings.fps)


def open_video(settings: schema.CameraSettings) -> Recording:
    """Build the camera of ``video:FILE``: ``fps`` frames for each second of the film.

    Raises:
        CameraError: the file is missing or no video.
    """
    path = expand(settings.source.partition(":")[2], "camera.source")
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises if a folder on the way is closed)
        raise CameraError(f"camera.source: there is no file {path}, or you may not see it")
    name = f"camera.source: {path}"
    try:
        probe = Stream(str(path), name, settings.max_pixels)
    except CameraError:
        raise CameraError(f"{name} is not a video that can be read") from None
    own_fps = probe.fps or settings.fps
    try:
        probe.read()
    finally:
        probe.close()

    def images() -> Iterator[Image | None]:
        stream = Stream(str(path), name, settings.max_pixels)
        try:
            due = 0.0
            number = 0
            while stream.grab():
                if number >= due:
                    yield _retrieved(stream)
                    due += max(1.0, own_fps / settings.fps)
                number += 1
        finally:
            stream.close()

    return Recording(images, min(settings.fps, own_fps))


def _retrieved(stream: Stream) -> Image | None:
    try:
        return stream.retrieve()
    except CameraError as error:
        log.warning("camera: %s", error)
        return None
