"""Lay out the people whom training holds out as LFW does, with pairs of their photos, for ``evaluate`` and ``compare``."""

import shutil
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from edgeface.errors import DataError
from edgeface.measurement.evaluate import people
from edgeface.platform.files import write_whole
from edgeface.vision.images import image_files
from train.prepare import is_validation

FOLDS = 10
MOST = 300
"""Pairs of a kind in a fold, at most."""

Photos = dict[str, int]
"""How many photos there are of each person."""


def write(folder: Path, out: Path, most: int | None = None) -> tuple[int, int]:
    """Write ``out``/images and ``out``/pairs.txt of ``most`` held-out people of ``folder``; returns how many people and pairs.

    Raises:
        DataError: too few people are held out, or a file cannot be written.
    """
    held_out = [person for person in people(folder) if is_validation(f"{folder.name}/{person.name}")]
    photos = {person.name: image_files(person) for person in held_out}
    chosen = {name: files for name, files in photos.items() if len(files) > 1}
    chosen = dict(list(chosen.items())[:most])
    if len(chosen) < 2 * FOLDS:
        raise DataError(f"{folder}: {len(chosen)} held-out people with two photos or more, {2 * FOLDS} are needed")
    try:
        for name, files in chosen.items():
            (out / "images" / name).mkdir(parents=True, exist_ok=True)
            for number, file in enumerate(files, 1):
                shutil.copyfile(file, out / "images" / name / f"{name}_{number:04}{file.suffix}")
        lines = list(pairs({name: len(files) for name, files in chosen.items()}))
        write_whole(out / "pairs.txt", ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise DataError(f"{out}: {error.strerror or error}") from None
    return len(chosen), len(lines) - 1


def pairs(photos: Photos) -> Iterator[str]:
    """The lines of a pairs file; no person is in two folds, and a fold has as many pairs of one kind as of the other."""
    random = np.random.default_rng(0)
    folds = [names.tolist() for names in np.array_split(random.permutation(sorted(photos)), FOLDS)]
    matched = [[(name, *two) for name in fold for two in combinations(range(1, photos[name] + 1), 2)] for fold in folds]
    count = min(MOST, *map(len, matched), *(_mixed(fold, photos) for fold in folds))
    yield f"{FOLDS}\t{count}"
    for fold, alike in zip(folds, matched, strict=True):
        for at in sorted(random.choice(len(alike), count, replace=False)):
            yield "\t".join(map(str, alike[at]))
        yield from _strangers(fold, photos, count, random)


def _mixed(fold: Sequence[str], photos: Photos) -> int:
    """How many pairs of photos of two people there are."""
    counts = [photos[name] for name in fold]
    return (sum(counts) ** 2 - sum(count**2 for count in counts)) // 2


def _strangers(fold: Sequence[str], photos: Photos, count: int, random: np.random.Generator) -> Iterator[str]:
    drawn: set[tuple[str, int, str, int]] = set()
    while len(drawn) < count:
        one, other = random.choice(fold, 2, replace=False).tolist()
        pair = (one, int(random.integers(photos[one])) + 1, other, int(random.integers(photos[other])) + 1)
        if pair not in drawn:
            drawn.add(pair)
            yield "\t".join(map(str, pair))
