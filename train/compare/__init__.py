"""How the network stands beside its peers, and where it fails: measured, then told on one page."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgeface import detectors
from edgeface.config import schema
from edgeface.errors import DataError
from edgeface.measurement.baselines import find_peers
from edgeface.types import Image
from edgeface.vision.embedding import Embedder
from train.compare import groups, page, quality, robustness
from train.compare.cache import Cache, Network
from train.data import load
from train.evaluation.pairs import read_pairs


def compare(
    folders: Sequence[Path], images: Path, pairs_file: Path, model: Path, peers: Path | None, cache: Path | None, out: Path
) -> None:
    """Write ``out``, a page in Markdown, and its plots and figures.json into the folder beside it that has its name.

    ``folders`` are prepared chips: those of held-out people choose the measure of quality, those of photos that are named as
    UTKFace's are make the groups. ``images`` and ``pairs_file`` are as for ``evaluate``, ``peers`` as for ``find_peers``. What
    a network said of a chip is kept in ``cache``.

    Raises:
        DataError: folders, pairs or the cache cannot be used.
        ImageError: a photo is missing or cannot be read.
        ModelError: a network cannot be used.
    """
    embedder, pairs, store = Embedder(model), read_pairs(pairs_file), Cache(cache)
    data = load(folders)
    held_out = data.split()[1]
    if len(np.unique(held_out.people)) < 2:
        raise DataError("nobody is held out to choose the quality on: prepare folders with one subfolder a person")
    key, card = f"edgeface-{embedder.card.encoder.sha256[:8]}", embedder.card
    network = Network(
        "edgeface",
        store.keep(f"{key}-template", lambda chip: embedder.template(chip).vector),
        store.keep(f"{key}-probe", lambda chip: embedder.embed(chip).vector),
    )

    def rebuild(chip: Image) -> Image:
        """The decoder's drawing at the chip's size."""
        return np.asarray(cv2.resize(embedder.rebuild(chip), chip.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)

    others = find_peers(peers)
    kept = {peer.name: store.keep(f"{peer.name}-{peer.bytes}", peer.embed) for peer in others}
    networks = [network, *(Network(name, embed, embed) for name, embed in kept.items())]
    names = sorted({*pairs.left, *pairs.right})
    found = [
        (name, seen) for name, seen in zip(names, robustness.portraits(images, names, detectors.create()), strict=True) if seen
    ]
    shown = np.stack([seen.chip for _, seen in found]), np.array([name.split("/")[0] for name, _ in found])
    learnt = [source for part in card.training.get("data", ()) for source in part["sources"]]
    figures = {
        "model": card.digest,
        "bytes": {"edgeface": card.encoder.bytes} | {peer.name: peer.bytes for peer in others},
        "pairs": pairs_file.name,
        "robustness": robustness.measure(
            images, pairs, networks, card.threshold(schema.MatchingSettings().target_fpir), rebuild
        ),
        "groups": groups.measure(folders, data, network, [card.threshold(far) for far in groups.FARS], learnt),
        "quality": quality.measure(
            embedder, network, store, (held_out.chips(np.arange(len(held_out))), held_out.people), shown
        ),
    }
    page.write(figures, rebuild, out)
