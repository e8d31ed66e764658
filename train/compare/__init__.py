"""Measure how the network stands beside its peers, and where it fails; ``page`` tells it."""

import tempfile
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface import detectors
from edgeface.config import schema
from edgeface.errors import DataError, ModelError
from edgeface.interfaces import Detector
from edgeface.measurement.evaluate import people
from edgeface.types import Image
from edgeface.vision.embedding import Embedder
from train.compare import cost, groups, protocol, quality, robustness, visits
from train.compare.cache import Cache
from train.compare.networks import KnownFaces, Network, in_float, of_peer, ours
from train.compare.peers import SOURCES, find_peers
from train.data import Chips, load
from train.evaluation.pairs import Pairs, read_pairs

EARLIER = "earlier edgeface"
PARTS = ("verification", "visits", "robustness", "groups", "quality")
"""What is measured, besides what networks cost."""


@dataclass(frozen=True, slots=True)
class Against:
    """What the network is compared with: where the peers' files are, as for ``find_peers``, and an earlier network's folder."""

    peers: Path | None = None
    earlier: Path | None = None


@dataclass(frozen=True, slots=True)
class Photos:
    """The photos to compare on, ``images`` and ``pairs`` as for ``evaluate``, and how many of their people make visits."""

    images: Path
    pairs: Path
    visitors: int | None = None


def compare(
    folders: Sequence[Path], photos: Photos, model: Path, against: Against, cache: Path | None, parts: Collection[str] = PARTS
) -> tuple[dict[str, Any], dict[str, Callable[[Image], Image]]]:
    """Measure everything that ``page.write`` tells; return that, and by network how a chip is drawn from its codes.

    ``folders`` are prepared chips: those of held-out people set the peers' thresholds and choose the measure of quality, those
    of photos that are named as UTKFace's are make the groups. What detector and networks said of a picture is kept in
    ``cache``, and so are the visits. What is not among ``parts``, or cannot be measured for want of data, is named under
    ``left_out``.

    Raises:
        DataError: folders, pairs or the cache cannot be used.
        ImageError: a photo is missing or cannot be read.
        ModelError: a network cannot be used.
    """
    images, embedder, pairs, store = photos.images, Embedder(model), read_pairs(photos.pairs), Cache(cache)
    data, card = load(folders), embedder.card
    held_out = data.split()[1]
    if len(np.unique(held_out.people)) < 2:
        raise DataError("nobody is held out to choose the quality on: prepare folders with one subfolder a person")
    networks, detector = _networks(embedder, against, held_out, store), KnownFaces(detectors.create(), store)
    network, names = networks[0], {one.name for one in networks}
    left_out = [f"{name}: its file is not there; {source}." for name, source in SOURCES.items() if name not in names]
    rebuild: dict[str, Callable[[Image], Image]] = {one.name: partial(_rebuild, one.model) for one in networks if one.model}
    learnt = [source for part in card.training.get("data", ()) for source in part["sources"]]
    chosen = held_out.chips(np.arange(len(held_out))), held_out.people
    shown = _portraits(images, pairs, detector)
    told: dict[str, Any] = {
        "model": card.digest,
        "bytes": {one.name: one.card.encoder.bytes for one in networks},
        "pairs": photos.pairs.name,
        "cost": cost.measure(networks, shown[0][0], store),
        "decoders": {one.name: cost.decoder(one.model, held_out) for one in networks if one.model},
    }
    limit = card.threshold(schema.MatchingSettings().target_fpir)
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "verification": lambda: protocol.measure(images, pairs, [*networks, *_float(model, store, left_out)], detector),
        "visits": lambda: _visits(photos, networks, detector, cache, left_out),
        "robustness": lambda: robustness.measure(images, pairs, networks, detector, limit, rebuild[network.name]),
        "groups": lambda: groups.measure(folders, data, networks, learnt),
        "quality": lambda: quality.measure(embedder, network, store, chosen, shown),
    }
    told |= {part: measures[part]() if part in parts else {} for part in PARTS}
    store.save()
    left_out += [f"{part.capitalize()}: not asked for." for part in PARTS if part not in parts]
    if "groups" in parts and not told["groups"]:
        left_out.append("Strangers by age and gender: no photo of PREPARED is named as UTKFace's are.")
    return told | {"left_out": left_out}, rebuild


def _networks(embedder: Embedder, against: Against, held_out: Chips, store: Cache) -> list[Network]:
    """Our network, the earlier one and the peers."""
    networks = [ours("edgeface", embedder, store)]
    if against.earlier:
        networks.append(ours(EARLIER, Embedder(against.earlier), store))
    return networks + [of_peer(peer, embedder.card, held_out, store) for peer in find_peers(against.peers)]


def _float(model: Path, store: Cache, left_out: list[str]) -> list[Network]:
    try:
        return [in_float(model, store)]
    except ModelError as error:
        left_out.append(f"The network in float: {error}.")
        return []


def _visits(
    photos: Photos, networks: Sequence[Network], detector: Detector, cache: Path | None, left_out: list[str]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        images = photos.images.resolve()
        name = f"visits-{images.name}-{photos.visitors or 'all'}-{zlib.crc32(bytes(images)):08x}"
        made = (cache or Path(scratch)) / name
        try:
            visits.make(people(images)[: photos.visitors], made)
        except DataError as error:
            left_out.append(f"Visits: {error}.")
            return {}
        figures = visits.measure(made, networks, detector, networks[0].cache)
    left_out += [
        f"Visits with {size} people enrolled: {figures['enrolled']} could be enrolled."
        for size in visits.SIZES
        if str(size) not in figures["sizes"]
    ]
    return figures


def _portraits(images: Path, pairs: Pairs, detector: Detector) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """The chips of the photos in which a face is found, and their people."""
    names = sorted({*pairs.left, *pairs.right})
    found = zip(names, robustness.portraits(images, names, detector), strict=True)
    chips, people = zip(*((seen.chip, name.split("/")[0]) for name, seen in found if seen), strict=True)
    return np.stack(chips), np.array(people)


def _rebuild(embedder: Embedder, chip: Image) -> Image:
    """The decoder's drawing at the chip's size."""
    return np.asarray(cv2.resize(embedder.rebuild(chip), chip.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
