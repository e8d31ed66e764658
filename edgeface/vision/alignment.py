"""Turns a face into an aligned chip."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.types import Face, Image, Landmarks
from edgeface.vision.images import shrunk

CHIP_SIZE = 112
"""Width and height of an aligned chip, in pixels."""
TEMPLATE: Landmarks = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""The five landmarks of an aligned chip; the usual template of Deng et al., "ArcFace", CVPR 2019."""


def similarity_transform(landmarks: Landmarks) -> NDArray[np.float64]:
    """Return the 2 x 3 similarity transform that brings five landmarks nearest to ``TEMPLATE``.

    Least squares in closed form; Umeyama, "Least-squares estimation of transformation parameters", PAMI 1991, eq. 40 to 43,
    where in two dimensions rotation and scale are one complex number.
    """
    source = landmarks.astype(np.float64) @ (1, 1j)
    target = TEMPLATE.astype(np.float64) @ (1, 1j)
    centred = source - source.mean()
    turn = np.vdot(centred, target - target.mean()) / max(np.vdot(centred, centred).real, 1e-9)
    shift = target.mean() - turn * source.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def align(image: Image, landmarks: Landmarks, margin: int = 0) -> Image:
    """Cut out a face as a 112 x 112 chip whose landmarks lie at ``TEMPLATE``; pixels outside the image are black.

    ``margin`` adds that many pixels of the surroundings on every side.
    """
    transform = similarity_transform(landmarks)
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    # Bilinear sampling sees only 2 x 2 pixels: a face over twice the chip's size would alias, and is shrunk first.
    if scale < 0.5:
        small = shrunk(image, 1.5 * scale)
        ratio = np.array(small.shape[1::-1]) / image.shape[1::-1]
        image, landmarks = small, landmarks * ratio.astype(np.float32)
        transform = similarity_transform(landmarks)
    transform[:, 2] += margin
    side = CHIP_SIZE + 2 * margin
    chip = cv2.warpAffine(image, transform, (side, side), flags=cv2.INTER_LINEAR)
    return np.asarray(chip, np.uint8)


def eye_distance(face: Face) -> float:
    """Return the pixels between the eyes, from all five landmarks: a face turned aside counts as large as it is."""
    transform = similarity_transform(face.landmarks)
    return float((TEMPLATE[1, 0] - TEMPLATE[0, 0]) / max(float(np.hypot(transform[0, 0], transform[1, 0])), 1e-9))
