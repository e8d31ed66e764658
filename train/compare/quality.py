"""Measure how well quality measures foretell a miss, by error against reject (Grother and Tabassi, PAMI 2007)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface import detectors
from edgeface.config import schema
from edgeface.errors import DataError
from edgeface.interfaces import Detector
from edgeface.types import Box, Face, Image
from edgeface.vision import alignment, quality
from edgeface.vision.alignment import CHIP_SIZE
from edgeface.vision.embedding import Embedder
from train.augment import FACE_WIDTH, augment, coarse
from train.compare.cache import Cache, Compute
from train.compare.networks import Network
from train.evaluation.pairs import central_face
from train.evaluation.verification import Floats
from train.export.export import POOR_SHARE

FARS = (1e-2, 1e-3)
REJECTED = np.linspace(0.0, 0.5, 51)
"""Shares of the probes that are turned away, along a curve."""

SIZES = (36, 80)
"""Narrowest and widest face of a probe in its frame, in pixels: smaller ones the device ignores, a chip holds no wider one."""

PRESENT = "present quality"
"""The measure that the pipeline has: ``imaging.quality``."""

TIE = 0.01
"""Gains that differ by less are equal, and the measure that is named first is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What the device knows of n probes before it compares them."""

    vectors: NDArray[np.float32]  # (n, identity), unit
    found: NDArray[np.bool_]  # whether the detector finds the face again
    measures: dict[str, Floats]  # (n,) each; higher is better, 0 where no face is found


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """People's chips as templates (n, identity), as clean probes and as worn ones."""

    people: NDArray[np.str_]
    templates: NDArray[np.float32]
    clean: Looks
    worn: Looks

    def compare(self, passed: NDArray[np.bool_], *, same: bool) -> tuple[Floats, NDArray[np.int64]]:
        """Cosines with the worn probes that ``passed``, of the same person or of others, and the probe of each."""
        alike = self.people[:, None] == self.people[None]
        wanted = (alike & ~np.eye(len(alike), dtype=bool) if same else ~alike) & passed
        return (self.templates @ self.worn.vectors.T)[wanted], np.nonzero(wanted)[1]


def measure(
    embedder: Embedder,
    network: Network,
    cache: Cache,
    choosing: tuple[NDArray[np.uint8], NDArray[np.str_]],
    reported: tuple[NDArray[np.uint8], NDArray[np.str_]],
) -> dict[str, Any]:
    """Error against reject on the chips and people of ``reported``, and a gate by what is best on those of ``choosing``.

    Raises:
        DataError: nobody has two photos in one of them.
    """
    card = embedder.card
    key = f"looks-{card.encoder.sha256[:8]}-{card.decoder.sha256[:8]}"
    look = cache.keep(key, partial(_look, embedder, detectors.create()))
    first, second = (_sample(look, network, *given) for given in (choosing, reported))
    limits = [card.threshold(far) for far in FARS]
    figures = {"choosing": curves(first, limits), "reported": curves(second, limits)}
    gains = {name: float(np.mean(gain)) for name, gain in figures["choosing"]["gain"].items()}
    chosen = next(name for name, gain in gains.items() if gain >= max(gains.values()) - TIE)
    limit = float(np.quantile(first.clean.measures[chosen][first.clean.found], POOR_SHARE))
    return figures | {"chosen": chosen, "limit": limit, "gates": _gates(second, chosen, limit, limits)}


def curves(sample: Sample, limits: Sequence[float]) -> dict[str, Any]:
    """For each of the thresholds the FNMR, its curve by each measure and by an ideal one, and what share of that is gained.

    Raises:
        DataError: nobody has two photos.
    """
    scores, probe = sample.compare(sample.worn.found, same=True)
    if not len(scores):
        raise DataError("nobody has two photos in which a face is found: there is nothing to tell quality by")
    result: dict[str, Any] = {
        "people": len(np.unique(sample.people)),
        "probes": len(sample.people),
        "not_found": float(np.mean(~sample.worn.found)),
        "comparisons": len(scores),
        "fnmr": [float(np.mean(scores < limit)) for limit in limits],
        "ideal": [ideal(float(np.mean(scores < limit))).tolist() for limit in limits],
        "curves": {},
        "gain": {},
    }
    for name, measure in sample.worn.measures.items():
        result["curves"][name] = [error_versus_reject(scores < limit, measure[probe]).tolist() for limit in limits]
        result["gain"][name] = [
            (fnmr - float(np.mean(curve))) / max(fnmr - float(np.mean(best)), 1e-9)
            for fnmr, best, curve in zip(result["fnmr"], result["ideal"], result["curves"][name], strict=True)
        ]
    return result


def error_versus_reject(missed: NDArray[np.bool_], measure: Floats) -> Floats:
    """The share of comparisons that is ``missed`` once a share ``REJECTED`` with the lowest measure is turned away."""
    ranked = missed[np.argsort(measure, kind="stable")]
    return np.array([ranked[int(share * len(ranked)) :].mean() for share in REJECTED])


