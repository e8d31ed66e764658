"""Measure verification with clean templates and worn probes, by our network and its peers on the same chips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface.errors import DataError
from edgeface.interfaces import Detector
from edgeface.types import Image
from edgeface.vision.alignment import align, similarity_transform
from edgeface.vision.images import load_image
from train import augment
from train.compare.cache import Compute
from train.compare.networks import Network
from train.evaluation.pairs import NO_FACE, Pairs, central_face, find_photo
from train.evaluation.verification import Floats, fold_accuracies, tar_at_far

FOLDS = 4
"""The first folds of the pairs, which are enough: peers are slow."""

FAR = 1e-2
TURN = 15.0
EFFECTS: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "clean": lambda chip, _: chip,
    "blur, 2 px": lambda chip, _: augment.blur(chip, 2.0),
    "blur, 4 px": lambda chip, _: augment.blur(chip, 4.0),
    "noise": lambda chip, random: augment.noise(chip, 16.0, random),
    "1/4 light": lambda chip, _: augment.light(chip, np.array([0.25]), 1.0),
    "28-px face": lambda chip, _: augment.coarse(chip, 28.0),
    "20-px face": lambda chip, _: augment.coarse(chip, 20.0),
    "JPEG 20": lambda chip, _: augment.jpeg(chip, 20),
    "grey": lambda chip, _: augment.grey(chip),
    "mask": lambda chip, _: augment.mask(chip, (120, 170, 200)),
    "sunglasses": lambda chip, _: augment.sunglasses(chip, (20, 20, 20)),
    "chip turned": lambda chip, _: augment.turn(chip, TURN),
}
"""What is done to the aligned chip of a probe."""

PHOTO_TURNED = "photo turned"
"""The condition in which the photo is turned, and its face found and aligned anew."""

REBUILT = "rebuilt"
"""Probes as the decoder draws them: how much of a person is left in the codes for others to see."""


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """The aligned chip of a photo's central face, and the degrees by which alignment turned it, clockwise."""

    chip: Image
    roll: float


def measure(
    images: Path,
    pairs: Pairs,
    networks: Sequence[Network],
    detector: Detector,
    threshold: float,
    rebuild: Callable[[Image], Image],
) -> dict[str, Any]:
    """Return accuracy and TAR of each network in each condition, and the first one's TAR and FAR at ``threshold``.

    ``rebuild`` draws a chip from its codes. Accuracy is by the folds of the protocol. Rates have its matched pairs; unmatched
    is every template with every probe of somebody else, for the protocol's own unmatched pairs are too few for a rate of 1 %.

    Raise ``DataError`` if no face is found in any template or in any probe, ``ImageError`` if a photo cannot be read.
    """
    used = np.flatnonzero(pairs.folds < FOLDS)
    same, folds = pairs.same[used], pairs.folds[used]
    left, template = np.unique(np.array(pairs.left)[used], return_inverse=True)
    right, probe = np.unique(np.array(pairs.right)[used], return_inverse=True)
    templates, probes = (portraits(images, list(names), detector) for names in (left, right))
    askew = portraits(images, list(right), detector, TURN)
    conditions = {name: worn(chips_of(probes), name) for name in EFFECTS} | {PHOTO_TURNED: chips_of(askew)}
    conditions[REBUILT] = [None if chip is None else rebuild(chip) for chip in chips_of(probes)]
    stranger = people_of(left)[:, None] != people_of(right)[None]
    figures: dict[str, Any] = {name: {} for name in conditions}
    for network in networks:
        known = vectors(network.templates, chips_of(templates))
        for name, chips in conditions.items():
            cosines = np.nan_to_num(known @ vectors(network.probes, chips).T, nan=NO_FACE)
            scores, unmatched = cosines[template, probe], cosines[stranger]
            figures[name][network.name] = _rates(scores, unmatched, same, folds)
            if network is networks[0]:
                figures[name]["fixed"] = {
                    "tar": float(np.mean(scores[same] >= threshold)),
                    "far": float(np.mean(unmatched >= threshold)),
                }
    taken_back = [new.roll - old.roll for old, new in zip(probes, askew, strict=True) if old and new]
    return {
        "pairs": len(used),
        "folds": len(np.unique(folds)),
        "matched": int(same.sum()),
        "unmatched": int(stranger.sum()),
        "photos": len({*left, *right}),
        "no_face": {"clean": sum(seen is None for seen in probes), PHOTO_TURNED: sum(seen is None for seen in askew)},
        "taken_back": float(np.mean(taken_back)) if taken_back else 0.0,
        "threshold": threshold,
        "rebuilt": figures.pop(REBUILT),
        "conditions": figures,
    }


def _rates(scores: Floats, unmatched: Floats, same: NDArray[np.bool_], folds: NDArray[np.int64]) -> dict[str, float]:
    accuracies = fold_accuracies(scores, same, folds)
    return {
        "accuracy": float(np.mean(accuracies)),
        "accuracy_error": float(np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))),
        "tar": tar_at_far(scores[same], unmatched, FAR),
    }


def portraits(images: Path, names: Sequence[str], detector: Detector, degrees: float = 0.0) -> list[Portrait | None]:
    """The central face of each photo once the photo was turned by ``degrees``, anticlockwise; none where none is found.

    Raises:
        DataError: there is no face in any photo.
        ImageError: a photo is missing or cannot be read.
    """
    found: list[Portrait | None] = []
    for name in tqdm(names, "photos", unit="photo", leave=False, disable=None):
        photo = turned(load_image(find_photo(images, name)), degrees)
        faces = detector.detect(photo)
        if faces:
            landmarks = central_face(faces, photo).landmarks
            transform = similarity_transform(landmarks)
            angle = float(np.rad2deg(np.arctan2(transform[1, 0], transform[0, 0])))
            found.append(Portrait(align(photo, landmarks), angle))
        else:
            found.append(None)
    if not any(found):
        raise DataError(f"{images}: no face in any of {len(found)} photos")
    return found


def worn(chips: Sequence[Image | None], condition: str) -> list[Image | None]:
    """The chips in this condition; the same on every call."""
    random = np.random.default_rng(0)
    return [None if chip is None else EFFECTS[condition](chip, random) for chip in chips]


def turned(photo: Image, degrees: float) -> Image:
    """A photo turned about its middle, in a frame of the same size whose corners are filled by reflection."""
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8)


def chips_of(found: Sequence[Portrait | None]) -> list[Image | None]:
    """The chips of portraits, where there are any."""
    return [portrait.chip if portrait else None for portrait in found]


def vectors(embed: Compute, chips: Sequence[Image | None]) -> NDArray[np.float32]:
    """Embeddings, one a row; not a number where there is no face."""
    rows = embed(np.stack([chip for chip in chips if chip is not None]))
    vectors = np.full((len(chips), rows.shape[1]), np.nan, np.float32)
    vectors[[chip is not None for chip in chips]] = rows
    return vectors


def people_of(names: NDArray[np.str_]) -> NDArray[np.str_]:
    """The people of photos, by the photos' names."""
    return np.array([name.split("/")[0] for name in names])
