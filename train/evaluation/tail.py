"""Measure the tail of the non-mated similarities on photos that the network has not seen, and model what lies beyond it.

A set without names has one photo of most people, so that nearly all of its pairs are non-mated. Excesses over a high threshold
follow a generalised Pareto distribution (Pickands, "Statistical inference using extreme order statistics", Annals of Statistics
3, 1975), by which thresholds are had for rates that no number of comparisons reaches.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface.errors import DataError
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import ModelCard, Threshold
from train.augment import LANDMARK_ERROR, shake
from train.data import Chips, load, photo_names, teacher_embeddings
from train.prepare import chips_of, is_validation

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

SAME_PERSON = 0.45
"""Cosine from which on both teachers must hold two photos for one person's, so that their comparison is left out.

Of 40 such pairs of utkface2 just under it, at 0.40 to 0.45, some 37 look like one person; of allage some 15. At 0.40 chains of
look-alikes join 946 photos of allage in one "person", at 0.45 at most 77.
"""

ADULT = 16
"""Photos whose names tell a lower age are left out: children are hardly told apart (docs/network.md)."""

AGE = re.compile(r"(?:(\d{1,3})_[01]_(?:[0-4]_)?\d{17}|\d{5}A(\d{2}))\D")
"""Names of UTKFace and of All-Age-Faces."""

FEWEST_PEOPLE = 200
"""People under whom an interval over people means little."""

BIN = 1e-4
"""Width of the histogram's bins, to which the card rounds its cosines."""

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
LEAST = 10
"""Comparisons at or over a threshold without which it counts as modelled."""

MODEL_FROM, FEWEST_EXCESSES = 1e-5, 100
"""False-accept rate of the cosine over which the model is fitted, and the comparisons over it that are the fewest to fit to."""

LISTED = 3e-3
"""Share of the comparisons, the highest, that are kept one by one: thresholds up to a third of this rate have intervals."""

