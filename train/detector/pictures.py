"""Keep labelled pictures in shards: pixels that are mapped into memory, and JSON that says which faces they show."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import DataError
from edgeface.platform.files import write_whole
from edgeface.types import Image

SHARD = 256
UNKNOWN = -1.0
"""Quality of a face whose embedding was not computed."""


class Labelled(NamedTuple):
    """A picture and its faces: boxes (n, 4) as left, top, width, height, landmarks (n, 5, 2), and qualities (n,)."""

    image: Image
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    qualities: NDArray[np.float32]


def without_faces(image: Image) -> Labelled:
    """A picture that shows nobody."""
    return labelled(image, [], [], [])


def labelled(image: Image, boxes: Sequence[object], landmarks: Sequence[object], qualities: Sequence[float]) -> Labelled:
    """A picture with these faces; any sequences of numbers will do."""
    return Labelled(
        image,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(landmarks, np.float32).reshape(-1, 5, 2),
        np.array(qualities, np.float32),
    )


def is_written(folder: Path, number: int) -> bool:
    """Whether a shard is there, whole."""
    return (folder / f"shard-{number:05}.json").is_file()


def write_shard(folder: Path, number: int, pictures: Sequence[Labelled]) -> None:
    """Write a shard, its JSON last, so that no reader finds half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"shard-{number:05}.json"
    pixels = np.concatenate([np.empty(0, np.uint8), *(picture.image.ravel() for picture in pictures)])
    np.save(path.with_suffix(".npy"), pixels)
    index = [
        {
            "size": [picture.image.shape[1], picture.image.shape[0]],
            "boxes": picture.boxes.round(2).tolist(),
            "landmarks": picture.landmarks.round(2).tolist(),
            "qualities": picture.qualities.round(3).tolist(),
        }
        for picture in pictures
    ]
    write_whole(path, json.dumps(index).encode())


class Pictures(Sequence[Labelled]):
    """The labelled pictures of a folder's shards, read when they are asked for.

    Raises:
        DataError: there is no shard, or a damaged one.
    """

    def __init__(self, folder: Path) -> None:
        self._places: list[tuple[NDArray[np.uint8], int, tuple[int, int]]] = []
        self._labels: list[Labelled] = []
        for path in sorted(folder.glob("shard-*.json")):
            try:
                index = json.loads(path.read_text())
                pixels = np.load(path.with_suffix(".npy"), mmap_mode="r") if index else np.empty(0, np.uint8)
            except (OSError, ValueError, EOFError) as error:
                raise DataError(f"{path}: damaged ({error}); delete its files and prepare again") from None
            start = 0
            for row in index:
                width, height = row["size"]
                self._places.append((pixels, start, (height, width)))
                self._labels.append(labelled(np.empty((0, 0, 3), np.uint8), row["boxes"], row["landmarks"], row["qualities"]))
                start += 3 * width * height
        if not self._places:
            raise DataError(f"{folder}: no shards; run python -m train detector prepare first")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Labelled:  # type: ignore[override]
        pixels, start, (height, width) = self._places[number]
        image = pixels[start : start + 3 * width * height].reshape(height, width, 3)
        return self._labels[number]._replace(image=image)
