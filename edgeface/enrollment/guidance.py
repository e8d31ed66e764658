"""Chooses, from the faces in a frame, one instruction of a fixed vocabulary for the person to be enrolled.

Left and right are the person's own. The picture must not be mirrored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

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
    """An instruction, or the state of the session; ``words`` says it to people."""

    words: str

    def __new__(cls, value: str, words: str) -> Self:
        hint = str.__new__(cls, value)
        hint._value_, hint.words = value, words
        return hint

    WAITING = "waiting", "waiting for the camera"
    CAMERA_LOST = "camera_lost", "the camera gives no picture"
    NOBODY = "nobody", "nobody is there: stand before the camera"
    SOMEONE_ELSE = "someone_else", "someone else is in the picture"
    COME_CLOSER = "come_closer", "come closer"
    STEP_BACK = "step_back", "step back"
    TO_THE_MIDDLE = "to_the_middle", "move to the middle of the picture"
    MORE_LIGHT = "more_light", "more light on the face"
    TOO_BRIGHT = "too_bright", "too bright: less light on the face"
    HOLD_STILL = "hold_still", "hold still"
    UNCOVERED = "uncovered", "show the whole face, with nothing before it"
    LOOK_STRAIGHT = "look_straight", "look straight at the camera"
    TURN_LEFT = "turn_left", "turn a little left"
    TURN_RIGHT = "turn_right", "turn a little right"
    LOOK_UP = "look_up", "look up a little"
    LOOK_DOWN = "look_down", "look down a little"
    CHANGE = "change", "change something: smile, or put glasses on or off"
    KNOWN = "known", "this face is already enrolled under another name"
    NOT_LIVE = "not_live", "this looks like a picture: come in person"
    UNLIKE = "unlike", "this face is not like the one enrolled under this name"
    TAKEN = "taken", "taken"
    DONE = "done", "that is all, thank you"


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
