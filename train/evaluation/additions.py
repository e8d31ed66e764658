"""Count the further photos of an enrolled person that are refused, and the strangers' photos that are not."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface.config import schema
from edgeface.enrollment.enroller import Enroller, Report, read_images
from edgeface.errors import DataError
from edgeface.gallery.open import open_gallery
from edgeface.measurement.evaluate import people
from edgeface.recognition.matching import similarity
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import Vector
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import image_files

RATES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.001)
"""False-accept rates of the model card at whose scores the errors are counted."""
PHOTOS, STRANGERS = 5, 10
"""Photos of each person, and other people that each person's templates are held against."""


@dataclass(frozen=True, slots=True)
class Row:
    """The errors at one score: the share of own photos that are refused, and of strangers' that are taken, each of so many."""

    templates: int
    rate: float
    score: float
    refused: float
    own: int
    taken: float
    strangers: int


def measure(folder: Path, most: int, model: Path) -> tuple[int, list[Row]]:
    """How many people were tried, of ``most`` chosen at random, and the errors with one, two and four templates.

    Every choice of a person's templates is tried with each of their other photos, and with a photo each of other people. Only
    photos that ``enroll`` takes for templates count.

    Raises:
        DataError: too few people have five such photos.
    """
    able = [person for person in people(folder) if len(image_files(person)) >= PHOTOS]
    chosen = [able[number] for number in np.random.default_rng(0).permutation(len(able))[:most]]
    embedder = Embedder(model)
    with tempfile.TemporaryDirectory() as place:
        settings = schema.Config(gallery=schema.GallerySettings(f"{place}/gallery.db"))
        gallery = open_gallery(settings, embedder.card)
        enroller = Enroller(Pipeline(settings, embedder, gallery), gallery)
        everybody = [_vectors(person, enroller) for person in tqdm(chosen, unit="person", disable=None)]
        gallery.close()
    everybody = [vectors for vectors in everybody if len(vectors) == PHOTOS]
    if len(everybody) <= STRANGERS:
        raise DataError(
            f"{folder}: {len(everybody)} people have {PHOTOS} photos fit for enrollment, {STRANGERS + 1} are needed"
        )
    rows = []
    for templates in (1, 2, 4):
        own, others = (np.array(list(scores(everybody, templates))) for scores in (_own, _others))
        for rate in RATES:
            score = embedder.card.threshold(rate)
            refused, taken = float((own < score).mean()), float((others >= score).mean())
            rows.append(Row(templates, rate, score, refused, len(own), taken, len(others)))
    return len(everybody), rows


def _vectors(person: Path, enroller: Enroller) -> list[Vector]:
    """The templates that the first photos of a person become."""
    report = Report()
    for label, image in read_images(image_files(person)[:PHOTOS]):
        enroller.add(report, person.name, label, image)
    return [view.vector for view in report.views]


def _own(everybody: list[list[Vector]], templates: int) -> Iterator[float]:
    for vectors in everybody:
        for enrolled in combinations(range(PHOTOS), templates):
            for probe in set(range(PHOTOS)) - set(enrolled):
                yield similarity(_chosen(vectors, enrolled), vectors[probe])


def _others(everybody: list[list[Vector]], templates: int) -> Iterator[float]:
    for number, vectors in enumerate(everybody):
        for step in range(1, STRANGERS + 1):
            other = everybody[(number + step) % len(everybody)]
            for enrolled in combinations(range(PHOTOS), templates):
                yield similarity(_chosen(vectors, enrolled), other[step % PHOTOS])


def _chosen(vectors: list[Vector], which: tuple[int, ...]) -> NDArray[np.float32]:
    return np.stack([vectors[number] for number in which])
