"""Verify pairs in LFW's format, through the detector, alignment and embedder that the device runs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import msgspec
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface import detectors
from edgeface.errors import ConfigError, DataError, ImageError
from edgeface.platform.files import write_whole
from edgeface.types import Face, Image
from edgeface.vision.alignment import align
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import SUFFIXES, load_image
from edgeface.vision.model_card import load_card, save_card
from train.evaluation.verification import best_threshold, equal_error_rate, fold_accuracies, tar_at_far, threshold_at_far

matplotlib.use("Agg")
NO_FACE = -1.0
"""Score of a pair with a photo in which no face is found: never a match."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of photos: names within the images' folder, whether they match, and the fold of each."""

    left: list[str]
    right: list[str]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]


def read_pairs(path: Path) -> Pairs:
    """Read LFW's pairs.txt: ``name n m`` is a matched pair, ``name n other m`` an unmatched one; line 1 counts folds, pairs.

    A file of one fold, whose line 1 counts its pairs of a kind alone, is cut into ten.

    Raises:
        DataError: the file cannot be read or is of another format.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        folds, per_kind = (int(part) for part in lines[0].split()) if len(lines[0].split()) == 2 else (1, int(lines[0]))
        rows = [line.split() for line in lines[1:] if line.strip()]
        full = [[a[0], a[1], a[0], a[2]] if len(a) == 3 else a for a in rows]
        left, right = [f"{a}/{a}_{int(n):04}" for a, n, _, _ in full], [f"{b}/{b}_{int(m):04}" for _, _, b, m in full]
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise DataError(f"{path}: not a pairs file in LFW's format: {error}") from None
    if len({len(row) for row in rows}) != 2:
        raise DataError(f"{path}: matched and unmatched pairs are needed, and only one kind is there")
    if len(rows) != 2 * folds * per_kind:
        raise DataError(f"{path}: {len(rows)} pairs, its first line promises {2 * folds * per_kind}")
    number = np.arange(len(rows))
    parts = number // (2 * per_kind) if folds > 1 else number % 10
    return Pairs(left, right, np.array([len(row) == 3 for row in rows]), parts)


def evaluate(
    images: Path, pairs_file: Path, model: Path, weights: Path | None = None
) -> tuple[dict[str, Any], NDArray[np.float64], Pairs]:
    """Figures, scores and pairs of a network on a verification set.

    With ``weights``, a weights.npz, the network is measured in float. As on the device, the first photo of a pair is a
    template and the second a probe.

    Raises:
        DataError: the pairs cannot be read.
        ImageError: a photo is missing or cannot be read.
        ModelError: the network cannot be used.
    """
    pairs, embedder = read_pairs(pairs_file), Embedder(model)
    if weights:
        from train.evaluation.float_model import FloatEmbedder

        embedder = FloatEmbedder(model, weights)
    scores, no_face = score(pairs, images, embedder)
    accuracies = fold_accuracies(scores, pairs.same, pairs.folds)
    matched, unmatched = scores[pairs.same], scores[~pairs.same]
    figures = {
        "accuracy": float(np.mean(accuracies)),
        "accuracy_std": float(np.std(accuracies)),
        "tar": {f"{far:g}": tar_at_far(matched, unmatched, far) for far in (1e-2, 1e-3)},
        "eer": equal_error_rate(matched, unmatched),
        "thresholds": {
            "accuracy": best_threshold(scores, pairs.same),
            **{f"{far:g}": threshold_at_far(unmatched, far) for far in (1e-2, 1e-3)},
        },
        "card_thresholds": [
            {
                "far": t.far,
                "cosine": t.cosine,
                "far_here": float(np.mean(unmatched >= t.cosine)),
                "tar_here": float(np.mean(matched >= t.cosine)),
            }
            for t in embedder.card.thresholds
        ],
        "pairs": len(scores),
        "no_face": no_face,
        "model": f"float {weights}" if weights else embedder.card.digest,
    }
    return figures, scores, pairs


def score(pairs: Pairs, images: Path, embedder: Embedder) -> tuple[NDArray[np.float64], list[str]]:
    """The cosine of each pair, and the photos in which no face is found.

    Raises:
        ImageError: a photo is missing or cannot be read.
    """
    detector, no_face = detectors.create(), []
    templates: dict[str, NDArray[np.float32]] = {}
    probes: dict[str, NDArray[np.float32]] = {}
    enrolled, shown = set(pairs.left), set(pairs.right)
    photos = {name: find_photo(images, name) for name in sorted(enrolled | shown)}  # one that is missing is told at once
    for name, path in tqdm(photos.items(), unit="photo", disable=None):
        image = load_image(path)
        faces = detector.detect(image)
        if not faces:
            no_face.append(name)
            continue
        chip = align(image, central_face(faces, image).landmarks)
        if name in enrolled:
            templates[name] = embedder.template(chip).vector
        if name in shown:
            probes[name] = embedder.embed(chip).vector
    cosines = [_cosine(templates.get(a), probes.get(b)) for a, b in zip(pairs.left, pairs.right, strict=True)]
    return np.array(cosines), no_face


def plot_roc(scores: NDArray[np.float64], same: NDArray[np.bool_], path: Path, title: str) -> None:
    """Draw true-accept against false-accept rate, the latter on a log scale."""
    from matplotlib import pyplot

    thresholds = np.unique(scores)[::-1]
    far = 1 - np.searchsorted(np.sort(scores[~same]), thresholds) / (~same).sum()
    tar = 1 - np.searchsorted(np.sort(scores[same]), thresholds) / same.sum()
    figure, axes = pyplot.subplots(figsize=(6, 5))
    axes.step(np.maximum(far, 1e-5), tar, where="post")
    axes.set(
        xscale="log",
        xlim=(1 / (~same).sum(), 1),
        ylim=(0, 1.01),
        xlabel="false-accept rate",
        ylabel="true-accept rate",
        title=title,
    )
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=100, format="png")
    pyplot.close(figure)


def record(model: Path, name: str, figures: dict[str, Any]) -> None:
    """Note figures in the network's card, under ``metrics``.

    Raises:
        ConfigError: the name is that of figures which the export has noted.
    """
    card = load_card(model)
    if "accuracy" not in card.metrics.get(name, {"accuracy": 0}):
        raise ConfigError(f"--record {name}: the export's own figures have that name")
    kept = {key: figures[key] for key in ("accuracy", "accuracy_std", "tar", "eer", "pairs")} | {
        "no_face": len(figures["no_face"])
    }
    card = msgspec.structs.replace(card, metrics={**card.metrics, name: kept})
    save_card(model, card)


def write_json(figures: dict[str, Any], path: Path) -> None:
    """Write the figures, whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        write_whole(path, (json.dumps(figures, indent=2) + "\n").encode())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None


