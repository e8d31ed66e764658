"""A sitting: moments of a camera -> different views of one person, with an instruction at every moment."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeface.enrollment.enroller import FORCE, Enroller, View
from edgeface.enrollment.guidance import SAID, Guidance, Hint, Pose, obstacle, pose
from edgeface.errors import CameraError
from edgeface.gallery.names import clean_name
from edgeface.recognition.matching import SAME_VIEW
from edgeface.types import Box, Face, Frame, NoFrame
from edgeface.vision.alignment import eye_distance

LEAST, MOST = 5, 9
STRAIGHT = 0.1
"""Yaw of the first view at most, to either side."""
TURNED, NODDED = 0.06, 0.015
"""How far yaw and pitch must be from those of the first view to show another side of the face."""
SAME_PICTURE = 0.95
"""Cosine from which two views are of one pose, whatever the landmarks say; see ``SAME_VIEW``."""
HURRY = 1.5
"""Distances between the eyes that a face may move in a second, and be sharp."""
SIDES: dict[Hint, Callable[[Pose, Pose], bool]] = {
    Hint.TURN_LEFT: lambda first, now: now.yaw - first.yaw >= TURNED,
    Hint.TURN_RIGHT: lambda first, now: first.yaw - now.yaw >= TURNED,
    Hint.LOOK_UP: lambda first, now: first.pitch - now.pitch >= NODDED,
    Hint.LOOK_DOWN: lambda first, now: now.pitch - first.pitch >= NODDED,
}
"""What is asked for, and whether a view shows it, compared with the first one."""
NODS = frozenset({Hint.LOOK_UP, Hint.LOOK_DOWN})
"""Sides that landmarks tell badly: what is new while one is asked for counts as it."""
ANOTHER_FAR = 0.05
"""False-accept rate of the cosine under which a face is not the one whose views were taken before."""


class EnrollmentSession:
    """Takes views of one person until there are enough that differ.

    The first looks straight at the camera. Of the others each shows another side, which is asked for, or is unlike all that
    were taken (a cosine under ``SAME_VIEW``: another expression, light, glasses). It ends with ``most`` views, or when no wish
    is left and there are ``least``, or when a round of all wishes has brought nothing, or after ``timeout`` seconds.

    With ``varied`` false nobody reads the hints, and every good view counts, until there are ``most``.

    Raises:
        GalleryError: the name is not usable.
    """

    INTERVAL = 0.5
    """Seconds between two views at least."""
    PATIENCE = 8.0
    """Seconds that a wish is shown before the next one."""
    CALM = 0.3
    """Seconds that a hint must hold before it is told: faces are missed for a frame now and then."""

    def __init__(
        self,
        enroller: Enroller,
        name: str,
        *,
        most: int = MOST,
        timeout: float = 60.0,
        force: bool = False,
        varied: bool = True,
    ) -> None:
        self.name, self.force = clean_name(name), force
        self._enroller, self._timeout, self._varied = enroller, timeout, varied
        self._wishes = deque([*SIDES, Hint.CHANGE] if varied else [])
        self._began = self._time = self._taken_at = self._hint_since = 0.0
        self._asked, self._barren = 0.0, 0
        self._first: Pose | None = None
        self._place: tuple[float, NDArray[np.float32]] | None = None
        self._hint: Hint | None = None
        self._reason = ""
        self.views: list[View] = []
        self.complete = False
        self.guidance = Guidance(Hint.WAITING, SAID[Hint.WAITING], 0, min(LEAST, most), most)

    def look(self, moment: Frame | NoFrame, faces: Sequence[Face] | None = None) -> Guidance:
        """Take in a moment, and return what to tell the person now; ``faces`` are those of the frame, if it was searched.

        Once ``complete``, there is no more to look at.
        """
        if self._hint is None:
            self._began = self._time = moment.time
        passed, self._time = min(1.0, moment.time - self._time), moment.time
        self._reason = ""
        hint, face = self._see(moment, faces, passed)
        if hint != self._hint:
            self._hint, self._hint_since = hint, moment.time
        if moment.time - self._began >= self._timeout:
            self.complete = True
        if self.complete and self.views:
            hint = Hint.DONE
        told = self.guidance.hint
        if hint not in (Hint.TAKEN, Hint.DONE) and told != Hint.WAITING and moment.time - self._hint_since < self.CALM:
            self.guidance = replace(self.guidance, face=face)
        else:
            text = SAID[hint]
            if hint == Hint.TAKEN:
                text = f"view {len(self.views)} taken"
            elif self._reason:
                text = f"{text}: {self._reason}"
            self.guidance = replace(self.guidance, hint=hint, text=text, taken=len(self.views), face=face)
        return self.guidance

    def end(self) -> list[View]:
        """The views, in the end.

        Raises:
            CameraError: there is none.
        """
        if not self.views:
            seconds = min(self._timeout, self._time - self._began)
            cure = f"; {FORCE}" if self.guidance.hint in (Hint.KNOWN, Hint.UNLIKE) else ""
            raise CameraError(f"no usable view within {seconds:.0f} s; last: {self.guidance.text}{cure}")
        return self.views

    def _see(self, moment: Frame | NoFrame, faces: Sequence[Face] | None, passed: float) -> tuple[Hint, Box | None]:
        """What hinders, else what is wished; a view that is worth it is taken on the way."""
        if isinstance(moment, NoFrame):
            self._reason = moment.lost or ""
            return (Hint.CAMERA_LOST if moment.lost else Hint.WAITING), None
        if faces is None:
            faces = self._enroller.detect(moment.image)
        box = faces[0].box if faces else None
        hint = obstacle(moment.image, faces)
        if hint:
            return hint, box
        if self._moves(faces[0], moment.time):
            return Hint.HOLD_STILL, box
        view = self._enroller.view(f"view {len(self.views) + 1}", moment.image, faces[0])
        known = None if self.force else self._enroller.known_as(view.seen, self.name)
        if known:
            self._reason = repr(known)
            return Hint.KNOWN, box
        unlike = None if self.force else self._enroller.unlike(view.vector, self.name)
        if unlike:
            self._reason = unlike
            return Hint.UNLIKE, box
        if not self._enroller.alike(view, self.views, ANOTHER_FAR):
            return Hint.SOMEONE_ELSE, box
        if self.views and moment.time < self._taken_at + self.INTERVAL:
            return Hint.TAKEN, box
        now = pose(faces[0].landmarks)
        if self._varied and self._first is None and abs(now.yaw) > STRAIGHT:
            return Hint.LOOK_STRAIGHT, box
        similarity = max((float(taken.vector @ view.vector) for taken in self.views), default=-1.0)
        shown = self._shown(now, similarity)
        if not self._varied or shown or similarity < SAME_VIEW:
            self._take(view, now, moment.time)
            self._wishes = deque(wish for wish in self._wishes if wish not in shown)
            return Hint.TAKEN, box
        return self._wish(passed), box

    def _moves(self, face: Face, time: float) -> bool:
        """Whether a face has come from elsewhere within the last half second."""
        before, self._place = self._place, (time, face.landmarks.mean(axis=0))
        if before is None or not 0 < time - before[0] <= 0.5:
            return False
        way = float(np.linalg.norm(self._place[1] - before[1])) / eye_distance(face)
        return way > HURRY * (time - before[0])

    def _shown(self, now: Pose, similarity: float) -> set[Hint]:
        """The wishes that a view fulfils."""
        if self._first is None or similarity >= SAME_PICTURE:
            return set()
        shown = {side for side in self._wishes if side in SIDES and SIDES[side](self._first, now)}
        if not shown and similarity < SAME_VIEW and self._wishes and self._wishes[0] in NODS:
            return {self._wishes[0]}
        return shown

    def _take(self, view: View, now: Pose, time: float) -> None:
        self._first = self._first or now
        self.views.append(view)
        self._taken_at, self._asked, self._barren = time, 0.0, 0
        self.complete = len(self.views) >= self.guidance.most

    def _wish(self, passed: float) -> Hint:
        """The wish of now; after some patience the next one, and after a round of them the end."""
        self._asked += passed
        if self._asked >= self.PATIENCE and self._wishes:
            self._asked, self._barren = 0.0, self._barren + 1
            if len(self.views) >= self.guidance.least:
                self._wishes.popleft()
            else:
                self._wishes.rotate(-1)
        if not self._wishes or self._barren > len(self._wishes):
            self.complete = True
            return Hint.DONE
        return self._wishes[0]
