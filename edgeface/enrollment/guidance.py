"""Chooses, from the faces in a frame, one instruction of a fixed vocabulary for the person to be enrolled.

Left and right are the person's own. The picture must not be mirrored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from edgeface.types import Box, Face, Image, Landmarks
from edgeface.vision.alignment import align, eye_distance
from edgeface.vision.quality import frontality, quality, quality_parts, sharpness

MIN_EYE_DISTANCE = 24.0
"""Pixels between the eyes that a template needs."""
GOOD_EYE_DISTANCE = 32.0
"""Pixels between the eyes up to which a person before the camera is asked to come closer."""
MIN_QUALITY = 0.5
BACKGROUND = 0.25
"""Share of the largest face's eye distance below which a face is somebody far behind, not a second person."""
DARK, BRIGHT = 45.0, 215.0
"""Mean grey of a face that is too dark or too bright to judge, of 255."""
SOFT = 45.0
"""Sharpness below which a face moves or is out of focus."""
FILLS = 0.8
"""Share of the picture's height or width that a face may fill."""
ASIDE = 0.6
"""Frontality below which a face has turned too far."""
ROOM = 1.1
"""Least distance from the middle of a face to the edge of the picture, in eye distances."""


class Hint(StrEnum):
    """An instruction, or the state of the session."""

    WAITING = "waiting"
    CAMERA_LOST = "camera_lost"
    NOBODY = "nobody"
    SOMEONE_ELSE = "someone_else"
    COME_CLOSER = "come_closer"
    STEP_BACK = "step_back"
    TO_THE_MIDDLE = "to_the_middle"
    MORE_LIGHT = "more_light"
    TOO_BRIGHT = "too_bright"
    HOLD_STILL = "hold_still"
    UNCOVERED = "uncovered"
    LOOK_STRAIGHT = "look_straight"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    LOOK_UP = "look_up"
    LOOK_DOWN = "look_down"
    CHANGE = "change"
    KNOWN = "known"
    UNLIKE = "unlike"
    TAKEN = "taken"
    DONE = "done"


SAID = {
    Hint.WAITING: "waiting for the camera",
    Hint.CAMERA_LOST: "the camera gives no picture",
    Hint.NOBODY: "nobody is there: stand before the camera",
    Hint.SOMEONE_ELSE: "someone else is in the picture",
    Hint.COME_CLOSER: "come closer",
    Hint.STEP_BACK: "step back",
    Hint.TO_THE_MIDDLE: "move to the middle of the picture",
    Hint.MORE_LIGHT: "more light on the face",
    Hint.TOO_BRIGHT: "too bright: less light on the face",
    Hint.HOLD_STILL: "hold still",
    Hint.UNCOVERED: "show the whole face, with nothing before it",
    Hint.LOOK_STRAIGHT: "look straight at the camera",
    Hint.TURN_LEFT: "turn a little left",
    Hint.TURN_RIGHT: "turn a little right",
    Hint.LOOK_UP: "look up a little",
    Hint.LOOK_DOWN: "look down a little",
    Hint.CHANGE: "change something: smile, or put glasses on or off",
    Hint.KNOWN: "this face is already enrolled under another name",
    Hint.UNLIKE: "this face is not like the one enrolled under this name",
    Hint.TAKEN: "taken",
    Hint.DONE: "that is all, thank you",
}
"""Each hint in words."""


@dataclass(frozen=True, slots=True)
class Guidance:
    """The hint at one moment, in words and with the face that it is about.

    ``taken`` views are taken, ``least`` are wanted, and the session ends at ``most``.
    """

    hint: Hint
    text: str
    taken: int
    least: int
    most: int
    face: Box | None = None


@dataclass(frozen=True, slots=True)
class Pose:
    """The direction of a face, as its landmarks show it: a turn of 20 degrees is 0.06, a nod of 20 degrees about 0.02.

    ``yaw``: the nose's position between the eyes, in eye distances; 0 is straight, positive is to the person's left.
    ``pitch``: the nose's position from eyes to mouth, 0 to 1; it grows as the person looks down. Its value for straight differs
    from face to face.
    """

    yaw: float
    pitch: float


def pose(landmarks: Landmarks) -> Pose:
    """Compute the direction of a face from its five landmarks; a tilted head makes no difference."""
    right, left, nose, *mouth = landmarks.astype(np.float64)
    across, eyes = left - right, (right + left) / 2
    along = sum(mouth) / 2 - eyes
    return Pose(
        float((nose - eyes) @ across / max(float(across @ across), 1e-9)),
        float((nose - eyes) @ along / max(float(along @ along), 1e-9)),
    )


def others(faces: Sequence[Face]) -> int:
    """Count the people beside the largest face, which comes first."""
    return sum(eye_distance(face) > BACKGROUND * eye_distance(faces[0]) for face in faces[1:])


def obstacle(image: Image, faces: Sequence[Face]) -> Hint | None:
    """Return the first fault that keeps the faces of an image, largest first, from being one good view."""
    if not faces:
        level = float(image[::8, ::8].mean())
        return Hint.MORE_LIGHT if level < DARK / 2 else Hint.TOO_BRIGHT if level > BRIGHT else Hint.NOBODY
    face, (height, width) = faces[0], image.shape[:2]
    if others(faces):
        return Hint.SOMEONE_ELSE
    if eye_distance(face) < GOOD_EYE_DISTANCE:
        return Hint.COME_CLOSER
    box = face.box
    if box.height > FILLS * height or box.width > FILLS * width:
        return Hint.STEP_BACK
    x, y = face.landmarks.mean(axis=0)
    if min(x, y, width - x, height - y) < ROOM * eye_distance(face):
        return Hint.TO_THE_MIDDLE
    return _flaw(face, align(image, face.landmarks))


def _flaw(face: Face, chip: Image) -> Hint | None:
    """Return the fault of one face: its light, pose or sharpness, else the part that lowers its quality most."""
    level = float(cv2.cvtColor(chip[16:-16, 16:-16], cv2.COLOR_RGB2GRAY).mean())
    light = Hint.MORE_LIGHT if level < (DARK + BRIGHT) / 2 else Hint.TOO_BRIGHT
    if not DARK <= level <= BRIGHT:
        return light
    if frontality(face.landmarks) < ASIDE:
        return Hint.LOOK_STRAIGHT
    if sharpness(chip) < SOFT:
        return Hint.HOLD_STILL
    if quality(face, chip) >= MIN_QUALITY:
        return None
    parts = quality_parts(face, chip)
    cures = {
        "size": Hint.COME_CLOSER,
        "sharpness": Hint.HOLD_STILL,
        "exposure": light,
        "pose": Hint.LOOK_STRAIGHT,
        "confidence": Hint.UNCOVERED,
    }
    return cures[min(parts, key=lambda part: parts[part])]
