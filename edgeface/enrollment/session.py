"""Takes different views of one person from the camera, with a hint at every moment."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeface.enrollment.enroller import FORCE, Enroller, View
from edgeface.enrollment.guidance import Guidance, Hint, Pose, obstacle, pose
from edgeface.errors import CameraError
from edgeface.gallery.names import clean_name
from edgeface.recognition.matching import SAME_VIEW
from edgeface.recognition.visit_liveness import classify
from edgeface.types import Box, Face, Frame, LivenessClass, NoFrame, PassiveScore
from edgeface.vision.alignment import eye_distance
from edgeface.vision.passive_liveness import fuse

LEAST, MOST = 5, 9
STRAIGHT = 0.1
"""Yaw of the first view at most, to either side."""
TURNED, NODDED = 0.06, 0.015
"""Least difference of yaw and pitch from the first view at which a view shows another side of the face."""
SAME_POSE = 0.95
"""Cosine from which two views are of one pose, whatever the landmarks say; see ``SAME_VIEW``."""
MAX_SPEED = 1.5
"""Eye distances that a face may move in a second and still be sharp."""
SIDES: dict[Hint, Callable[[Pose, Pose], bool]] = {
    Hint.TURN_LEFT: lambda first, now: now.yaw - first.yaw >= TURNED,
    Hint.TURN_RIGHT: lambda first, now: first.yaw - now.yaw >= TURNED,
    Hint.LOOK_UP: lambda first, now: first.pitch - now.pitch >= NODDED,
    Hint.LOOK_DOWN: lambda first, now: now.pitch - first.pitch >= NODDED,
}
"""The prompts for a side, each with a test whether a view shows it, compared with the first view."""
NODS = frozenset({Hint.LOOK_UP, Hint.LOOK_DOWN})
"""Sides that landmarks tell badly: any new view counts as the one that is prompted."""
LOOKS = 5
"""The newest views whose looks decide together whether a live face is there."""
ANOTHER_FAR = 0.05
"""False-accept rate of the cosine below which a face is not that of the earlier views."""


class EnrollmentSession:
    """Takes views of one person until enough of them differ.

    The first view looks straight at the camera. Each of the others shows a side that a prompt asks for, or is unlike all views
    before it (a cosine under ``SAME_VIEW``: another expression, light, glasses). The session ends with ``most`` views, or when
    no prompt is left and there are ``least``, or when a round of all prompts has brought nothing, or after ``timeout`` seconds.

    A face that looks like a picture gives no view, unless ``force`` is set.

    With ``varied`` false nobody reads the hints, and every good view counts, until there are ``most``.

    Raises:
        GalleryError: the name is not usable.
    """

    INTERVAL = 0.5
    """Seconds between two views at least."""
    PROMPT_SECONDS = 8.0
    """Seconds that a prompt is shown before the next one."""
    HINT_DELAY = 0.3
    """Seconds that a new hint must hold before it is shown: faces are missed for a frame now and then."""

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
        self._looks = deque[PassiveScore](maxlen=LOOKS)
        self._prompts = deque([*SIDES, Hint.CHANGE] if varied else [])
        self._began = self._time = self._taken_at = self._hint_since = 0.0
        self._prompted, self._unanswered = 0.0, 0
        self._first: Pose | None = None
        self._place: tuple[float, NDArray[np.float32]] | None = None
        self._hint: Hint | None = None
        self._reason = ""
        self.views: list[View] = []
        self.complete = False
        self.guidance = Guidance(Hint.WAITING, Hint.WAITING.words, 0, min(LEAST, most), most)

    def look(self, moment: Frame | NoFrame, faces: Sequence[Face] | None = None) -> Guidance:
        """Take a view at this moment if it is good, and return the guidance; not to be called once ``complete``.

        ``faces`` are those of the frame if it was searched already.
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
        fresh = moment.time - self._hint_since < self.HINT_DELAY
        if fresh and hint not in (Hint.TAKEN, Hint.DONE) and self.guidance.hint != Hint.WAITING:
            self.guidance = replace(self.guidance, face=face)
        else:
            text = hint.words
            if hint == Hint.TAKEN:
                text = f"view {len(self.views)} taken"
            elif self._reason:
                text = f"{text}: {self._reason}"
            self.guidance = replace(self.guidance, hint=hint, text=text, taken=len(self.views), face=face)
        return self.guidance

    def end(self) -> list[View]:
        """Return the views.

        Raises:
            CameraError: there is none.
        """
        if not self.views:
            seconds = min(self._timeout, self._time - self._began)
            cure = f"; {FORCE}" if self.guidance.hint in (Hint.KNOWN, Hint.UNLIKE, Hint.NOT_LIVE) else ""
            raise CameraError(f"no usable view within {seconds:.0f} s; last: {self.guidance.text}{cure}")
        return self.views

    def _see(self, moment: Frame | NoFrame, faces: Sequence[Face] | None, passed: float) -> tuple[Hint, Box | None]:
        """Return the hint for this moment and the face that it is about."""
        if isinstance(moment, NoFrame):
            self._reason = moment.lost or ""
            return (Hint.CAMERA_LOST if moment.lost else Hint.WAITING), None
        if faces is None:
            faces = self._enroller.pipeline.search(moment.image).faces
        hint = obstacle(moment.image, faces) or self._judge(moment, faces[0], passed)
        return hint, faces[0].box if faces else None

    def _judge(self, frame: Frame, face: Face, passed: float) -> Hint:
        """Take the view of a face if it differs from those before it; return the hint."""
        if self._moves(face, frame.time):
            return Hint.HOLD_STILL
        view = self._enroller.view(f"view {len(self.views) + 1}", frame.image, face, living=not self.force)
        if refused := self._refuse(view):
            return refused
        if self.views and frame.time < self._taken_at + self.INTERVAL:
            return Hint.TAKEN
        now = pose(face.landmarks)
        if self._varied and self._first is None and abs(now.yaw) > STRAIGHT:
            return Hint.LOOK_STRAIGHT
        similarity = max((float(taken.vector @ view.vector) for taken in self.views), default=-1.0)
        shown = self._shown(now, similarity)
        if self._varied and not shown and similarity >= SAME_VIEW:
            return self._prompt(passed)
        self._first = self._first or now
        self.views.append(view)
        self._taken_at, self._prompted, self._unanswered = frame.time, 0.0, 0
        self.complete = len(self.views) >= self.guidance.most
        self._prompts = deque(prompt for prompt in self._prompts if prompt not in shown)
        return Hint.TAKEN

    def _refuse(self, view: View) -> Hint | None:
        """Return why a view is not of the person, if it is not."""
        if view.seen.passive and not self._looks_live(view.seen.passive):
            return Hint.NOT_LIVE
        if not self.force:
            if known := self._enroller.known_as(view.seen, self.name):
                self._reason = repr(known)
                return Hint.KNOWN
            if unlike := self._enroller.unlike(view.vector, self.name):
                self._reason = unlike
                return Hint.UNLIKE
        return None if self._enroller.alike(view, self.views, ANOTHER_FAR) else Hint.SOMEONE_ELSE

    def _looks_live(self, latest: PassiveScore) -> bool:
        self._looks.append(latest)
        return classify(fuse(self._looks), self._enroller.pipeline.passive.card) in (None, LivenessClass.LIVE)

    def _moves(self, face: Face, time: float) -> bool:
        """Return whether a face has moved faster than ``MAX_SPEED`` since a view of the last half second."""
        before, self._place = self._place, (time, face.landmarks.mean(axis=0))
        if before is None or not 0 < time - before[0] <= 0.5:
            return False
        way = float(np.linalg.norm(self._place[1] - before[1])) / eye_distance(face)
        return way > MAX_SPEED * (time - before[0])

    def _shown(self, now: Pose, similarity: float) -> set[Hint]:
        if self._first is None or similarity >= SAME_POSE:
            return set()
        shown = {side for side in self._prompts if side in SIDES and SIDES[side](self._first, now)}
        if not shown and similarity < SAME_VIEW and self._prompts and self._prompts[0] in NODS:
            return {self._prompts[0]}
        return shown

    def _prompt(self, passed: float) -> Hint:
        """Return the current prompt, the next one after ``PROMPT_SECONDS``; end the session after a round of all prompts."""
        self._prompted += passed
        if self._prompted >= self.PROMPT_SECONDS and self._prompts:
            self._prompted, self._unanswered = 0.0, self._unanswered + 1
            if len(self.views) >= self.guidance.least:
                self._prompts.popleft()
            else:
                self._prompts.rotate(-1)
        if not self._prompts or self._unanswered > len(self._prompts):
            self.complete = True
            return Hint.DONE
        return self._prompts[0]