RESAMPLES = 500
BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Photos of one set: templates (n, d), probes (2n, d) aligned and shaken, which probes count, and people as numbers."""

    name: str
    templates: Floats
    probes: Floats
    counted: NDArray[np.bool_]
    people: Ints

    def blocks(self) -> Iterator[tuple[slice, Floats, NDArray[np.bool_]]]:
        """Rows of templates, their cosines with all probes, and which of these are comparisons of different people."""
        probe_people = np.tile(self.people, 2)
        for at in range(0, len(self.templates), BLOCK):
            rows = slice(at, at + BLOCK)
            yield rows, self.templates[rows] @ self.probes.T, self.counted & (self.people[rows, None] != probe_people)


@dataclass(frozen=True, slots=True, eq=False)
class Highest:
    """The highest similarities of one set, each with the people of its template and its probe.

    ``photos`` and ``probes`` are the numbers of templates and of counted probes by person.
    """

    cosines: Floats
    template_people: Ints
    probe_people: Ints
    photos: Ints
    probes: Ints

    def draw(self, random: np.random.Generator) -> tuple[NDArray[np.float64], float]:
        """Resample the people: the weight of each similarity, and the number of comparisons that there are then."""
        people = len(self.photos)
        times = np.bincount(random.integers(people, size=people), minlength=people).astype(float)
        own = float((times**2 * self.photos * self.probes).sum())
        total = float((times * self.photos).sum() * (times * self.probes).sum()) - own
        return times[self.template_people] * times[self.probe_people], total


@dataclass(frozen=True, slots=True)
class Pareto:
    """A generalised Pareto distribution of the excesses over ``above``, which a share ``far`` of the comparisons reaches."""

    above: float
    far: float
    scale: float
    shape: float

    def threshold(self, far: float) -> float:
        """The cosine that a share ``far`` of the comparisons reaches."""
        rarer = far / self.far
        steps = -np.log(rarer) if abs(self.shape) < 1e-6 else (rarer**-self.shape - 1) / self.shape
        return float(min(1.0, self.above + self.scale * steps))


@dataclass(frozen=True, slots=True)
class Tail:
    """Thresholds down to the rates that the comparisons reach, and beyond; ``model`` is what the latter come from.

    ``sets`` has the photos, people, comparisons and measured cosines of each set, ``predicted`` the model's cosines at
    the rates below its own.
    """

    thresholds: list[Threshold]
    comparisons: int
    photos: int
    people: int
    model: Pareto
    predicted: dict[str, float]
    sets: list[dict[str, Any]]


def measure(folders: Sequence[Path], embedder: Embedder, tell: Callable[[str], None] = lambda _: None) -> Tail:
    """Compare all photos of each folder that ``embedder``'s network has not learnt from.

    Comparisons are within a set, whose people are of one kind: across sets strangers are told apart more easily. A template is
    an aligned photo; probes are other people's photos, once aligned and once with landmarks as inexact as on a device, if their
    embeddings' norms are enough.

    Raises:
        DataError: a folder was not prepared with two teachers, or too few photos are left.
    """
    sets = [faces for folder in folders if (faces := unseen(folder, embedder, tell))]
    if not sets:
        raise DataError("the network has learnt from all of these photos: give others, or people who were held out")
    return tail_of(sets)


def tail_of(sets: Sequence[Faces]) -> Tail:
    """Measure thresholds with their intervals, and model those beyond.

    Raises:
        DataError: there are too few comparisons.
    """
    counts = [histogram(faces) for faces in sets]
    pooled = np.sum(counts, axis=0)
    total = int(pooled.sum())
    people = sum(len(np.unique(faces.people)) for faces in sets)
    measured = [far for far in FARS if far * total >= LEAST]
    if people < FEWEST_PEOPLE:
        raise DataError(f"{people} people are too few for a tail: {FEWEST_PEOPLE} are needed")
    if total * MODEL_FROM < FEWEST_EXCESSES:
        raise DataError(f"{total} comparisons are too few for a tail: {FEWEST_EXCESSES / MODEL_FROM:.0f} are needed")
    highest = [listed(faces, threshold_at(pooled, LISTED)) for faces in sets]
    order = np.argsort(-np.concatenate([one.cosines for one in highest]))
    cosines = np.concatenate([one.cosines for one in highest])[order]
    above = threshold_at(pooled, MODEL_FROM)
    model = fit(cosines, np.ones(len(cosines)), above, total)
    found = {far: threshold_at(pooled, far) if far in measured else model.threshold(far) for far in FARS}
    limits = _intervals(highest, order, cosines, above, measured)
    thresholds = []
    for far in FARS:
        low, high = limits.get(far, (None, None))
        thresholds.append(Threshold(far, round(found[far], 4), low, high, far not in measured))
    return Tail(
        thresholds,
        total,
        sum(len(faces.templates) for faces in sets),
        people,
        model,
        {f"{far:g}": round(model.threshold(far), 4) for far in FARS if far < MODEL_FROM},
        [_row(*one) for one in zip(sets, counts, strict=True)],
    )


def _row(faces: Faces, counts: Ints) -> dict[str, Any]:
    total = int(counts.sum())
    cosines = {f"{far:g}": threshold_at(counts, far) for far in FARS if far * total >= LEAST}
    return {
        "name": faces.name,
        "photos": len(faces.templates),
        "people": len(np.unique(faces.people)),
        "comparisons": total,
        "cosines": cosines,
    }


def _intervals(
    highest: Sequence[Highest], order: Ints, cosines: Floats, above: float, measured: Sequence[float]
) -> dict[float, tuple[float, float]]:
    """The 95 % intervals of the thresholds from ``LISTED`` / 3 on, by a bootstrap over people within each set."""
    random, fars = np.random.default_rng(0), [far for far in FARS if far <= LISTED / 3]
    drawn = np.empty((RESAMPLES, len(fars)))
    for row in drawn:
        parts = [one.draw(random) for one in highest]
        weights, total = np.concatenate([part for part, _ in parts])[order], sum(number for _, number in parts)
        reached = np.cumsum(weights)
        model = fit(cosines, weights, above, total) if reached[cosines >= above][-1] else None
        for column, far in enumerate(fars):
            place = min(int(np.searchsorted(reached, far * total, "right")), len(cosines) - 1)
            row[column] = cosines[place] if far in measured or model is None else model.threshold(far)
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0).round(4)
    return {far: (float(low[column]), float(high[column])) for column, far in enumerate(fars)}


def fit(cosines: Floats, weights: NDArray[np.float64], above: float, total: float) -> Pareto:
    """Fit the excesses over ``above`` by probability-weighted moments; ``cosines`` fall.

    With a_s the mean of x (1 - F(x))^s, shape = 2 - a_0 / (a_0 - 2 a_1) and scale = 2 a_0 a_1 / (a_0 - 2 a_1), at the plotting
    positions (i - 0.35) / n (Hosking and Wallis, "Parameter and quantile estimation for the generalized Pareto distribution",
    Technometrics 29, 1987; their k is -shape).
    """
    over = (cosines >= above) & (weights > 0)
    excesses, weight = cosines[over].astype(float) - above, weights[over]
    mass = weight.sum()
    rarer = (np.cumsum(weight) - 0.65 * weight) / mass  # 1 - F, for the highest comes first
    first, second = (weight * excesses).sum() / mass, (weight * excesses * rarer).sum() / mass
    spread = first - 2 * second
    return Pareto(above, float(mass / total), float(2 * first * second / spread), float(2 - first / spread))


def histogram(faces: Faces) -> Ints:
    """Count the similarities of different people in bins of ``BIN`` from -1 on."""
    counts = np.zeros(round(2 / BIN) + 2, np.int64)
    for _, cosines, different in faces.blocks():
        places = ((cosines[different] + 1) / np.float32(BIN)).astype(np.int32)
        counts += np.bincount(np.clip(places, 0, len(counts) - 1), minlength=len(counts))
    return counts


def threshold_at(counts: Ints, far: float) -> float:
    """The lowest edge of a bin that at most a share ``far`` of the counted similarities lies on or over."""
    reached = counts[::-1].cumsum()[::-1]
    return round(int(np.argmax(reached <= far * reached[0])) * BIN - 1, 4)


def listed(faces: Faces, floor: float) -> Highest:
    """The similarities of different people from ``floor`` on."""
    _, people = np.unique(faces.people, return_inverse=True)
    probe_people, parts = np.tile(people, 2), []
    for rows, cosines, different in faces.blocks():
        template, probe = np.nonzero(different & (cosines >= floor))
        parts.append((cosines[template, probe], people[rows][template], probe_people[probe]))
    cosines, templates, probes = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Highest(cosines, templates, probes, np.bincount(people), np.bincount(probe_people, faces.counted).astype(np.int64))


def unseen(folder: Path, embedder: Embedder, tell: Callable[[str], None]) -> Faces | None:
    """The adults of a prepared folder whom the network has not learnt from; none if that is nobody.

    Raises:
        DataError: the folder was not prepared with a second teacher.
    """
    data, names = load([folder]), photo_names(folder)
    if not data.second:
        raise DataError(f"{folder}: prepare it with --second: two teachers tell which photos are one person's")
    learnt = {source for part in embedder.card.training.get("data", ()) for source in part["sources"]}
    trained = bool(learnt & set(json.loads((folder / "manifest.json").read_text()).get("sources", ())))
    kept = [age_of(name) >= ADULT and (not trained or is_validation(who)) for name, who in zip(names, data.people, strict=True)]
    rows = np.flatnonzero(kept)
    if len(rows) < 2:
        tell(f"{folder}: left out, for the network has learnt from its photos")
        return None
    tell(f"{folder}: {len(rows)} photos")
    return Faces(folder.name, *_embedded(data, rows, embedder, folder.name), people=identities(data, rows))


def age_of(name: str) -> int:
    """The age that a photo's name tells, or that of an adult."""
    told = AGE.match(name)
    return int(told[1] or told[2]) if told else ADULT


