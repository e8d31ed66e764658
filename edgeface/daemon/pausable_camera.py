"""Closes the camera while it is paused, and opens it again."""

import time
from collections.abc import Callable, Iterator
from threading import Condition

from edgeface.interfaces import Camera
from edgeface.types import Frame, NoFrame, Paused


class PausableCamera(Camera):
    """A camera that gives no frame while ``paused`` returns a pause.

    A live one is closed meanwhile, and a new one is made after that; a recording waits where it is.
    """

    GAP = 0.5

    def __init__(self, make: Callable[[], Camera], paused: Callable[[], Paused | None]) -> None:
        self._make, self.paused, camera = make, paused, make()
        self._camera: Camera | None = camera
        self._live = camera.live
        self._dropped = 0
        self._changed = Condition()
        self._closed = False
        self._moments = self._watch()

    @property
    def live(self) -> bool:
        return self._live

    @property
    def dropped(self) -> int:
        camera = self._camera
        return self._dropped + (camera.dropped if camera else 0)

    def frames(self) -> Iterator[Frame | NoFrame]:
        return self._moments

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if camera := self._camera:
            camera.close()

    def _watch(self) -> Iterator[Frame | NoFrame]:
        while not self._closed:
            if pause := self.paused():
                if self._live:
                    self._release()
                yield NoFrame(time.monotonic(), time.time(), paused=pause)
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, self.GAP)
                continue
            self._camera = self._camera or self._make()
            moment = next(self._camera.frames(), None)
            if moment is None:
                return
            yield moment
        self._release()  # a camera that was made while another thread closed this one

    def _release(self) -> None:
        if camera := self._camera:
            self._camera = None
            camera.close()
            self._dropped += camera.dropped
