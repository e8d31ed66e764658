"""Finds what is wrong with a view of a face: size, light, pose or focus."""

import cv2

from edgeface.types import Face, Image, Reason
from edgeface.vision.quality import quality_parts, sharpness

SHARP = 0.12
"""Sharpness of a clear face over the variance of its grey levels, which light dims as much as the sharpness."""
SIZE, EXPOSURE, POSE, FOCUS = 0.5, 0.6, 0.75, 0.5
"""Ratings from which on size, light, pose and focus are no flaw; a head turned by 40 degrees has a pose of about 0.75."""
MIDDLE_GREY = 128.0


def flaw(face: Face, chip: Image) -> Reason | None:
    """Return the worst flaw of a view, ``None`` if it has none.

    Unlike in the quality, the focus of a small or dim face is compared with that of a clear face as small and dim.
    """
    parts, grey = quality_parts(face, chip), cv2.cvtColor(chip[16:-16, 16:-16], cv2.COLOR_RGB2GRAY)
    focus = sharpness(chip) / max(1.0, float(grey.var())) / SHARP / max(parts["size"], 0.1)
    rated = {
        Reason.SMALL: parts["size"] / SIZE,
        Reason.DARK if grey.mean() < MIDDLE_GREY else Reason.BRIGHT: parts["exposure"] / EXPOSURE,
        Reason.TURNED: parts["pose"] / POSE,
        Reason.BLURRED: focus / FOCUS,
    }
    worst = min(rated, key=lambda reason: rated[reason])
    return worst if rated[worst] < 1.0 else None
