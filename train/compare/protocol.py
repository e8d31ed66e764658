"""Verify every pair of the protocol by every network, on the same chips."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.interfaces import Detector
from train.compare.networks import Network
from train.compare.robustness import chips_of, people_of, portraits, vectors
from train.evaluation.pairs import NO_FACE, Pairs
from train.evaluation.verification import equal_error_rate, fold_accuracies, tar_at_far

FARS = (1e-2, 1e-3)


def measure(images: Path, pairs: Pairs, networks: Sequence[Network], detector: Detector) -> dict[str, Any]:
    """Accuracy, TAR at each FAR and EER of each network; a pair with a photo in which no face is found is rejected.

    ``tar`` has the protocol's own unmatched pairs, ``tar_all`` every template with every probe of somebody else.

    Raises:
        DataError: in no photo is a face found.
        ImageError: a photo is missing or cannot be read.
    """
    left, template = np.unique(np.array(pairs.left), return_inverse=True)
    right, probe = np.unique(np.array(pairs.right), return_inverse=True)
    enrolled, shown = (chips_of(portraits(images, list(names), detector)) for names in (left, right))
    stranger = people_of(left)[:, None] != people_of(right)[None]
    figures: dict[str, Any] = {
        "pairs": len(pairs.same),
        "folds": len(np.unique(pairs.folds)),
        "people": len({*people_of(left), *people_of(right)}),
        "comparisons": int(stranger.sum()),
        "no_face": sum(chip is None for chip in (*enrolled, *shown)),
        "networks": {},
    }
    for network in networks:
        cosines = vectors(network.templates, enrolled) @ vectors(network.probes, shown).T
        cosines = np.nan_to_num(cosines, nan=NO_FACE)
        scores = cosines[template, probe]
        matched, unmatched, everybody = scores[pairs.same], scores[~pairs.same], cosines[stranger]
        accuracies = fold_accuracies(scores, pairs.same, pairs.folds)
        figures["networks"][network.name] = {
            "accuracy": float(np.mean(accuracies)),
            "accuracy_error": float(np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))),
            "tar": [tar_at_far(matched, unmatched, far) for far in FARS],
            "tar_all": [tar_at_far(matched, everybody, far) for far in FARS],
            "eer": equal_error_rate(matched, unmatched),
        }
    return figures
