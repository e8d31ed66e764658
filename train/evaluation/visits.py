"""Make visits of people's photos, as a camera would have seen them, frame by frame, for ``edgeface evaluate``."""

import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface.errors import DataError
from edgeface.measurement.evaluate import people
from edgeface.types import Image
from edgeface.vision.drawing import save_image
from edgeface.vision.images import image_files, load_image
from train.augment import blur, jpeg, light, noise, smear

SPOILT = 0.2
"""Share of frames that are out of focus or smeared by motion."""


def visits(
    persons: Sequence[Path], out: Path, *, enroll: int, frames: int, fill: Path | None, enrolled: int
) -> tuple[int, int, int]:
    """Write ``out``/gallery/PERSON, ``out``/visits/PERSON/VISIT and ``out``/strangers/PERSON/VISIT.

    ``persons`` are folders of people. Those with more than ``enroll`` photos take turns in being enrolled and being strangers.
    The first ``enroll`` photos are for the gallery, of each other one a visit is made, and of all these together one more.
    People of ``fill`` join the gallery, without a visit, until it holds ``enrolled``. Returns the numbers of enrolled people,
    strangers and visits.

    Raises:
        DataError: nobody has enough photos, visits are in ``out`` already, or a file cannot be written.
        ImageError: a photo cannot be read.
    """
    able = [(person, photos) for person in persons if len(photos := image_files(person)) > enroll]
    if len(able) < 2:
        raise DataError(f"{persons[0].parent}: there are no two people with more than {enroll} photos")
    if there := [kind for kind in ("gallery", "visits", "strangers") if (out / kind).exists()]:
        raise DataError(f"{out}: there is a folder {there[0]} already; give another --out")
    members, count = able[::2], 0
    taken = {person.name for person, _ in able}
    fillers = [(person, image_files(person)) for person in people(fill) if person.name not in taken] if fill else []
    try:
        for kind, group in {"visits": members, "strangers": able[1::2]}.items():
            for person, photos in tqdm(group, unit="person", desc=kind, disable=None):
                pictures = [load_image(photo) for photo in photos[enroll:]]
                shown = [[picture] for picture in pictures] + ([pictures] if len(pictures) > 1 else [])
                for number, turns in enumerate(shown):
                    random = np.random.default_rng(zlib.crc32(f"{person.name}/{number}".encode()))
                    _write(out / kind / person.name / f"{number + 1:02}", play(turns, frames, random))
                count += len(shown)
        members += [(p, photos) for p, photos in fillers if len(photos) >= enroll][: max(0, enrolled - len(members))]
        for person, photos in members:
            target = out / "gallery" / person.name
            target.mkdir(parents=True, exist_ok=True)
            for photo in photos[:enroll]:
                shutil.copyfile(photo, target / photo.name)
    except OSError as error:
        raise DataError(f"{out}: {error.strerror or error}") from None
    return len(members), len(able[1::2]), count


def play(photos: Sequence[Image], frames: int, random: np.random.Generator) -> Iterator[Image]:
    """A visit of ``frames`` frames: its photos in turn, drifting, turning and swaying before a cheap camera in changing light.

    A frame is a quarter larger than its photo. Within a photo, position, size (20 %), roll (4 degrees) and yaw (as a squeeze of
    10 %) change smoothly, from a random phase; each frame has noise and JPEG's losses of its own.
    """
    phases = random.uniform(0, 2 * np.pi, 6)
    speeds = random.uniform(0.15, 0.5, 6)
    exposure = np.exp(random.normal(0, 0.15) + random.normal(0, 0.03, 3))
    for number in range(frames):
        photo = photos[number * len(photos) // frames]
        sway = np.sin(phases + speeds * number)
        picture = _moved(photo, sway)
        picture = light(picture, exposure * np.exp(0.1 * sway[5]), 1.0)
        if random.random() < SPOILT:
            reach = 0.01 * max(photo.shape)
            picture = (
                blur(picture, random.uniform(0.3, 1.2) * reach)
                if random.random() < 0.5
                else smear(picture, max(3, round(random.uniform(1, 4) * reach)), random.uniform(0, 180))
            )
        yield jpeg(noise(picture, 3.0, random), int(random.integers(50, 85)))


def _moved(photo: Image, sway: NDArray[np.float64]) -> Image:
    height, width = photo.shape[:2]
    wide, high = round(1.25 * width), round(1.25 * height)
    scale, roll, squeeze = 0.95 * (1 + 0.1 * sway[0]), np.deg2rad(4 * sway[1]), 0.95 + 0.05 * sway[2]
    turn = scale * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]) @ np.diag([squeeze, 1.0])
    centre = np.array([wide / 2 + 0.06 * wide * sway[3], high / 2 + 0.06 * high * sway[4]])
    shift = centre - turn @ np.array([width / 2, height / 2])
    place = np.column_stack([turn, shift])
    return np.asarray(cv2.warpAffine(photo, place, (wide, high), borderValue=(96, 96, 96)), np.uint8)


def _write(folder: Path, frames: Iterator[Image]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=1):
        save_image(folder / f"{number:04}.jpg", frame)
