"""Pictures of a sitter, made of real photos: nearer and farther, turned, nodding, in the dark and moving."""

from functools import cache

import cv2
import numpy as np
from stage import photo

from edgeface import detectors
from edgeface.vision.alignment import similarity
from edgeface.vision.images import load_image
from edgeface.vision.liveness import MIDDLE, UNIT, relief

WIDTH, HEIGHT = 640, 480


@cache
def _detector():
    return detectors.create()


@cache
def sitter(name="obama_portrait.jpg", eyes=60.0, yaw=0.0, pitch=0.0):
    """A frame of 640 x 480 with this photo's face in the middle, ``eyes`` pixels between the eyes.

    ``yaw`` (to the sitter's left) and ``pitch`` (down) are tangents of the angles by which the head is turned: each point
    moves by its height, by the relief of an average head.
    """
    image = load_image(photo(name))
    landmarks = _detector().detect(image)[0].landmarks
    transform = similarity(landmarks)
    to_chip = np.vstack([transform, [0, 0, 1]])
    scale = eyes / UNIT
    place = np.array([[scale, 0, WIDTH / 2 - scale * MIDDLE[0]], [0, scale, HEIGHT / 2 - scale * MIDDLE[1]]])
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    x, y = (columns - WIDTH / 2) / eyes, (rows - HEIGHT / 2) / eyes
    for _ in range(3):  # where a point that is seen here came from
        height = relief(x, y) * np.clip(2.2 - np.hypot(x, y), 0, 1)
        x, y = (columns - WIDTH / 2) / eyes - yaw * height, (rows - HEIGHT / 2) / eyes - pitch * height
    straight = cv2.warpAffine(
        image,
        (np.vstack([place, [0, 0, 1]]) @ to_chip)[:2],
        (WIDTH, HEIGHT),
        flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if not yaw and not pitch:
        return straight
    source = [(eyes * side + middle).astype(np.float32) for side, middle in ((x, WIDTH / 2), (y, HEIGHT / 2))]
    return cv2.remap(straight, *source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
