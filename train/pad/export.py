"""Turn a run's weights into pad.tflite, int8 throughout, set its thresholds on development people, and write its card."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeface.errors import ModelError
from edgeface.platform.files import write_whole
from edgeface.vision.model_card import NetworkFile
from edgeface.vision.passive_liveness import CARD, PassiveCard, PassiveLiveness
from train.checkpoints import load_weights
from train.export.export import commit, convert, multiply_adds
from train.model import fold, set_weights
from train.pad.clips import Clip, live_scores, score_clips, score_photos, share
from train.pad.data import Views, load_views, seen
from train.pad.model import build

CALIBRATION = 400
"""Views that fix the ranges of the activations."""
MISSED, PASSED = 0.01, 0.01
"""Share of live people of each development set below ``attack_at``; of attacks of the kind that passes more at ``live_at``."""
FILE = "pad.tflite"
RESEARCH = {"celeba": "CelebA", "allage": "All-Age-Faces", "wider": "WIDER FACE"}
"""Sets that their authors offer for research, by how the names of their folders begin, besides Replay-Attack."""


def export(run: Path, prepared: Path, development: Path, photos: Sequence[Path], out: Path, name: str) -> PassiveCard:
    """Write the network of ``run``/weights.npz and its card into ``out``.

    ``development`` holds Replay-Attack's clips of people from whom nothing was learnt, in live/ and attack/;
    ``photos`` are folders of photos of live people by other cameras, from which nothing was learnt either.

    Raises:
        DataError: the folders hold no views, no clips or no faces.
        ModelError: the run holds no weights, or an operation is not int8.
    """
    try:
        recipe = json.loads((run / "recipe.json").read_text())
        sources = recipe.pop("data")
        network = build(folded=True)
        set_weights(network, fold(load_weights(run / "weights.npz")))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{run}: holds no run of train pad fit: {error}") from None
    data = convert(network, _examples(load_views(prepared)), tf.uint8)
    card = PassiveCard(
        name=name,
        network=NetworkFile(FILE, hashlib.sha256(data).hexdigest(), len(data)),
        live_at=1.0,
        attack_at=0.0,
        metrics={},
        training={
            "recipe": recipe,
            "data": sources,
            "multiply_adds": multiply_adds(network),
            "date": datetime.now(UTC).date().isoformat(),
        },
        licence=_licence(sources),
        commit=commit(),
    )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        _write(Path(folder), card, data)
        score = PassiveLiveness(Path(folder)).score
        clips, others = score_clips(development, score), [score_photos(each, score) for each in photos]
    live_at, attack_at = thresholds(clips, others)
    metrics = {"development": errors(clips, live_at, attack_at)}
    card = msgspec.structs.replace(card, live_at=live_at, attack_at=attack_at, metrics=metrics)
    _write(out, card, data)
    return card


def thresholds(clips: Sequence[Clip], photos: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """``live_at``, which few attacks reach, and ``attack_at``, below which few live people are; the first is never the lower.

    ``photos`` are scores of photos of live people, one array a camera or set.
    """
    attack_at = min(float(np.quantile(live, MISSED)) for live in (live_scores(clips, "live"), *photos))
    live_at = max(float(np.quantile(live_scores(clips, kind), 1 - PASSED)) for kind in ("screen", "print"))
    return round(max(live_at, attack_at), 4), round(attack_at, 4)


def errors(clips: Sequence[Clip], live_at: float, attack_at: float) -> dict[str, dict[str, float]]:
    """Of each class, the shares of clips at or above ``live_at`` and below ``attack_at``; the rest is in doubt."""
    table = {}
    for kind in ("live", "screen", "print"):
        some = [clip for clip in clips if clip.kind == kind]
        live, attack = (
            share(some, lambda clip: clip.score.live >= live_at),
            share(some, lambda clip: clip.score.live < attack_at),
        )
        table[kind] = {"clips": len(some), "live": round(live.share, 4), "attack": round(attack.share, 4)}
    return table


def _examples(views: Views) -> Iterator[NDArray[np.float32]]:
    random = np.random.default_rng(0)
    for row in random.permutation(len(views.pixels))[:CALIBRATION]:
        yield seen(views.pixels[row], random)[None].astype(np.float32)


def _licence(sources: dict[str, Any]) -> str:
    bound = [
        "Replay-Attack",
        *sorted({told for name, told in RESEARCH.items() if any(each.startswith(name) for each in sources["sources"])}),
    ]
    return (
        f"Apache-2.0 for the weights; trained on {', '.join(bound)} and other photos, with the features of MiniFASNetV2 and "
        f"V1SE (Apache-2.0); {', '.join(bound)}: by their authors for research"
    )


def _write(folder: Path, card: PassiveCard, network: bytes) -> None:
    write_whole(folder / FILE, network)
    write_whole(folder / CARD, msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")
