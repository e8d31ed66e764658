"""Keep on disk what networks compute from chips: peers are slow and do not change."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface.errors import DataError
from edgeface.platform.files import write_whole
from edgeface.types import Image
from train.evaluation.verification import Floats

Compute = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Chips (n, 112, 112, 3) to a row of numbers each."""


@dataclass(frozen=True, slots=True)
class Network:
    """A face recognition network: unit embeddings of chips that are enrolled, and of those that are compared with them."""

    name: str
    templates: Compute
    probes: Compute


@dataclass(frozen=True, slots=True)
class Cache:
    """Computed rows, filed under the key of what computed them and the digest of the chips; no folder keeps none."""

    folder: Path | None = None

    def keep(self, key: str, compute: Callable[[Image], Floats]) -> Compute:
        """Make of ``compute`` a function of many chips, which reads what was computed under this key before.

        Raises (when called):
            DataError: the folder cannot be written, or a file in it is not ours.
        """

        def rows(chips: NDArray[np.uint8]) -> NDArray[np.float32]:
            digest = hashlib.sha256(chips.tobytes()).hexdigest()
            path = self.folder / f"{key}-{digest[:16]}.npy" if self.folder else None
            if path and path.is_file():
                return _read(path, len(chips))
            found = [compute(chip) for chip in tqdm(chips, key, unit="chip", leave=False, disable=None)]
            result = np.asarray(np.stack(found), np.float32)
            if path:
                _write(path, result)
            return result

        return rows


def _read(path: Path, count: int) -> NDArray[np.float32]:
    try:
        rows = np.load(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}; delete it") from None
    if len(rows) != count:
        raise DataError(f"{path}: {len(rows)} rows where {count} chips were looked at; delete it")
    return np.asarray(rows, np.float32)


def _write(path: Path, rows: NDArray[np.float32]) -> None:
    stream = io.BytesIO()
    np.save(stream, rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, stream.getvalue())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
