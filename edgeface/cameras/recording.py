"""Plays a folder of images or a video file once, at the set rate."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import repeat
from threading import Condition

from edgeface.cameras.ffmpeg import Stream
from edgeface.config import schema
from edgeface.config.paths import expand
from edgeface.errors import CameraError, ImageError, os_errors_as
from edgeface.types import Frame, Image, NoFrame
from edgeface.vision.images import image_files, load_image

log = logging.getLogger(__name__)


class Recording:
    """Plays images in order, one every ``1 / fps`` seconds; none is dropped for a slow reader."""

    live, dropped = False, 0
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
    """Build the camera of ``folder:DIR``: images by name, ``hold`` seconds each. Raise ``CameraError`` if there is no image."""
    folder = expand(settings.source.partition(":")[2], "camera.source")
    with os_errors_as(CameraError, f"camera.source: {folder}"):
        paths = image_files(folder)
    if not paths:
        raise CameraError(f"camera.source: there is no image in {folder}")
    repeats = max(1, round(settings.hold * settings.fps))

    def images() -> Iterator[Image | None]:
        for path in paths:
            yield from repeat(_readable(partial(load_image, path, settings.max_pixels)), repeats)

    return Recording(images, settings.fps)


def open_video(settings: schema.CameraSettings) -> Recording:
    """Build the camera of ``video:FILE``: ``fps`` frames for each second of the film. Raise ``CameraError`` if it is none."""
    path = expand(settings.source.partition(":")[2], "camera.source")
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises if a folder on the way is closed)
        raise CameraError(f"camera.source: there is no file {path}, or you may not see it")
    name = f"camera.source: {path}"
    opened = partial(Stream, str(path), name, settings.max_pixels)
    try:
        probe = opened()
    except CameraError:
        raise CameraError(f"{name} is not a video that can be read") from None
    with closing(probe):
        own_fps = probe.fps or settings.fps
        probe.read()

    def images() -> Iterator[Image | None]:
        with closing(opened()) as stream:
            due, number = 0.0, 0
            while stream.grab():
                if number >= due:
                    yield _readable(stream.retrieve)
                    due += max(1.0, own_fps / settings.fps)
                number += 1

    return Recording(images, min(settings.fps, own_fps))


def _readable(read: Callable[[], Image]) -> Image | None:
    """Read an image; if it is damaged, warn and return ``None``."""
    try:
        return read()
    except (CameraError, ImageError) as error:
        log.warning("camera: %s", error)
        return None
