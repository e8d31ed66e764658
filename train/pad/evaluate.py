"""Measure the shipped liveness network on clips of people and attacks that had no part in training."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeface.types import Box
from edgeface.vision.alignment import TEMPLATE, align
from edgeface.vision.embedding import Embedder
from edgeface.vision.liveness import Liveness
from edgeface.vision.passive_liveness import PassiveLiveness
from train.pad.clips import Clip, Score, Share, live_scores, score_clips, score_photos, share

BPCER = 0.05
"""On development people, at which the one threshold is set at which networks are compared."""
RUNS = 200


def evaluate(development: Path, test: Path, score: Score) -> dict[str, dict[str, Share]]:
    """The errors of a network on the clips of ``test``, at the threshold that gives a BPCER of 5 % on ``development``.

    The first group is by kind, and holds BPCER too; the others say which attacks pass, and which live people do not.

    Raises:
        DataError: a folder has no clips.
    """
    least = float(np.quantile(live_scores(score_clips(development, score), "live"), BPCER))
    clips = score_clips(test, score)
    attacks, live = [clip for clip in clips if clip.kind != "live"], [clip for clip in clips if clip.kind == "live"]

    def passed(clip: Clip) -> bool:
        return clip.score.live >= least

    def by(name: str, some: Sequence[Clip], counted: Callable[[Clip], bool]) -> dict[str, Share]:
        values = sorted({getattr(clip, name) for clip in some})
        return {value: share([clip for clip in some if getattr(clip, name) == value], counted) for value in values}

    table = {"APCER by kind": by("kind", attacks, passed)}
    table["BPCER"] = {"live": share(live, lambda clip: not passed(clip))}
    for name in ("medium", "shown", "support", "light"):
        table[f"APCER by {name}"] = by(name, attacks, passed)
    table["BPCER by light"] = by("light", live, lambda clip: not passed(clip))
    return table


def decisions(test: Path, network: PassiveLiveness) -> dict[str, dict[str, Share]]:
    """The shares of clips of each class that count as live, as an attack, and as neither, at the card's thresholds."""
    clips = score_clips(test, network.score)
    table = {}
    for kind in ("live", "screen", "print"):
        some = [clip for clip in clips if clip.kind == kind]
        table[kind] = {
            "live": share(some, lambda clip: clip.score.live >= network.live_at),
            "in doubt": share(some, lambda clip: network.attack_at <= clip.score.live < network.live_at),
            "attack": share(some, lambda clip: clip.score.live < network.attack_at),
        }
    return table


def on_photos(folder: Path, network: PassiveLiveness) -> dict[str, Any]:
    """What the network makes of photos of live people, taken by other cameras; raise ``DataError`` if there are none."""
    live = score_photos(folder, network.score)
    return {
        "photos": len(live),
        "live": float((live >= network.live_at).mean()),
        "attack": float((live < network.attack_at).mean()),
    }


def milliseconds(network: PassiveLiveness) -> dict[str, float]:
    """The median times of a score, both crops included, and of embedding, score and motion check together.

    One thread; a face of 160 pixels, aligned before the embedding.
    """
    blurred = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8), (0, 0), 2)
    frame, box, landmarks = np.asarray(blurred, np.uint8), Box(240, 140, 160, 200), TEMPLATE * np.float32(1.4) + np.float32(200)
    embedder, motion, chip = Embedder(), Liveness(), align(frame, landmarks)
    looks, together = [], []
    cv2.setNumThreads(1)
    for _ in range(RUNS):
        began = time.perf_counter()
        network.score(frame, box)
        scored = time.perf_counter()
        embedder.embed(chip)
        motion.see(frame, landmarks)
        looks.append(1000 * (scored - began))
        together.append(1000 * (time.perf_counter() - began))
    return {"looks": float(np.median(looks)), "embedding, looks and motion": float(np.median(together))}
