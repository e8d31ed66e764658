"""Draw the app's icon and logo: ``.venv/bin/python deploy/homeassistant-app/pictures.py``. The page's icon, in pixels."""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.vision.lettering import text_width, write_text

HERE = Path(__file__).resolve().parent
GREEN, WHITE, INK = (102, 107, 15, 255), (255, 255, 255, 255), (102, 107, 15)
"""Blue, green, red, and how opaque; what is written has its opacity from the letters."""
OVER = 4
"""Each is drawn so many times as large, and scaled down."""
Picture = NDArray[np.uint8]


def icon(side: int) -> Picture:
    """The icon: a smile in the corners of a frame, of ``edgeface/web/static/icon.svg``'s 32 units."""
    scale = side * OVER / 32
    picture = np.zeros((side * OVER, side * OVER, 4), np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return round(x * scale), round(y * scale)

    radius = 9.0
    for x, y in ((radius, radius), (32 - radius, radius), (radius, 32 - radius), (32 - radius, 32 - radius)):
        cv2.circle(picture, at(x, y), round(radius * scale), GREEN, -1)
    cv2.rectangle(picture, at(radius, 0), at(32 - radius, 32), GREEN, -1)
    cv2.rectangle(picture, at(0, radius), at(32, 32 - radius), GREEN, -1)
    width = round(2.2 * scale)
    for right in (False, True):
        for low in (False, True):
            points = [(7.5, 12), (7.5, 9.5), (8.1, 8.1), (9.5, 7.5), (12, 7.5)]
            turned = [at(32 - x if right else x, 32 - y if low else y) for x, y in points]
            cv2.polylines(picture, [np.array(turned, np.int32)], False, WHITE, width, cv2.LINE_AA)
    smile = [(12.5 + 7 * t, 18.5 + 1.725 * (1 - (2 * t - 1) ** 2)) for t in np.linspace(0, 1, 30)]
    cv2.polylines(picture, [np.array([at(*point) for point in smile], np.int32)], False, WHITE, width, cv2.LINE_AA)
    for x in (12.8, 19.2):
        cv2.circle(picture, at(x, 13.8), round(1.4 * scale), WHITE, -1, cv2.LINE_AA)
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)


def logo(width: int, height: int) -> Picture:
    """The icon with the name beside it."""
    capital, left = 0.52 * height, round(1.18 * height)
    capital *= min(1.0, (width - left) / text_width("edgeface", capital))
    covered = np.zeros((height, width, 3), np.uint8)
    write_text(covered, "edgeface", (left, round((height + capital) / 2)), capital, (255, 255, 255))
    picture = np.zeros((height, width, 4), np.uint8)
    picture[..., :3], picture[..., 3] = INK, covered[..., 0]
    picture[:, :height] = icon(height)
    return picture


def main() -> None:
    """Write both, or into another folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "edgeface"
    cv2.imwrite(str(folder / "icon.png"), icon(128))
    cv2.imwrite(str(folder / "logo.png"), logo(400, 100))


if __name__ == "__main__":
    main()
