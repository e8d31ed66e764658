"""Measures how good a picture of a face is: size, sharpness, exposure, pose."""

import cv2
import numpy as np

from edgeface.types import Face, Image, Landmarks
from edgeface.vision.alignment import eye_distance


def sharpness(chip: Image) -> float:
    """Return the variance of the Laplacian of the chip's middle, in squared grey levels; soft pictures have less than about 30.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    grey = cv2.cvtColor(chip[16:-16, 16:-16], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def exposure(chip: Image) -> float:
    """Rate the light on the chip's middle, 0 (black, white or flat) to 1: contrast times the share of unclipped pixels."""
    grey = cv2.cvtColor(chip[16:-16, 16:-16], cv2.COLOR_RGB2GRAY)
    lost = float(np.mean((grey < 8) | (grey > 247)))
    return float(min(1.0, grey.std() / 32.0) * (1.0 - lost))


def frontality(landmarks: Landmarks) -> float:
    """Rate how straight a face looks at the camera, 0 (profile) to 1, by the place of the nose between the eyes."""
    right, left, nose = landmarks[0], landmarks[1], landmarks[2]
    across = left - right
    along = float(np.dot(nose - right, across) / max(float(np.dot(across, across)), 1e-9))
    return float(np.clip(1.0 - 2.0 * abs(along - 0.5), 0.0, 1.0))


def quality_parts(face: Face, chip: Image) -> dict[str, float]:
    """Return the parts of a face's quality, each 0 to 1: size, sharpness, exposure, pose and confidence."""
    return {
        "size": min(1.0, eye_distance(face) / 40.0),
        "sharpness": min(1.0, sharpness(chip) / 120.0),
        "exposure": exposure(chip),
        "pose": frontality(face.landmarks),
        "confidence": face.score,
    }


def quality(face: Face, chip: Image) -> float:
    """Return the quality of a face for recognition, 0 to 1: the geometric mean of its parts."""
    parts = quality_parts(face, chip).values()
    return float(np.prod(list(parts)) ** (1.0 / len(parts)))
