"""Decides which frames are searched for faces: those in which something moves, and some others for safety's sake."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.types import Frame, Image

CELLS = (80, 60)
"""Columns and rows in which pictures are compared: of 640 x 480, a cell is the mean of 8 x 8 pixels, which have more noise."""
CHANGE = 5.0
"""Grey levels by which a cell differs at least where something moved."""
NOISES = 6.0
"""Multiples of the picture's noise by which it differs at least, too."""
MOST_NOISE = 4.0
"""Grey levels of noise in a cell at most, as in a very dark picture: if most cells change by more, the scene has changed."""
MOVED = 3
"""Cells that must differ. The smallest face that is recognized covers about sixteen."""
SETTLED = 10.0
"""Seconds without motion after which a found face is searched for less often: it may be a poster."""
FACES_EVERY = 0.5
"""Seconds between two such searches."""


class MotionGate:
    """Decides for each frame whether to search it for faces.

    A frame is compared with the one that was searched last, so that slow motion adds up. A change of the whole picture alike is
    light, not motion. Once a face is found, every frame is searched until nothing has moved for long, or the face has been gone
    for ``left_after`` seconds. At most ``still_every`` seconds pass without a search.
    """

    def __init__(self, still_every: float, left_after: float) -> None:
        self._every, self._keep = still_every, left_after
        self._with_faces = min(FACES_EVERY, left_after / 3)
        self._searched: NDArray[np.int16] | None = None
        self._latest = self._moved = self._faces = -math.inf
        self._now: NDArray[np.int16] | None = None

    def wants(self, frame: Frame) -> bool:
        if not self._every:
            return True
        self._now = _small(frame.image)
        if self._differs(self._now):
            self._moved = frame.time
            return True
        return frame.time - self._latest >= self._pause(frame.time)

    def searched(self, time: float, faces: int) -> None:
        """Take note that the last frame given to ``wants`` was searched, and had ``faces`` faces."""
        self._searched, self._latest = self._now, time
        if faces:
            self._faces = time

    def _pause(self, time: float) -> float:
        """Return the seconds that may pass without a search while nothing moves."""
        if time - self._faces > self._keep:
            return self._every
        return 0.0 if time - self._moved <= SETTLED else min(self._every, self._with_faces)

    def _differs(self, now: NDArray[np.int16]) -> bool:
        before = self._searched
        if before is None or before.shape != now.shape:
            return True
        change = now - before
        change -= np.int16(np.median(change))
        np.abs(change, out=change)
        noise = min(MOST_NOISE, 1.5 * float(np.median(change)))  # sigma of normal noise, whatever a part does
        return int(np.count_nonzero(change > max(CHANGE, NOISES * noise))) >= MOVED


def _small(image: Image) -> NDArray[np.int16]:
    """Return the grey means of a picture's cells; an upright picture has columns and rows exchanged."""
    height, width = image.shape[:2]
    cells = CELLS if width >= height else CELLS[::-1]
    return np.asarray(cv2.cvtColor(cv2.resize(image, cells, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY), np.int16)
