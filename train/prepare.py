"""Turn folders of photos into shards of aligned crops with the teachers' targets, a split by person, and a manifest."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface import detectors
from edgeface.errors import DataError, EdgefaceError, ImageError, ModelError
from edgeface.interfaces import Detector
from edgeface.platform.files import write_whole
from edgeface.types import Image
from edgeface.vision.alignment import CHIP_SIZE, align, eye_distance
from edgeface.vision.images import SUFFIXES, load_image
from train.augment import CROP, MARGIN
from train.teachers.sface import EdgeFace, Teacher

SHARD = 512
VALIDATION_SHARE = 0.05
MIN_EYE_DISTANCE = 12.0


def find_photos(folders: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Each photo under ``folders`` with its person: the first folder below the given one, or "" for photos right in it."""
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                inside = path.relative_to(folder).parts
                yield path, f"{folder.name}/{inside[0]}" if len(inside) > 1 else ""


def is_validation(person: str) -> bool:
    """Whether a person is held out: a fixed share by hash, so that adding photos never moves anybody."""
    digest = hashlib.sha256(person.encode()).digest()
    return bool(person) and int.from_bytes(digest[:4], "big") < VALIDATION_SHARE * 2**32


class Tools(NamedTuple):
    """What one thread turns photos into chips and targets with."""

    detector: Detector
    teacher: Teacher
    second: EdgeFace | None


def prepare(folders: Sequence[Path], out: Path, teacher: Path, workers: int, second: Path | None = None) -> dict[str, object]:
    """Write ``out``/shard-NNNNN.{crops,positions}.npy and .json, dropped.tsv and manifest.json; returns the manifest.

    With a ``second`` teacher there are shard-NNNNN.second.npy, too.

    Finished shards are kept when run again over the same folders, so an interrupted run goes on where it was.

    Raises:
        DataError: a folder is missing or holds no photo.
        ModelError: a teacher cannot be used.
    """
    photos = list(find_photos(folders))
    if not photos:
        raise DataError(f"no photo in {', '.join(map(str, folders))}")
    files = {"teacher": teacher} | ({"second": second} if second else {})
    try:
        digests = {name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in files.items()}
    except OSError as error:
        raise ModelError(f"{error.filename}: {error.strerror}") from None
    for path, kind in zip(files.values(), (Teacher, EdgeFace), strict=False):
        kind(path)  # or says that it is another file, before anything is changed
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").unlink(missing_ok=True)  # until all is whole again
    shards = [photos[at : at + SHARD] for at in range(0, len(photos), SHARD)]
    own = local()

    def work(number: int) -> int:
        if not hasattr(own, "tools"):
            own.tools = Tools(detectors.create(), Teacher(teacher), EdgeFace(second) if second else None)
        return _write_shard(out, number, shards[number], digests, own.tools)

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(photos), unit="photo", smoothing=0.05, disable=None) as bar:
        for done in pool.map(work, range(len(shards))):
            bar.update(done)
    return _write_manifest(out, folders, digests, len(shards))


def find_crop(image: Image, detector: Detector) -> Image:
    """Cut out the photo's largest face, aligned, with ``MARGIN`` around the chip: shape (144, 144, 3).

    Raises:
        ImageError: there is no face, or only one too small to learn from.
    """
    faces = detector.detect(image)
    if not faces:
        # Tight crops leave the detector no surroundings to see the face against.
        edge = max(image.shape[:2]) // 4
        image = np.asarray(cv2.copyMakeBorder(image, edge, edge, edge, edge, cv2.BORDER_CONSTANT), np.uint8)
        faces = detector.detect(image)
    if not faces:
        raise ImageError("no face")
    if eye_distance(faces[0]) < MIN_EYE_DISTANCE:
        raise ImageError(f"the eyes are only {eye_distance(faces[0]):.0f} pixels apart")
    return align(image, faces[0].landmarks, MARGIN)


