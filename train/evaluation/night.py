"""Take the photos of a folder again as a cheap camera takes them at night."""

import zlib
from pathlib import Path

import cv2
import numpy as np

from edgeface.errors import ConfigError, DataError
from edgeface.platform.files import write_whole
from edgeface.vision.images import load_image
from train.augment import night
from train.prepare import find_photos

QUALITY = 60
"""JPEG quality of the photos."""


def retake(folder: Path, out: Path) -> None:
    """Write the night photos of ``folder`` into ``out``, as JPEG in folders of the same names.

    Raises:
        ConfigError: both are one folder.
        DataError: there is no photo.
        ImageError: a photo cannot be read.
        OSError: a photo cannot be written.
    """
    if out.resolve() == folder.resolve():
        raise ConfigError(f"--out {out}: the photos themselves are there")
    photos = [path for path, _ in find_photos([folder])]
    if not photos:
        raise DataError(f"no photo in {folder}")
    for path in photos:
        target = out / path.relative_to(folder).with_suffix(".jpg")
        random = np.random.default_rng(zlib.crc32((path.name + path.parent.name).encode()))
        picture = cv2.cvtColor(night(load_image(path), random), cv2.COLOR_RGB2BGR)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
