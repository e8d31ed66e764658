"""Write and read weights, and read the history of a run."""

import io
import json
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.errors import ModelError
from edgeface.platform.files import write_whole
from train.model import Weights

OLD_NAMES = {"likeness": "perceptual", "validation_worn_": "validation_augmented_"}
"""Beginnings of figures' names in the histories of earlier versions, and what they are now."""


def save_weights(weights: Weights, path: Path) -> None:
    """Write weights in half precision, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value.astype(np.float16) for name, value in weights.items()})
    write_whole(path, buffer.getvalue())


def load_weights(path: Path) -> Weights:
    """Read what ``save_weights`` wrote, as float32.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].astype(np.float32) for name in file.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: no weights can be read from it: {error}") from None


def history(out: Path) -> list[dict[str, Any]]:
    """The lines of a run's history; a last line that a power cut has left in part counts for nothing."""
    path, lines = out / "history.jsonl", []
    for line in path.read_text().splitlines() if path.is_file() else []:
        with suppress(ValueError):
            lines.append({current_name(name): value for name, value in json.loads(line).items()})
    return lines


def current_name(name: str) -> str:
    """The name of a figure or a part of the loss today, which may be that of an earlier version."""
    for before, now in OLD_NAMES.items():
        if name.startswith(before):
            return now + name.removeprefix(before)
    return name
