"""Detectors by name; each is imported only when it is asked for."""

from importlib import import_module
from typing import cast

from edgeface.interfaces import Detector

DETECTORS = {"default": "edgeface.detectors.yunet:YuNet"}


def create(name: str = "default", *, max_side: int = 640) -> Detector:
    """Build a detector; images are shrunk to ``max_side`` pixels at their longer side before they are searched."""
    module, _, attribute = DETECTORS[name].partition(":")
    return cast(Detector, getattr(import_module(module), attribute)(max_side=max_side))