def _embedded(data: Chips, rows: Ints, embedder: Embedder, name: str) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Templates, probes, and which probes have the norm that the card asks for."""
    random, templates, aligned, shaken = np.random.default_rng(0), [], [], []
    for row in tqdm(rows, name, unit="photo", disable=None):
        (crop,) = data.crops(np.array([row]))
        (chip,) = chips_of(crop[None])
        templates.append(embedder.template(chip).vector)
        aligned.append(embedder.embed(chip))
        shaken.append(embedder.embed(shake(crop, LANDMARK_ERROR, random)))
    probes = [*aligned, *shaken]
    counted = np.array([probe.norm >= embedder.card.min_norm for probe in probes])
    return np.stack(templates), np.stack([probe.vector for probe in probes]), counted


def identities(data: Chips, rows: Ints) -> Ints:
    """Number the people: photos of one name, or that both teachers hold for one person's, directly or through others."""
    parts = np.array_split(rows, -(-len(rows) // BLOCK))  # contributions are large
    first = np.concatenate([teacher_embeddings(data.contributions(part)) for part in parts])
    second = data.second_embeddings(rows).astype(np.float32)
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    _, numbers = np.unique(data.people[rows], return_inverse=True)
    parent = np.arange(len(rows))
    for at in range(0, len(rows), BLOCK):
        block = slice(at, at + BLOCK)
        alike = (first[block] @ first.T >= SAME_PERSON) & (second[block] @ second.T >= SAME_PERSON)
        named = (data.people[rows[block]] != "")[:, None] & (numbers[block, None] == numbers)
        for one, other in zip(*np.nonzero(alike | named), strict=True):
            parent[_root(parent, one + at)] = _root(parent, other)
    return np.array([_root(parent, photo) for photo in range(len(rows))], np.int64)


def _root(parent: NDArray[np.intp], photo: int) -> int:
    while parent[photo] != photo:
        parent[photo] = parent[parent[photo]]
        photo = parent[photo]
    return int(photo)


def record(card: ModelCard, tail: Tail) -> ModelCard:
    """The card with these thresholds, and with what they were measured on."""
    model = {name: round(value, 8) for name, value in msgspec.to_builtins(tail.model).items()}
    calibration = {
        "data": "adults whom the network has not seen, each set by itself, aligned and with shaken landmarks; no probes under "
        "min_norm, no pairs that both teachers hold for one person",
        "people": tail.people,
        "photos": tail.photos,
        "unmatched_comparisons": tail.comparisons,
        "tail": {"generalised Pareto": model, "predicted": tail.predicted},
        "sets": tail.sets,
    }
    return msgspec.structs.replace(card, thresholds=tail.thresholds, calibration=calibration)
