"""Measure how the network stands beside its peers, and where it fails; ``page`` tells it."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface import detectors
from edgeface.config import schema
from edgeface.errors import DataError
from edgeface.measurement.baselines import find_peers
from edgeface.types import Image
from edgeface.vision.embedding import Embedder
from train.compare import groups, quality, robustness
from train.compare.cache import Cache, Network
from train.data import load
from train.evaluation.pairs import read_pairs


def compare(
    folders: Sequence[Path], images: Path, pairs_file: Path, model: Path, peers: Path | None, cache: Path | None
) -> tuple[dict[str, Any], Callable[[Image], Image]]:
    """Measure everything that ``page.write`` tells, and return that with how a chip is drawn from its codes.

    ``folders`` are prepared chips: those of held-out people choose the measure of quality, those of photos that are named as
    UTKFace's are make the groups. ``images`` and ``pairs_file`` are as for ``evaluate``, ``peers`` as for ``find_peers``. What
    a network said of a chip is kept in ``cache``.

    Raises:
        DataError: folders, pairs or the cache cannot be used.
        ImageError: a photo is missing or cannot be read.
        ModelError: a network cannot be used.
    """
    embedder, pairs, store = Embedder(model), read_pairs(pairs_file), Cache(cache)
    data, card = load(folders), embedder.card
    held_out = data.split()[1]
    if len(np.unique(held_out.people)) < 2:
        raise DataError("nobody is held out to choose the quality on: prepare folders with one subfolder a person")
    network, others = _ours(embedder, store), find_peers(peers)
    kept = {peer.name: store.keep(f"{peer.name}-{peer.bytes}", peer.embed) for peer in others}
    networks = [network, *(Network(name, embed, embed) for name, embed in kept.items())]
    rebuild = partial(_rebuild, embedder)
    threshold = card.threshold(schema.MatchingSettings().target_fpir)
    learnt = [source for part in card.training.get("data", ()) for source in part["sources"]]
    chosen = held_out.chips(np.arange(len(held_out))), held_out.people
    shown = _portraits(images, sorted({*pairs.left, *pairs.right}))
    figures = {
        "model": card.digest,
        "bytes": {"edgeface": card.encoder.bytes} | {peer.name: peer.bytes for peer in others},
        "pairs": pairs_file.name,
        "robustness": robustness.measure(images, pairs, networks, threshold, rebuild),
        "groups": groups.measure(folders, data, network, [card.threshold(far) for far in groups.FARS], learnt),
        "quality": quality.measure(embedder, network, store, chosen, shown),
    }
    return figures, rebuild


def _ours(embedder: Embedder, store: Cache) -> Network:
    key = f"edgeface-{embedder.card.encoder.sha256[:8]}"
    return Network(
        "edgeface",
        store.keep(f"{key}-template", lambda chip: embedder.template(chip).vector),
        store.keep(f"{key}-probe", lambda chip: embedder.embed(chip).vector),
    )


def _portraits(images: Path, names: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """The chips of the photos in which a face is found, and their people."""
    found = zip(names, robustness.portraits(images, names, detectors.create()), strict=True)
    chips, people = zip(*((seen.chip, name.split("/")[0]) for name, seen in found if seen), strict=True)
    return np.stack(chips), np.array(people)


def _rebuild(embedder: Embedder, chip: Image) -> Image:
    """The decoder's drawing at the chip's size."""
    return np.asarray(cv2.resize(embedder.rebuild(chip), chip.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
