"""Keep on disk what detector and networks compute from pictures: peers are slow, and an interrupted comparison goes on."""

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface.errors import DataError
from edgeface.types import Image
from train.evaluation.verification import Floats

Compute = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Chips (n, 112, 112, 3) to a row of numbers each."""

COMMIT_EVERY = 50
"""Rows that an interruption may cost."""


class Cache:
    """Computed rows, filed under the name and the input of what computed them; without a folder they are kept in memory.

    Raises:
        DataError: the folder cannot be written.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = folder / "rows.sqlite" if folder else Path(":memory:")
        self._fresh = 0
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._path)
            self._database.execute("CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror or error}") from None
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def row(self, key: str, compute: Callable[[], Floats]) -> NDArray[np.float32]:
        """The numbers, (n,), that ``compute`` gives, or gave under this key before.

        Raises:
            DataError: the file cannot be written, or is not ours.
        """
        try:
            known = self._database.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone()
            if known:
                return np.frombuffer(known[0], np.float32)
            row = np.asarray(compute(), np.float32)
            self._database.execute("INSERT INTO rows VALUES (?, ?)", (key, row.tobytes()))
            self._fresh += 1
            if self._fresh % COMMIT_EVERY == 0:
                self.save()
        except sqlite3.Error as error:
            raise self._damaged(error) from None
        return row

    def of(self, key: str, picture: Image, compute: Callable[[Image], Floats]) -> NDArray[np.float32]:
        """The numbers that ``compute`` gives of a picture, filed under ``key`` and the picture."""
        return self.row(f"{key} {digest(picture)}", lambda: compute(picture))

    def keep(self, key: str, compute: Callable[[Image], Floats]) -> Compute:
        """Make of ``compute`` a function of many chips, which reads what was computed under this key before."""

        def rows(chips: NDArray[np.uint8]) -> NDArray[np.float32]:
            found = [self.of(key, chip, compute) for chip in tqdm(chips, key, unit="chip", leave=False, disable=None)]
            self.save()
            return np.stack(found)

        return rows

    def save(self) -> None:
        """Write what was computed last."""
        self._database.commit()

    def _damaged(self, error: sqlite3.Error) -> DataError:
        return DataError(f"{self._path}: {error}; delete it")


def digest(*arrays: NDArray[np.generic]) -> str:
    """A short name of what arrays hold."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(str((array.shape, array.dtype)).encode() + np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:32]
