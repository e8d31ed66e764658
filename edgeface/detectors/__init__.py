"""Builds detectors by name; each is imported only when it is needed."""

from pkgutil import resolve_name

import cv2

from edgeface.detectors.landmarks import LandmarkRefiner
from edgeface.interfaces import Detector

DETECTORS = {"default": "edgeface.detectors.yunet:YuNet"}


def create(name: str = "default", *, max_side: int = 640, threads: int = 1) -> Detector:
    """Build a detector with refined landmarks, which searches images shrunk to ``max_side`` pixels at their longer side.

    From then on, OpenCV does all its work in this process with ``threads`` threads.
    """
    cv2.setNumThreads(threads)
    return LandmarkRefiner(resolve_name(DETECTORS[name])(max_side=max_side))
