"""Defines the values that travel through edgeface: frozen, and without behaviour.

Images are ``uint8`` arrays of shape (height, width, 3) in RGB order. Boxes and landmarks are in pixels of the frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # RGB picture, ``uint8``, shape (height, width, 3)

Vector = NDArray[np.float32]  # unit vector, or the mean of several, ``float32``, shape (dimensions,)

Landmarks = NDArray[np.float32]
"""Right eye, left eye, nose, right and left mouth corner (the subject's sides); ``float32``, shape (5, 2), as (x, y)."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the frame; it may reach over the frame's edge."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a camera.

    ``time`` is monotonic seconds, for every duration; ``wall`` is seconds since the Unix epoch, for people and payloads.
    """

    image: Image
    time: float
    wall: float


@dataclass(frozen=True, slots=True)
class Paused:
    """A pause of the camera: ``since`` when, ``until`` when if that is known, in seconds since the Unix epoch, and ``why``."""

    since: float
    until: float | None
    why: str


@dataclass(frozen=True, slots=True)
class NoFrame:
    """A moment at which the camera had no new frame to give.

    ``lost`` says why the camera counts as lost, if it does. ``stuck`` is true when a call of the driver has not returned for a
    minute: only a restart of the process can help. While the camera is ``paused``, it is closed.
    """

    time: float
    wall: float
    lost: str | None = None
    stuck: bool = False
    paused: Paused | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A detected face; ``score`` is the detector's confidence, 0 to 1."""

    box: Box
    landmarks: Landmarks
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """The embedding of one chip: a unit vector for the identity, and its norm before normalisation."""

    vector: Vector
    norm: float


@dataclass(frozen=True, slots=True)
class PassiveScore:
    """Probabilities, which sum to 1, that a live person is before the camera, a screen or a print, judged by the looks."""

    live: float
    screen: float
    print: float


class LivenessClass(StrEnum):
    """What shows the face of a track: a live person, a screen, a print, or nothing that the views tell."""

    LIVE = "live"
    SCREEN = "screen"
    PRINT = "print"
    UNDECIDED = "undecided"


class Decision(StrEnum):
    ACCEPT = "accept"
    UNSURE = "unsure"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Match:
    """The comparison of a probe with the whole gallery.

    ``person_id`` and ``name`` are the nearest person's whatever the decision is, and ``None`` for an empty gallery. ``score``
    is the similarity to that person (-1 to 1, a mean cosine), and ``threshold`` the score that a name needs. ``margin`` is the
    lead of the score over the second person, a face rejected as this person, or 0, whichever is nearest. ``probability``, for
    people to read, is the chance, 0 to 1, that the face is this person's, at even prior odds.
    """

    decision: Decision
    person_id: str | None
    name: str | None
    score: float
    threshold: float
    margin: float
    probability: float


class Reason(StrEnum):
    """Why a visit ended without a name; of a single view, why it was too poor to be matched."""

    SMALL = "small"
    DARK = "dark"
    BRIGHT = "bright"
    TURNED = "turned"
    BLURRED = "blurred"
    POOR = "poor"
    FEW = "few"
    DOUBTFUL = "doubtful"
    LOOKALIKE = "lookalike"
    NOT_ALIVE = "not_alive"
    DISPLACED = "displaced"
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One face of one frame. ``quality`` is 0 to 1; a poor face has neither embedding nor match.

    ``flaw`` says what is wrong with a poor face, and with one that is not accepted; ``passive`` how the face looks, if asked.
    """

    face: Face
    quality: float
    embedding: Embedding | None = None
    match: Match | None = None
    flaw: Reason | None = None
    passive: PassiveScore | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFace:
    """A face of a frame, its track, and as whom it was announced: ``""`` as unknown, ``None`` not yet."""

    track_id: int
    seen: Observation
    person_id: str | None


class EventType(StrEnum):
    RECOGNIZED = "recognized"
    UNKNOWN = "unknown"
    UNSURE = "unsure"
    LEFT = "left"
    PRESENTATION_ATTACK = "presentation_attack"
    CAMERA_LOST = "camera_lost"
    CAMERA_BACK = "camera_back"


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a look at one moment found.

    ``seconds`` is the time that the search for faces took, none if the frame was not searched; ``due`` says whether the frame
    rate called for a look at all; ``faces`` are all that the search found, those too small to observe and those outside zones
    among them, but not the ``masked`` ones.
    """

    observations: Sequence[Observation] = ()
    seconds: float | None = None
    due: bool = False
    faces: Sequence[Face] | None = None
    masked: int = 0


MAX_REQUEST_BYTES = 6 * 2**20  # bytes of a command at most: enough for a photo of 4 MB in base64


@dataclass(frozen=True, slots=True)
class Request:
    """A command as it came in; anybody may have sent the payload."""

    verb: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Person:
    """A person who was ``enrolled``, in seconds since the Unix epoch. ``templates`` counts damaged ones, too."""

    id: str
    name: str
    templates: int
    enrolled: float


GalleryState = Literal["ok", "damaged", "stale", "read_only", "full", "unreadable"]