def ideal(fnmr: float) -> Floats:
    """The curve of a measure that turns away exactly those that would be missed."""
    return np.asarray(np.maximum(fnmr - REJECTED, 0.0) / (1.0 - REJECTED))


def _sample(look: Compute, network: Network, chips: NDArray[np.uint8], people: NDArray[np.str_]) -> Sample:
    random = np.random.default_rng(0)
    sizes = np.exp(random.uniform(np.log(SIZES[0]), np.log(SIZES[1]), len(chips)))
    worn = np.stack([augment(augment(coarse(chip, size), random), random) for chip, size in zip(chips, sizes, strict=True)])
    full = np.full(len(chips), float(FACE_WIDTH))
    return Sample(people, network.templates(chips), _measured(look, chips, full), _measured(look, worn, sizes))


def _look(embedder: Embedder, detector: Detector, chip: Image) -> Floats:
    """Code, reconstruction error, contrast, and the detector's score and landmarks, 0 where it finds no face."""
    embedding, rebuilt = embedder.embed(chip), embedder.rebuild(chip)
    small = cv2.resize(chip, rebuilt.shape[1::-1], interpolation=cv2.INTER_AREA) / 255.0
    edge = CHIP_SIZE // 2  # the detector needs surroundings to see a face against
    picture = np.asarray(cv2.copyMakeBorder(chip, edge, edge, edge, edge, cv2.BORDER_CONSTANT), np.uint8)
    faces = detector.detect(picture)
    face = central_face(faces, picture) if faces else Face(Box(0, 0, 0, 0), np.zeros((5, 2), np.float32), 0.0)
    errors = [np.mean(np.square(rebuilt / 255.0 - small)), small.var()]
    return np.concatenate([embedding.vector * embedding.norm, errors, [face.score], (face.landmarks - edge).ravel()])


def _measured(look: Compute, chips: NDArray[np.uint8], sizes: Floats) -> Looks:
    """Compute all measures. ``sizes`` are the faces' widths in their frames, in pixels, which a chip no longer shows."""
    rows = look(chips)
    codes, (error, contrast, score), landmarks = rows[:, :-13], rows[:, -13:-10].T, rows[:, -10:].reshape(-1, 5, 2)
    norm, found = np.linalg.norm(codes, axis=1), score > 0
    scaled = landmarks * (sizes / FACE_WIDTH)[:, None, None].astype(np.float32)
    faces = [Face(Box(0, 0, 0, 0), points, float(s)) for points, s in zip(scaled, score, strict=True)]
    fitness = np.array([quality.quality(face, chip) for face, chip in zip(faces, chips, strict=True)])
    measures = {
        PRESENT: fitness,
        "its size": np.array([alignment.eye_distance(face) for face in faces]),
        "its sharpness": np.array([quality.sharpness(chip) for chip in chips]),
        "its exposure": np.array([quality.exposure(chip) for chip in chips]),
        "its pose": np.array([quality.frontality(points) for points in landmarks]),
        "its detector score": score,
        "embedding norm": norm,
        "norm x detector score": norm * score,
        f"norm x {PRESENT}": norm * fitness,
        "reconstruction error": -error,
        "reconstruction error / contrast": -error / (contrast + 1e-3),
        "norm / reconstruction error": norm / (error + 1e-3),
    }
    vectors = codes / np.maximum(norm, 1e-9)[:, None]
    return Looks(np.asarray(vectors, np.float32), found, {name: np.where(found, m, -np.inf) for name, m in measures.items()})


def _gates(sample: Sample, chosen: str, limit: float, limits: Sequence[float]) -> dict[str, Any]:
    """The shares that gates turn away, and the errors left: none, the present gate, the chosen measure, and both."""
    lowest = schema.DetectorSettings().min_quality
    gates = {
        name: [
            looks.found & (looks.measures[PRESENT] >= first) & (looks.measures[chosen] >= second)
            for looks in (sample.clean, sample.worn)
        ]
        for name, first, second in (
            ("none", -np.inf, -np.inf),
            ("present", lowest, -np.inf),
            ("chosen", -np.inf, limit),
            ("both", lowest, limit),
        )
    }
    figures = {}
    for name, (clean, worn) in gates.items():
        matched, unmatched = (sample.compare(worn, same=same)[0] for same in (True, False))
        figures[name] = {
            "clean_away": 1 - _share(clean[sample.clean.found]),
            "worn_away": 1 - _share(worn[sample.worn.found]),
            "fnmr": [_share(matched < cosine) for cosine in limits],
            "fmr": _share(unmatched >= limits[-1]),
        }
    return figures


def _share(of: NDArray[np.bool_]) -> float:
    return float(of.mean()) if len(of) else 0.0
