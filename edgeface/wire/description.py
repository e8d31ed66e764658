"""Describes an event in one line, for a terminal."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from edgeface.platform.text import printable, scored

NAMELESS = {"presentation_attack": "somebody enrolled", "camera_lost": "", "camera_back": ""}
"""Whom an event without a name concerns, where it is not somebody unknown."""


class Described(Struct, frozen=True):
    """The fields of an event's payload that its description needs."""

    event_type: str
    ts: datetime
    device: str
    camera: str
    name: str | None = None
    score: float | None = None
    threshold: float = 0.0
    probability: float | None = None
    seconds: float | None = None
    visits: int = 1
    liveness_class: str | None = None
    reason: str | None = None
    corrected: "_Corrected | None" = None


class _Corrected(Struct, frozen=True):
    name: str


def describe(event: dict[str, Any], *, place: bool = True) -> str:
    """Describe an event in local time, without control characters; ``place`` adds device, camera and probability."""
    read = msgspec.convert(event, Described)
    nobody = NAMELESS.get(read.event_type, "somebody unknown")
    parts = [f"{read.ts.astimezone():%H:%M:%S}  {read.event_type:<11}  {read.name or nobody}"]
    if read.score is not None:
        parts.append(scored(read.score, read.threshold))
    if place and read.probability is not None:
        parts.append(f"{min(99.0, 100 * read.probability):.0f} % likely")
    if read.seconds is not None:
        parts.append(f"after {read.seconds:.0f} s")
    if read.visits > 1:
        parts.append(f"visit {read.visits}")
    if read.liveness_class in ("screen", "print"):
        parts.append(f"looks like a {read.liveness_class}")
    if read.reason:
        parts.append(read.reason)
    if read.corrected:
        parts.append(f"it was not {read.corrected.name}")
    if place:
        parts.append(f"[{read.device}/{read.camera}]")
    return printable("  ".join(parts))
