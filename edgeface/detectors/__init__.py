"""Detectors by name; each is imported only when it is asked for."""

from importlib import import_module
from typing import cast

from edgeface.detectors.landmarks import Refined
from edgeface.interfaces import Detector

DETECTORS = {"default": "edgeface.detectors.yunet:YuNet"}


def create(name: str = "default", *, max_side: int = 640) -> Detector:
    """Build a detector with refined landmarks; images are shrunk to ``max_side`` pixels at their longer side for the search."""
    module, _, attribute = DETECTORS[name].partition(":")
    return Refined(cast(Detector, getattr(import_module(module), attribute)(max_side=max_side)))
