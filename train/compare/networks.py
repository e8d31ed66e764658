"""Give every network that is compared the embedder's place in the device's pipeline, with thresholds set on the same people."""

import hashlib
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgeface.errors import ModelError
from edgeface.interfaces import Detector
from edgeface.measurement.baselines import Peer
from edgeface.types import Box, Embedding, Face, Image
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import SHIPPED, ModelCard, NetworkFile, Sameness
from train.compare.cache import Cache
from train.data import Chips
from train.evaluation.verification import Floats, compare, fit_calibration
from train.export.export import held_out_views, thresholds

Look = Callable[[Image], Floats]
"""A chip to its unit embedding and, last, the norm of its code."""

NUMBERS = 15
"""Of a face in the cache: box, landmarks, score."""


class Network(Embedder):
    """A network by name, as the pipeline takes it, which computes nothing twice. ``model`` is the device's, in our networks."""

    def __init__(self, name: str, card: ModelCard, cache: Cache, compute: tuple[Look, Look], model: Embedder | None) -> None:
        self.name, self.card, self.model = name, card, model
        self.cache, self._template, self._probe = cache, *compute
        self.look = self._probe
        probe, template = (f"{name} {card.encoder.sha256[:16]} {kind}" for kind in ("probe", "template"))
        self._probe_key, self._template_key = probe, probe if self._template is self._probe else template

    def template(self, chip: Image) -> Embedding:
        """The embedding of a chip for a template."""
        return _embedding(self.cache.of(self._template_key, chip, self._template))

    def embed(self, chip: Image) -> Embedding:
        """The embedding of a chip for a probe."""
        return _embedding(self.cache.of(self._probe_key, chip, self._probe))

    def templates(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Unit embeddings of chips that are enrolled, one a row."""
        return self.cache.keep(self._template_key, self._template)(chips)[:, :-1]

    def probes(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Unit embeddings of chips that are compared with them."""
        return self.cache.keep(self._probe_key, self._probe)(chips)[:, :-1]


@dataclass(frozen=True, slots=True)
class KnownFaces:
    """A detector that looks at no picture twice."""

    detector: Detector
    cache: Cache

    def detect(self, image: Image) -> list[Face]:
        """The faces of an image, largest first."""
        rows = self.cache.of("faces", image, self._look).reshape(-1, NUMBERS)
        return [Face(Box(*map(float, row[:4])), row[4:14].reshape(5, 2), float(row[14])) for row in rows]

    def _look(self, image: Image) -> Floats:
        found = self.detector.detect(image)
        return np.array([[*astuple(face.box), *face.landmarks.ravel(), face.score] for face in found]).ravel()


def ours(name: str, embedder: Embedder, cache: Cache) -> Network:
    """One of our networks: templates are averaged with their mirror images."""

    def template(chip: Image) -> Floats:
        return _row(embedder.template(chip))

    def probe(chip: Image) -> Floats:
        return _row(embedder.embed(chip))

    return Network(name, embedder.card, cache, (template, probe), embedder)


def of_peer(peer: Peer, card: ModelCard, held_out: Chips, cache: Cache) -> Network:
    """A peer with a card of its own: its thresholds are set as ``export`` sets ours, on the same people.

    Its norm tells nothing, so that no view is too poor for it.
    """

    def probe(chip: Image) -> Floats:
        return np.append(peer.embed(chip), np.float32(1))

    file = NetworkFile(peer.name, hashlib.sha256(f"{peer.name} {peer.bytes}".encode()).hexdigest(), peer.bytes)
    blank = msgspec.structs.replace(card, encoder=file, min_norm=0.0, cost={})
    chips, people = held_out_views(held_out)
    vectors = Network(peer.name, blank, cache, (probe, probe), None).probes(chips)
    matched, unmatched = compare(vectors, vectors, people)
    set_anew = msgspec.structs.replace(
        blank,
        identity=vectors.shape[1],
        thresholds=thresholds(unmatched),
        sameness=Sameness(*fit_calibration(matched, unmatched)),
    )
    return Network(peer.name, set_anew, cache, (probe, probe), None)


def in_float(folder: Path, cache: Cache) -> Network:
    """Our network before quantisation.

    Raises:
        ModelError: its weights are not in ``folder``, nor it the shipped one.
    """
    from train.evaluation.float_model import FloatEmbedder

    weights = folder / "weights.npz"
    if folder == SHIPPED:
        weights = Path(__file__).parent.parent / "weights.npz"
    if not weights.is_file():
        raise ModelError(f"{weights}: No such file")
    embedder = FloatEmbedder(folder, weights)
    sha = hashlib.sha256(weights.read_bytes()).hexdigest()
    embedder.card = msgspec.structs.replace(embedder.card, encoder=NetworkFile(weights.name, sha, weights.stat().st_size))
    return ours("edgeface, float", embedder, cache)


def _row(embedding: Embedding) -> Floats:
    return np.append(embedding.vector, np.float32(embedding.norm))


def _embedding(row: NDArray[np.float32]) -> Embedding:
    return Embedding(row[:-1], float(row[-1]))
