"""Builds detectors by name, or of the files in a folder; each is imported only when it is needed."""

from pkgutil import resolve_name

import cv2

from edgeface.config.paths import expand
from edgeface.detectors.landmarks import LandmarkRefiner
from edgeface.interfaces import Detector

DETECTORS = {"yunet": "edgeface.detectors.yunet:YuNet"}
OWN = "edgeface.detectors.anchor_free:AnchorFree"


def create(model: str = "yunet", *, max_side: int = 640, threads: int = 1) -> Detector:
    """Build a detector, which searches images shrunk to ``max_side`` pixels at their longer side.

    ``model`` is a name in ``DETECTORS``, whose landmarks are then refined, or the folder of a detector that ``python -m train
    detector`` made. From then on, OpenCV does all its work in this process with ``threads`` threads.

    Raises:
        ModelError: the folder holds no detector.
    """
    cv2.setNumThreads(threads)
    if model in DETECTORS:
        return LandmarkRefiner(resolve_name(DETECTORS[model])(max_side=max_side))
    own: Detector = resolve_name(OWN)(expand(model, "detector.model"), max_side=max_side, threads=threads)
    return own
