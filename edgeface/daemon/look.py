"""Searches the camera's frames for faces, as often as the frame rate and motion call for."""

import time

from edgeface.daemon.frame_rate import FrameRateLimiter
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import Frame, NoFrame, Seen
from edgeface.vision.motion import MotionGate


class Look:
    """Searches frames for faces, and reports the time that this takes to the frame rate."""

    def __init__(self, pipeline: Pipeline, gate: MotionGate, frame_rate: FrameRateLimiter) -> None:
        self._pipeline, self._gate, self._frame_rate = pipeline, gate, frame_rate

    def at(self, moment: Frame | NoFrame) -> Seen:
        """Search this moment's frame, if there is one, it is due, and something moves in it."""
        if not isinstance(moment, Frame) or not self._frame_rate.due(moment.time):
            return Seen()
        began = time.perf_counter()
        if not self._gate.wants(moment):
            return Seen(due=True)
        faces = self._pipeline.detector.detect(moment.image)
        observations = self._pipeline.observe(moment.image, faces)
        self._gate.searched(moment.time, len(observations))
        took = time.perf_counter() - began
        self._frame_rate.took(moment.time, took)
        return Seen(observations, took, due=True, faces=faces)