def chips_of(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The chips, (n, 112, 112, 3), in the middle of crops, (n, 144, 144, 3)."""
    return crops[:, MARGIN : MARGIN + CHIP_SIZE, MARGIN : MARGIN + CHIP_SIZE]


def in_both_views(
    chips: NDArray[np.uint8], teach: Callable[[NDArray[np.uint8]], NDArray[np.float16]], shape: tuple[int, ...]
) -> NDArray[np.float16]:
    """A teacher's output for each chip as it is and mirrored, shape (n, 2, *shape).

    A teacher's map of a mirrored face is not the mirrored map, so it is computed, not flipped.
    """
    result = np.empty((len(chips), 2, *shape), np.float16)
    for at in range(0, len(chips), 16):
        batch = chips[at : at + 16]
        result[at : at + 16, 0] = teach(batch)
        result[at : at + 16, 1] = teach(batch[:, :, ::-1])
    return result


def _write_shard(out: Path, number: int, photos: list[tuple[Path, str]], digests: dict[str, str], tools: Tools) -> int:
    stem = out / f"shard-{number:05}"
    source = digests | {"margin": MARGIN, "photos": [[str(path), person] for path, person in photos]}
    index = stem.with_suffix(".json")
    arrays = [stem.with_suffix(f".{part}.npy") for part in ("crops", "positions", *(["second"] if tools.second else []))]
    if index.is_file() and all(path.is_file() for path in arrays) and source == _source(index):
        return len(photos)
    for stale in (index, stem.with_suffix(".second.npy")):
        stale.unlink(missing_ok=True)
    crops, kept, dropped = [], [], []
    for path, person in photos:
        try:
            crops.append(find_crop(load_image(path), tools.detector))
            kept.append([str(path), person])
        except EdgefaceError as error:
            dropped.append([str(path), str(error).removeprefix(f"{path}: ")])
    batch = np.stack(crops) if crops else np.empty((0, CROP, CROP, 3), np.uint8)
    np.save(stem.with_suffix(".crops.npy"), batch)
    chips = chips_of(batch)
    np.save(stem.with_suffix(".positions.npy"), in_both_views(chips, tools.teacher.positions, (49, 128)))
    if tools.second:
        np.save(stem.with_suffix(".second.npy"), in_both_views(chips, tools.second.embeddings, (EdgeFace.DIMENSIONS,)))
    _write(index, json.dumps(source | {"kept": kept, "dropped": dropped}))
    return len(photos)


def _source(index: Path) -> dict[str, object]:
    """The sources of a shard; nothing if its index is damaged."""
    try:
        return {key: value for key, value in json.loads(index.read_text()).items() if key not in ("kept", "dropped")}
    except ValueError:
        return {}


def _write_manifest(out: Path, folders: Sequence[Path], digests: dict[str, str], shards: int) -> dict[str, object]:
    for stale in out.glob("shard-*"):
        if int(stale.name[6:11]) >= shards:
            stale.unlink()
    indexes = [json.loads((out / f"shard-{number:05}.json").read_text()) for number in range(shards)]
    kept = [person for index in indexes for _, person in index["kept"]]
    dropped = [row for index in indexes for row in index["dropped"]]
    if not kept:
        raise DataError(f"no photo of {', '.join(map(str, folders))} has a face to learn from: {dropped[0][1]}")
    _write(out / "dropped.tsv", "".join(f"{path}\t{reason}\n" for path, reason in dropped))
    held_out = sum(map(is_validation, kept))
    manifest: dict[str, object] = {
        "sources": [folder.name for folder in folders],
        **digests,
        "shards": shards,
        "chips": len(kept),
        "dropped": len(dropped),
        "people": len(set(kept) - {""}),
        "train": len(kept) - held_out,
        "validation": held_out,
    }
    _write(out / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    return manifest


def _write(path: Path, text: str) -> None:
    write_whole(path, text.encode())
