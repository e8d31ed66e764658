"""Turn frames and photos into views: both crops of a face as the network sees them, live or in a real or simulated attack."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from edgeface import detectors
from edgeface.errors import DataError, EdgefaceError
from edgeface.interfaces import Detector
from edgeface.platform.files import write_whole
from edgeface.types import Image
from edgeface.vision.images import image_files, load_image
from edgeface.vision.passive_liveness import CLASSES, crops
from train.pad.recapture import PRINT, SCREEN, recapture
from train.pad.teachers import Teachers, digests
from train.prepare import find_photos

LOOSER = 7 / 6
"""A view shows so many times what the network sees of it, so that it can be moved and scaled in training."""
KEPT = 112
"""Side of a kept crop, in pixels."""
SHARD = 256
"""Pictures whose views are kept in one file."""
SMALLEST = 24
"""Width in pixels of the smallest face that is learnt from."""
FACES = 4
"""Faces of a photo that are learnt from, the largest first."""
HEIGHTS = (140, 480)
"""Of the frames of simulated attacks, in pixels."""
BEHIND = 300
"""Pictures of scenes that are drawn from."""

FRAME, PHOTO, RECAPTURED_FRAME, RECAPTURED_PHOTO = range(4)
"""Where a view comes from: a camera's frame, somebody's photo, or a simulated attack with one of these."""


@dataclass(frozen=True)
class Sources:
    """Clips of Replay-Attack's training people, in live/CLIP and attack/CLIP; photos; scenes; and the teachers' folder."""

    replay: Path
    photos: Sequence[Path]
    scenes: Sequence[Path]
    teachers: Path


class Picture(NamedTuple):
    """A file, the class of what it shows, and how many simulated attacks to make of it."""

    path: Path
    kind: int
    origin: int
    recaptures: int


def prepare(sources: Sources, out: Path, photos: int, recaptures: int, workers: int) -> dict[str, Any]:
    """Write views of all frames and of so many photos into ``out``; finished shards are kept when run again.

    Each live frame is recaptured so many times, each photo once.

    Raises:
        DataError: a folder has no pictures.
        ModelError: a teacher cannot be used.
    """
    Teachers(sources.teachers)  # or says what is wrong with it, before the work
    pictures = list(_pictures(sources, photos, recaptures))
    scenes = [path for folder in sources.scenes for path in sorted(folder.rglob("*.webp"))]
    if not scenes:
        raise DataError(f"no pictures in {', '.join(map(str, sources.scenes))}")
    chosen = np.random.default_rng(0).permutation(len(scenes))[:BEHIND]
    behind = [load_image(scenes[int(number)]) for number in chosen]
    out.mkdir(parents=True, exist_ok=True)
    shards = [pictures[at : at + SHARD] for at in range(0, len(pictures), SHARD)]
    own = local()

    def work(number: int) -> int:
        path = out / f"shard-{number:05}.npz"
        if not path.is_file():
            if not hasattr(own, "tools"):
                own.tools = detectors.create(), Teachers(sources.teachers)
            detector, teachers = own.tools
            _write_shard(path, shards[number], behind, detector, teachers, np.random.default_rng(number))
        return len(shards[number])

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(pictures), unit="picture", disable=None) as bar:
        for done in pool.map(work, range(len(shards))):
            bar.update(done)
    counts = np.zeros((4, len(CLASSES)), int)
    for number in range(len(shards)):
        with np.load(out / f"shard-{number:05}.npz") as shard:
            np.add.at(counts, (shard["origins"], shard["kinds"]), 1)
    manifest = {
        "sources": [sources.replay.name, *(folder.name for folder in (*sources.photos, *sources.scenes))],
        "teachers": digests(sources.teachers),
        "shards": len(shards),
        "views": {
            name: dict(zip(CLASSES, map(int, row), strict=True))
            for name, row in zip(("frames", "photos", "recaptured frames", "recaptured photos"), counts, strict=True)
        },
    }
    write_whole(out / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())
    return manifest


def _pictures(sources: Sources, photos: int, recaptures: int) -> Iterator[Picture]:
    live, attacks = (sorted((sources.replay / name).iterdir()) for name in ("live", "attack"))
    for clip in live:
        yield from (Picture(path, CLASSES.index("live"), FRAME, recaptures) for path in image_files(clip))
    for clip in attacks:
        kind = CLASSES.index(attack_class(clip.name))
        yield from (Picture(path, kind, FRAME, 0) for path in image_files(clip))
    found = [path for path, _ in find_photos(sources.photos)]
    for number in np.random.default_rng(0).permutation(len(found))[:photos]:
        yield Picture(found[int(number)], CLASSES.index("live"), PHOTO, 1)


def attack_class(clip: str) -> str:
    """The class of an attack, by the name of a clip of Replay-Attack, which has the medium: print, mobile or highdef."""
    return PRINT if "_print_" in clip else SCREEN


def _write_shard(
    path: Path,
    pictures: Sequence[Picture],
    scenes: Sequence[Image],
    detector: Detector,
    teachers: Teachers,
    random: np.random.Generator,
) -> None:
    views, kinds, origins, features, live = [], [], [], [], []
    for picture in pictures:
        for image, kind, origin in _shown(picture, scenes, random):
            for face in detector.detect(image)[: FACES if picture.origin == PHOTO else 1]:
                if face.box.width < SMALLEST:
                    break
                views.append(crops(image, face.box, KEPT, LOOSER))
                kinds.append(kind)
                origins.append(origin)
                found, probabilities = teachers.look(image, face.box)
                features.append(found.astype(np.float16))
                live.append(probabilities)
    with path.with_suffix(".part").open("wb") as file:
        np.savez(
            file,
            views=np.array(views, np.uint8).reshape(-1, KEPT, KEPT, 6),
            kinds=np.array(kinds, np.uint8),
            origins=np.array(origins, np.uint8),
            features=np.array(features, np.float16),
            live=np.array(live, np.float32),
        )
    path.with_suffix(".part").rename(path)


def _shown(picture: Picture, scenes: Sequence[Image], random: np.random.Generator) -> Iterator[tuple[Image, int, int]]:
    """The picture itself and simulated attacks with it, each with its class and origin."""
    try:
        image = load_image(picture.path)
    except EdgefaceError:
        return
    yield image, picture.kind, picture.origin
    for _ in range(picture.recaptures):
        kind = SCREEN if random.random() < 0.5 else PRINT
        height = round(float(np.exp(random.uniform(*np.log(HEIGHTS)))))
        size = round(height * 4 / 3), height
        origin = RECAPTURED_FRAME if picture.origin == FRAME else RECAPTURED_PHOTO
        yield recapture(image, kind, size, scenes, random), CLASSES.index(kind), origin
