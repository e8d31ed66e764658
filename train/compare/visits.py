"""Count missed visits at a measured FPIR: every network in the device's own pipeline, on the same visits.

A visit is announced at one threshold and not at a higher one. The highest at which it is makes every rate countable: the
threshold of a network is the one that its own strangers' visits set, and the missed visits are those that do not reach it.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface.config import schema
from edgeface.gallery.contents import Templates
from edgeface.gallery.open import open_gallery
from edgeface.interfaces import Detector
from edgeface.measurement import evaluate
from edgeface.measurement.evaluate import Visit
from edgeface.recognition.matching import Matcher
from edgeface.recognition.pipeline import Pipeline
from edgeface.recognition.presence import Presence
from edgeface.types import EventType
from train.compare.cache import Cache, digest
from train.compare.networks import Network
from train.evaluation.verification import Floats
from train.evaluation.visits import visits as make_visits

SIZES = (10, 100)
MOST = 10
"""Galleries of one size."""

FPIRS = (1e-2, 1e-3)
ENROLLED, FRAMES = 3, 12
RESAMPLED = 1000
LOOSE = 0.1
"""FPIR whose threshold by the card is a floor: what does not reach it is looked at no further."""

NEVER = -1.0
"""Where a visit is announced at no threshold."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Of visits to galleries of one size: whose each is, whether they are enrolled, and the highest threshold that it reaches.

    A mated visit reaches a threshold where the right name is announced, another one where any name is.
    """

    people: NDArray[np.str_]
    mated: NDArray[np.bool_]
    reached: NDArray[np.float32]


def make(persons: Sequence[Path], out: Path) -> None:
    """Make the visits of people, by their folders, unless ``out`` has them; a part that an interruption has left is made anew.

    Raises:
        DataError: nobody has enough photos, or a file cannot be written.
        ImageError: a photo cannot be read.
    """
    part = out.with_name(f"{out.name}-part")
    if not out.is_dir():
        shutil.rmtree(part, ignore_errors=True)
        make_visits(persons, part, enroll=ENROLLED, frames=FRAMES, fill=None, enrolled=1)
        part.rename(out)


def measure(made: Path, networks: Sequence[Network], detector: Detector, cache: Cache) -> dict[str, Any]:
    """FNIR of each network at each measured FPIR, by the number of enrolled people; with 95 % intervals by person.

    ``made`` is what ``make`` wrote. People whom a network's gallery refuses are enrolled in none. Empty where there are too few
    for any size.

    Raises:
        DataError: a network enrolls nobody.
    """
    galleries, seen = {}, {}
    for network in networks:
        galleries[network.name], seen[network.name] = _watch(made, network, detector)
        cache.save()
    common = sorted(set.intersection(*({person.name for person in found.people} for found in galleries.values())))
    settings = schema.Config()
    figures: dict[str, Any] = {
        "people": len(evaluate.people(made / "gallery")),
        "strangers": len(evaluate.people(made / "strangers")),
        "enrolled": len(common),
        "visits": len(next(iter(seen.values()))),
        "sizes": {},
    }
    for size in (size for size in SIZES if size <= len(common)):
        figures["sizes"][str(size)] = rates(
            {
                network.name: _scores(
                    _only(galleries[network.name], common), seen[network.name], size, network, settings, cache
                )
                for network in networks
            }
        )
    return figures


def rates(scores: dict[str, Scores]) -> dict[str, Any]:
    """The rates of networks, the first of which is ours, on the same visits; intervals by a bootstrap over people.

    ``ratio`` is our FNIR over each network's, by the same resampled people.
    """
    first = next(iter(scores.values()))
    names, person = np.unique(first.people, return_inverse=True)
    resampled = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLED)
    weights = [np.ones(len(person)), *(draw[person] for draw in resampled)]
    usable = [weight for weight in weights if weight[first.mated].any() and weight[~first.mated].any()]
    missed = {
        name: np.array([[at_fpir(one, weight, fpir) for fpir in FPIRS] for weight in usable]) for name, one in scores.items()
    }
    ours = missed[next(iter(scores))][..., 2]
    found: dict[str, Any] = {
        "mated": int(first.mated.sum()),
        "non_mated": int((~first.mated).sum()),
        "people": len(np.unique(first.people[first.mated])),
        "networks": {},
    }
    for name, values in missed.items():
        fnir = values[..., 2]
        ratio = ours / np.maximum(fnir, 1e-9)
        found["networks"][name] = [
            {
                "threshold": float(values[0, i, 0]),
                "fpir": float(values[0, i, 1]),
                "fnir": float(fnir[0, i]),
                "interval": np.quantile(fnir[1:, i], (0.025, 0.975)).tolist(),
                "ratio": float(ratio[0, i]),
                "ratio_interval": np.quantile(ratio[1:, i], (0.025, 0.975)).tolist(),
            }
            for i in range(len(FPIRS))
        ]
    return found


def at_fpir(scores: Scores, weights: Floats, fpir: float) -> tuple[float, float, float]:
    """The lowest threshold at which at most a share ``fpir`` of the strangers' visits is announced; this share; the FNIR.

    ``weights`` tell how often each visit counts.
    """
    strangers, mated = ~scores.mated, scores.mated
    order = np.argsort(-scores.reached[strangers], kind="stable")
    ranked, counted = scores.reached[strangers][order], weights[strangers][order]
    shares = np.cumsum(counted) / counted.sum()
    over = int(np.searchsorted(shares, fpir, side="right"))  # the first visit that must not pass
    threshold = float(np.nextafter(ranked[min(over, len(ranked) - 1)], np.float32(2), dtype=np.float32))
    announced = counted[ranked >= threshold].sum() / counted.sum()
    own = weights[mated]
    return threshold, float(announced), float(own[scores.reached[mated] < threshold].sum() / max(own.sum(), 1e-9))


def reached(visit: Visit, matcher: Matcher, settings: schema.Config, network: Network, floor: float, mated: bool) -> float:
    """The highest threshold at which a visit is announced, if ``mated`` by the right name; ``NEVER`` if it is under ``floor``.

    ``matcher`` decided about the visit's views, and is set to other thresholds.
    """
    highest, matcher.accept = NEVER, floor
    while True:
        presence = Presence(settings, network.card)
        events = [event for moment, views in visit.moments for event in presence.update(moment, views, matcher)]
        named = [event for event in events if event.event_type is EventType.RECOGNIZED]
        scores = [event.score for event in named if event.score is not None and (not mated or event.name == visit.person)]
        if not scores:
            return highest
        highest = max(scores)
        matcher.accept = float(np.nextafter(np.float32(highest), np.float32(2)))


def _watch(made: Path, network: Network, detector: Detector) -> tuple[Templates, list[Visit]]:
    """Enroll the people of the gallery and look at all visits, both as the device does."""
    with tempfile.TemporaryDirectory() as folder:
        settings = structs.replace(schema.Config(), gallery=schema.GallerySettings(str(Path(folder) / "gallery.db")))
        database = open_gallery(settings, network.card)
        try:
            pipeline = Pipeline(settings, network, database)
            pipeline.detector = detector
            evaluate.enroll(pipeline, database, made / "gallery", _silent)
            templates = database.templates()
            parts = [evaluate.watch(pipeline, made / kind, settings, _silent) for kind in ("visits", "strangers")]
            return templates, list(tqdm(chain(*parts), network.name, unit="visit", disable=None))
        finally:
            database.close()


def _silent(_: str) -> None:
    """Tell nobody."""


def _only(templates: Templates, names: Sequence[str]) -> Templates:
    """The templates of these people, in their order."""
    place = {person.name: number for number, person in enumerate(templates.people)}
    chosen = np.array([place[name] for name in names])
    rows = np.concatenate([np.flatnonzero(templates.owners == number) for number in chosen])
    owners = np.repeat(np.arange(len(names)), [int(np.sum(templates.owners == number)) for number in chosen])
    return Templates(tuple(templates.people[number] for number in chosen), owners, templates.vectors[rows])


def _scores(
    templates: Templates, visits: Sequence[Visit], size: int, network: Network, settings: schema.Config, cache: Cache
) -> Scores:
    """What every visit reaches in every gallery of one size."""
    drawn = list(evaluate.galleries(templates, size, MOST))
    views = digest(*(s.embedding.vector for v in visits for _, seen in v.moments for s in seen if s.embedding))
    rows, mated = [], []
    for number, gallery in enumerate(tqdm(drawn, f"{network.name}, {size} enrolled", unit="gallery", disable=None)):
        names = {person.name for person in gallery.people}
        own = np.array([visit.person in names for visit in visits])
        key = f"reached {network.name} {size} {number} {views} {digest(gallery.vectors)}"
        rows.append(cache.row(key, partial(_reached, gallery, visits, own, network, settings)))
        cache.save()
        mated.append(own)
    people = np.tile(np.array([visit.person for visit in visits]), len(drawn))
    return Scores(people, np.concatenate(mated), np.concatenate(rows))


def _reached(
    gallery: Templates, visits: Sequence[Visit], mated: NDArray[np.bool_], network: Network, settings: schema.Config
) -> Floats:
    """What each visit reaches; a loose threshold is the floor where more strangers pass at it than any rate allows."""
    loose = structs.replace(settings.matching, target_fpir=LOOSE)
    matcher = Matcher(gallery, network.card, loose)
    for floor in (matcher.accept, NEVER):
        found = np.array(
            [
                reached(evaluate.rematch(visit, matcher), matcher, settings, network, floor, own)
                for visit, own in zip(visits, mated.tolist(), strict=True)
            ],
            np.float32,
        )
        if np.mean(found[~mated] > NEVER) > 2 * max(FPIRS):
            break
    return found
