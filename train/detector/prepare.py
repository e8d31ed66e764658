"""Prepare labelled pictures: photos with true labels, frames with agreed ones, composites, scenes and patterns."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface.detectors.yunet import YuNet
from edgeface.errors import DataError, ImageError
from edgeface.platform.files import write_whole
from edgeface.types import Box, Face, Image
from edgeface.vision.alignment import align, eye_distance
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import SUFFIXES, load_image
from train.detector.compose import compose
from train.detector.patterns import pattern
from train.detector.pictures import SHARD, UNKNOWN, Labelled, Pictures, is_written, labelled, without_faces, write_shard
from train.landmarks import settle
from train.prepare import find_photos, is_validation

DEVELOPMENT_EVENT = "1--Handshaking"
"""The event of WIDER FACE, a tenth of its photos, that no network is trained on."""

DEVELOPMENT_SCENES = 3
"""Every third scene is kept from training, to count false alarms."""

CLEAR = 16.0
"""Pixels between the eyes from which a face's embedding says how good a view of it is."""

NORM = 100.0
"""Norm of an embedding whose quality is 1."""

TRAINING, DEVELOPMENT, PORTRAITS = "training", "development", "portraits"
"""The folders that are written; portraits are those of which composites are made."""


class Sources(NamedTuple):
    """Folders: WIDER FACE with its labels.json, scenes without faces, portraits, and frames of cameras."""

    wider: Path
    scenes: Path
    portraits: Sequence[Path]
    frames: Sequence[Path] = ()


class Amounts(NamedTuple):
    """How many portraits are labelled, how many pictures are composed of them, and how many patterns are drawn."""

    portraits: int = 12_000
    composites: int = 10_000
    patterns: int = 1_000


class Photo(NamedTuple):
    """A photo with true labels."""

    path: Path
    faces: Sequence[dict[str, Any]]

    def load(self) -> Labelled:
        """Read the photo."""
        boxes = [face["box"] for face in self.faces]
        return labelled(load_image(self.path), boxes, [face["landmarks"] for face in self.faces], [UNKNOWN] * len(boxes))


