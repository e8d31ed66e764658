"""Simulates a tablet that shows a film, held before a camera."""

import cv2
import numpy as np

from edgeface.types import Image

SHARE = 0.8
"""Of the camera's picture, what the tablet's screen takes in each direction."""
BEZEL, PITCH = 0.06, 3
"""Width of the tablet's frame as a share of the picture's height; camera pixels to a pixel of the screen."""
WALL = (126, 121, 112)


def on_screen(film: Image, phase: float) -> Image:
    """A picture of a film on a tablet before a wall, at a phase, 0 to 1, of a slow sway; of the film's own size."""
    height, width = film.shape[:2]
    size = round(width * SHARE), round(height * SHARE)
    lit = 255 * (cv2.resize(film, size, interpolation=cv2.INTER_AREA) / 255.0) ** 0.8
    rows, columns = np.indices((size[1], size[0]))
    lit *= (0.8 + 0.2 * ((rows % PITCH > 0) & (columns % PITCH > 0)))[..., None]
    lit = lit * (0.9, 0.97, 1.08) + (10, 12, 18)  # the backlight is cold, and black is not black
    bezel = round(height * BEZEL)
    tablet = cv2.copyMakeBorder(np.clip(lit, 0, 255), bezel, bezel, bezel, bezel, cv2.BORDER_CONSTANT, value=(18, 18, 20))
    across, down = tablet.shape[1], tablet.shape[0]
    corners = np.array([[0, 0], [across, 0], [across, down], [0, down]], np.float32)
    middle = np.array([(width - across) / 2, (height - down) / 2])
    sway = 6 * np.sin(5 * phase) * np.array([[0, 1], [0, -1], [0, 1], [0, -1]])
    to = (corners + middle + sway + (8 * np.sin(3 * phase), 5 * np.cos(4 * phase))).astype(np.float32)
    picture = np.empty(film.shape, np.float64)
    picture[:] = WALL
    seen = cv2.warpPerspective(
        tablet, cv2.getPerspectiveTransform(corners, to), (width, height), dst=picture, borderMode=cv2.BORDER_TRANSPARENT
    )
    return np.asarray(np.clip(cv2.GaussianBlur(seen, (3, 3), 0), 0, 255), np.uint8)
