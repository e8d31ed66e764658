"""Count false matches among strangers of one gender and one age band, on photos whose names tell both."""

import json
import re
from collections.abc import Collection, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.compare.networks import Network
from train.data import Chips, photo_names
from train.evaluation.verification import Floats

LABEL = re.compile(r"(\d{1,3})_([01])_(?:[0-4]_)?\d{17}\D")
"""UTKFace's names: age, gender, sometimes ancestry, time (Zhang et al., CVPR 2017)."""

GENDERS = ("male", "female")
BANDS = (0, 3, 6, 10, 13, 16, 20, 30, 40, 50, 65)
"""First ages of the bands: narrow where faces change fast."""

ADULT = 20
PER_GROUP = 700
MIN_GROUP = 30
"""Groups of fewer faces tell too little and are left out."""

FARS = (1e-2, 1e-3)
SAME_PICTURE = 0.99
"""Correlation of two faces, shrunken to 16 x 16, from which on they are one photo stored twice."""


def group_of(name: str) -> int:
    """The group that a file's name tells, ``len(BANDS)`` of each gender; -1 where it is not such a name."""
    label = LABEL.match(name)
    return -1 if label is None else int(label[2]) * len(BANDS) + int(np.searchsorted(BANDS, int(label[1]), "right")) - 1


def band_name(band: int) -> str:
    """As in a table: "20-29"."""
    return f"{BANDS[band]}-{BANDS[band + 1] - 1}" if band + 1 < len(BANDS) else f"{BANDS[band]}+"


def choose(folders: Sequence[Path]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of what ``train.data.load`` gives for these folders, at most ``PER_GROUP`` a group, and the group of each."""
    groups = np.array([group_of(name) for folder in folders for name in photo_names(folder)])
    random = np.random.default_rng(0)
    chosen = [random.permutation(np.flatnonzero(groups == group))[:PER_GROUP] for group in range(len(GENDERS) * len(BANDS))]
    rows = np.sort(np.concatenate(chosen))
    return rows, groups[rows]


def repeated(chips: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the chips (n, 112, 112, 3) show the same picture as an earlier one."""
    small = np.stack([cv2.resize(cv2.cvtColor(c, cv2.COLOR_RGB2GRAY), (16, 16), interpolation=cv2.INTER_AREA) for c in chips])
    flat = small.reshape(len(chips), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    correlations = [np.tril(flat[at : at + 512] @ flat.T, at - 1) for at in range(0, len(flat), 512)]
    return np.concatenate([np.any(block >= SAME_PICTURE, axis=1) for block in correlations])


def measure(folders: Sequence[Path], data: Chips, networks: Sequence[Network], learnt: Collection[str]) -> dict[str, Any]:
    """False-match rates of each network within each group, and by what two adults have in common.

    The thresholds are those of the networks' cards at ``FARS``; ``learnt`` names what our network, the first, was trained on,
    as manifests do. Empty where the photos' names tell no large group.
    """
    rows, groups = choose(folders)
    if not len(rows):
        return {}
    chips = data.chips(rows)
    once = ~repeated(chips)
    large = [group for group in np.unique(groups) if np.sum(groups[once] == group) >= MIN_GROUP]
    usable = once & np.isin(groups, large)
    if not usable.any():
        return {}
    chips, groups = chips[usable], groups[usable]
    rated = {
        network.name: (network.templates(chips), network.probes(chips), [network.card.threshold(far) for far in FARS])
        for network in networks
    }
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders if len(choose([folder])[0])]
    return {
        "learnt_from": sorted({source for manifest in manifests for source in manifest.get("sources", ())} & set(learnt)),
        "thresholds": {name: limits for name, (_, _, limits) in rated.items()},
        "repeated": int(np.sum(~once)),
        "groups": [
            {
                "gender": GENDERS[group // len(BANDS)],
                "ages": band_name(group % len(BANDS)),
                "faces": int(np.sum(groups == group)),
                "fmr": {
                    name: [false_match(templates[groups == group], probes[groups == group], limit) for limit in limits]
                    for name, (templates, probes, limits) in rated.items()
                },
            }
            for group in sorted(np.unique(groups).tolist(), key=lambda group: group % len(BANDS))
        ],
        "adults": {
            name: [in_common(templates, probes, groups, limit) for limit in limits]
            for name, (templates, probes, limits) in rated.items()
        },
    }


def false_match(templates: Floats, probes: Floats, threshold: float) -> tuple[float, float]:
    """The share of pairs of different faces at or over the threshold, and its standard error; (n, d) each, a person a row.

    The pairs share faces, so the error is that of a U-statistic, from each face's own share (Hoeffding, 1948).
    """
    over = templates @ probes.T >= threshold
    np.fill_diagonal(over, False)
    shares = (over.sum(axis=0) + over.sum(axis=1)) / (2 * (len(over) - 1))
    return float(shares.mean()), float(2 * shares.std(ddof=1) / np.sqrt(len(shares)))


def in_common(templates: Floats, probes: Floats, groups: NDArray[np.int64], threshold: float) -> dict[str, float]:
    """False-match rates of two adults by what they have in common."""
    hits: dict[str, int] = {}
    pairs: dict[str, int] = {}
    adult = [group for group in np.unique(groups).tolist() if BANDS[group % len(BANDS)] >= ADULT]
    for a, b in product(adult, adult):
        over = templates[groups == a] @ probes[groups == b].T >= threshold
        alike = {"gender": a // len(BANDS) == b // len(BANDS), "age band": a % len(BANDS) == b % len(BANDS)}
        kind = " and ".join(name for name, equal in alike.items() if equal) or "neither"
        own = len(over) if a == b else 0  # a face with itself
        hits[kind] = hits.get(kind, 0) + int(over.sum()) - int(np.trace(over)) * (a == b)
        pairs[kind] = pairs.get(kind, 0) + over.size - own
    return {kind: hits[kind] / pairs[kind] for kind in pairs}