def prepare(sources: Sources, out: Path, amounts: Amounts, workers: int = 1) -> dict[str, Any]:
    """Write the shards of training, development and portraits, and manifest.json, into ``out``; returns the manifest.

    Shards that are there are kept, so an interrupted run goes on where it was.

    Raises:
        DataError: a folder is missing, or what it should hold, or ``out`` was begun otherwise.
    """
    cv2.setNumThreads(1)
    _keep_plan(out / "plan.json", {"sources": [str(folder) for folder in _folders(sources)], **amounts._asdict()})
    wider, development = read_wider(sources.wider)
    scenes, quiet = _scenes(sources.scenes)
    make = _Maker(workers)
    found = [path for path, person in find_photos(sources.portraits) if not is_validation(person)]
    chosen = [found[i] for i in np.random.default_rng(0).permutation(len(found))[: amounts.portraits]]
    make.shards(out / PORTRAITS, 0, chosen, lambda maker, path: maker.portrait(path))
    portraits = Pictures(out / PORTRAITS)
    if not len(portraits):
        raise DataError(f"no face in {', '.join(map(str, sources.portraits))}")
    backgrounds = [load_image(path) for path in scenes]
    backgrounds += [_pattern(number).image for number in range(min(amounts.patterns, len(scenes) // 4))]

    def composite(maker: "_Tools", number: int) -> Labelled:
        return maker.rated(compose(portraits, backgrounds, np.random.default_rng((1, number))))

    at = make.shards(out / TRAINING, 0, wider, lambda maker, photo: maker.rated(photo.load()))
    at = make.shards(out / TRAINING, at, scenes, lambda _, path: without_faces(load_image(path)))
    frames = [path for path, _ in find_photos(sources.frames)]
    at = make.shards(out / TRAINING, at, frames, lambda maker, path: maker.frame(path))
    at = make.shards(out / TRAINING, at, range(amounts.composites), composite)
    make.shards(out / TRAINING, at, range(amounts.patterns), lambda _, number: _pattern(number))
    at = make.shards(out / DEVELOPMENT, 0, development, lambda maker, photo: maker.rated(photo.load()))
    make.shards(out / DEVELOPMENT, at, quiet, lambda _, path: without_faces(load_image(path)))
    manifest = {
        "sources": [folder.name for folder in _folders(sources)],
        **{name: _counts(Pictures(out / name)) for name in (PORTRAITS, TRAINING, DEVELOPMENT)},
    }
    write_whole(out / "manifest.json", (json.dumps(manifest, indent=1) + "\n").encode())
    return manifest


def _folders(sources: Sources) -> list[Path]:
    return [sources.wider, sources.scenes, *sources.portraits, *sources.frames]


def _keep_plan(path: Path, plan: dict[str, Any]) -> None:
    """Note what a preparation is made of; its shards fit no other.

    Raises:
        DataError: it was begun with something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and json.loads(path.read_text()) != plan:
        raise DataError(f"{path.parent}: was begun with {path.read_text()}; go on with that, or give another --out")
    write_whole(path, json.dumps(plan).encode())


def read_wider(folder: Path) -> tuple[list[Photo], list[Photo]]:
    """The labelled photos to train on and those of the development event.

    Raises:
        DataError: there are no labels, or none of one of the two.
    """
    try:
        labels = json.loads((folder / "labels.json").read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}/labels.json: cannot be read: {error}") from None
    training: list[Photo] = []
    development: list[Photo] = []
    for name, row in labels.items():
        if row["faces"] is not None:
            path = folder / Path(*Path(name).parts[1:])
            (development if path.parent.name == DEVELOPMENT_EVENT else training).append(Photo(path, row["faces"]))
    if not training or not development:
        raise DataError(f"{folder}: holds no photo of {DEVELOPMENT_EVENT}, or no other one")
    return training, development


class _Tools:
    """What one thread labels pictures with."""

    def __init__(self) -> None:
        self._yunet, self._large, self._embedder = YuNet(), YuNet(max_side=1280), Embedder()

    def rated(self, picture: Labelled) -> Labelled:
        """The picture with the quality of each face that is large enough: its embedding's norm, as the device sees it."""
        qualities = picture.qualities.copy()
        for row, points in enumerate(picture.landmarks):
            if eye_distance(_face(picture.boxes[row], points)) >= CLEAR:
                qualities[row] = self._embedder.embed(align(picture.image, points)).norm / NORM
        return picture._replace(qualities=qualities)

    def portrait(self, path: Path) -> Labelled | None:
        """A portrait with the face that is found in it, if it is one."""
        image = load_image(path)
        faces = self._yunet.detect(image)
        if len(faces) != 1:
            return None
        points = settle(image, faces[0].landmarks, self._yunet, np.random.default_rng(0))
        return None if points is None else self.rated(_of_faces(image, faces, [points]))

    def frame(self, path: Path) -> Labelled | None:
        """A frame with the faces that are found in it and, enlarged, once more; nothing where the two disagree."""
        image = load_image(path)
        faces = sorted(self._yunet.detect(image), key=lambda face: face.box.left)
        double = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        again = sorted(self._large.detect(np.asarray(double, np.uint8)), key=lambda face: face.box.left)
        agree = len(faces) == len(again) and all(
            np.abs(one.landmarks - other.landmarks / 2).max() < 0.3 * eye_distance(one)
            for one, other in zip(faces, again, strict=True)
        )
        settled = [settle(image, face.landmarks, self._yunet, np.random.default_rng(0)) for face in faces] if agree else []
        points = [each for each in settled if each is not None]
        return self.rated(_of_faces(image, faces, points)) if points and len(points) == len(faces) else None


class _Maker:
    """Makes shards on several threads, each with tools of its own."""

    def __init__(self, workers: int) -> None:
        self._workers, self._own = workers, local()

    def shards(self, folder: Path, first: int, sources: Sequence[Any], work: Callable[[_Tools, Any], Labelled | None]) -> int:
        """Write the shards of these sources from number ``first`` on; returns the number of the next."""

        def one(source: Any) -> Labelled | None:
            if not hasattr(self._own, "tools"):
                self._own.tools = _Tools()
            try:
                return work(self._own.tools, source)
            except ImageError:
                return None

        parts = [sources[at : at + SHARD] for at in range(0, len(sources), SHARD)]
        with ThreadPoolExecutor(self._workers) as pool:
            for number, part in enumerate(tqdm(parts, desc=folder.name, unit="shard", disable=None), first):
                if not is_written(folder, number):
                    made = [picture for picture in pool.map(one, part) if picture is not None]
                    write_shard(folder, number, made)
        return first + len(parts)


def _scenes(folder: Path) -> tuple[list[Path], list[Path]]:
    """The scenes to train on, and those on which false alarms are counted."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    quiet = found[::DEVELOPMENT_SCENES]
    if len(found) <= len(quiet):
        raise DataError(f"{folder}: holds no scenes without faces")
    return [path for number, path in enumerate(found) if number % DEVELOPMENT_SCENES], quiet


def _pattern(number: int) -> Labelled:
    return without_faces(pattern(np.random.default_rng((2, number))))


def _of_faces(image: Image, faces: Sequence[Face], points: Sequence[NDArray[np.float32]]) -> Labelled:
    boxes = [(face.box.left, face.box.top, face.box.width, face.box.height) for face in faces]
    return labelled(image, boxes, points, [UNKNOWN] * len(boxes))


def _face(box: NDArray[np.float32], points: NDArray[np.float32]) -> Face:
    return Face(Box(*map(float, box)), points, 1.0)


def _counts(pictures: Pictures) -> dict[str, int]:
    return {"pictures": len(pictures), "faces": sum(len(picture.boxes) for picture in pictures)}
