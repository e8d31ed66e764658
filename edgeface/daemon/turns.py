"""Takes the newest moments of several cameras in turn, so that none waits for another."""

import logging
import time
from collections.abc import Iterator, Mapping
from threading import Condition, Thread

from edgeface.daemon.pausable_camera import PausableCamera
from edgeface.interfaces import CAMERA_THREAD, Camera
from edgeface.types import Frame, NoFrame

log = logging.getLogger(__name__)
ENDED = "the recording has ended"
AGAIN = 1.0
"""Seconds between two moments of a camera that gives no more."""


class Turns:
    """Gives the loop the moments of every camera, by the camera's name.

    One camera alone is read in the loop's own thread. Several are each read in a thread, which leaves the newest moment here;
    the loop takes them in turn. A recording waits until its moment is taken; one that has ended counts as lost while others go
    on, as does a camera that can never work.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._readers: list[_Reader] = []
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced here before the loop took them."""
        return self._dropped + sum(reader.dropped for reader in self._readers)

    def moments(self, watched: Mapping[str, Camera]) -> Iterator[tuple[str, Frame | NoFrame]]:
        """Yield each moment until all cameras have ended. A second call goes on, with the cameras that there are then."""
        self._keep(watched)
        if len(watched) == 1 and not self._readers:
            ((name, camera),) = watched.items()
            for moment in camera.frames():
                yield name, moment
            return
        there = {reader.name for reader in self._readers}
        for name, camera in watched.items():
            if name not in there:
                self._readers.append(_Reader(name, camera, self._changed))
        while taken := self._take():
            yield taken

    def close(self) -> None:
        """Let go of all cameras, which are closed, and wait for the threads, unless a camera holds one."""
        readers = tuple(self._readers)
        self._keep({})
        for reader in readers:
            reader.thread.join(timeout=1.0)

    def _keep(self, watched: Mapping[str, Camera]) -> None:
        """Let go of the cameras that are no longer watched."""
        with self._changed:
            for reader in tuple(self._readers):
                if watched.get(reader.name) is not reader.camera:
                    self._readers.remove(reader)
                    self._dropped += reader.dropped
                    reader.gone = True
            self._changed.notify_all()

    def _take(self) -> tuple[str, Frame | NoFrame] | None:
        """Wait for a moment of any camera, and take that of the one whose turn is longest ago; none once all have ended."""
        with self._changed:
            while True:
                if all(reader.ended and not isinstance(reader.moment, Frame) for reader in self._readers):
                    return None
                reader = next((one for one in self._readers if one.moment is not None), None)
                if reader is not None:
                    break
                self._changed.wait()
            self._readers.remove(reader)
            self._readers.append(reader)
            return reader.name, reader.take()


class _Reader:
    """Reads a camera in a thread, into a slot for one moment."""

    def __init__(self, name: str, camera: Camera, changed: Condition) -> None:
        self.name, self.camera, self._changed = name, camera, changed
        self.moment: Frame | NoFrame | None = None
        self.ended = self.gone = False
        self.dropped = 0
        self.thread = Thread(target=self._read, name=CAMERA_THREAD, daemon=True)
        self.thread.start()

    def take(self) -> Frame | NoFrame:
        """Empty the slot. What a camera saw before it was paused is not given out any more."""
        moment, self.moment = self.moment, None
        assert moment is not None
        self._changed.notify_all()
        if isinstance(moment, Frame) and isinstance(self.camera, PausableCamera) and (pause := self.camera.paused()):
            return NoFrame(time.monotonic(), time.time(), paused=pause)
        return moment

    def _read(self) -> None:
        lost = ENDED
        try:
            for moment in self.camera.frames():
                self._deliver(moment)
                if self.gone:
                    return
        except Exception as error:  # the other cameras must survive it
            lost = str(error) or type(error).__name__
            log.error("camera %s: %s", self.name, lost)
        self.ended = True
        while not self.gone:
            self._deliver(NoFrame(time.monotonic(), time.time(), lost))
            with self._changed:
                self._changed.wait_for(lambda: self.gone, AGAIN)

    def _deliver(self, moment: Frame | NoFrame) -> None:
        with self._changed:
            if not self.camera.live:
                self._changed.wait_for(lambda: self.moment is None or self.gone)
            waiting = isinstance(self.moment, Frame)
            if waiting and isinstance(moment, NoFrame) and not (moment.lost or moment.paused):
                return
            self.dropped += waiting and isinstance(moment, Frame)
            self.moment = moment
            self._changed.notify_all()