def in_lines(figures: dict[str, Any]) -> Iterator[str]:
    """Say the figures of ``evaluate`` in lines for people."""
    missed = figures["no_face"]
    yield f"model      {figures['model'][:40]}"
    yield f"pairs      {figures['pairs']}; no face was found in {len(missed)} photos" + (
        f", such as {missed[0]}" if missed else ""
    )
    yield f"accuracy   {figures['accuracy']:.2%} ± {figures['accuracy_std']:.2%}, over ten folds"
    yield f"EER        {figures['eer']:.2%}"
    for far, tar in figures["tar"].items():
        yield f"TAR        {tar:.2%} at a FAR of {float(far):.2%}"
    for one in figures["card_thresholds"]:
        rates = f"FAR {one['far_here']:.2%}, TAR {one['tar_here']:.2%}"
        yield f"threshold  {one['cosine']:.2f}, set for a FAR of {one['far']:g}: here {rates}"


def find_photo(images: Path, name: str) -> Path:
    """The file of a photo that pairs name, whatever its suffix.

    Raises:
        ImageError: there is none.
    """
    for path in (images / name).parent.glob(f"{Path(name).name}.*"):
        if path.suffix.lower() in SUFFIXES:
            return path
    raise ImageError(f"{images / name}.*: there is no such image")


def central_face(faces: Sequence[Face], image: Image) -> Face:
    """The face whose middle is nearest to the picture's: whom the photo is of, in a set of portraits."""
    height, width = image.shape[:2]
    return min(
        faces, key=lambda f: np.hypot(f.box.left + f.box.width / 2 - width / 2, f.box.top + f.box.height / 2 - height / 2)
    )


def _cosine(a: NDArray[np.float32] | None, b: NDArray[np.float32] | None) -> float:
    return NO_FACE if a is None or b is None else float(a @ b)
