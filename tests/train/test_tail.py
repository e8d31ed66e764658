"""The tail of the non-mated similarities: on directions whose distribution is known, and on a prepared folder."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from fixtures.optional import needed
from numpy.typing import NDArray

from edgeface.errors import DataError
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import SHIPPED, load_card, save_card
from train.data import Chips
from train.evaluation import tail
from train.evaluation.tail import Faces, Tail, age_of, fit, histogram, identities, record, tail_of, threshold_at, unseen
from train.evaluation.verification import threshold_at_far

DIMENSIONS = 32


def directions(count: int, seed: int) -> NDArray[Any]:
    vectors: NDArray[Any] = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def faces(
    count: int, people: NDArray[np.signedinteger[Any]] | None = None, seed: int = 0, counted: NDArray[Any] | None = None
) -> Faces:
    people = np.arange(count) if people is None else people
    counted = np.ones(2 * count, bool) if counted is None else counted
    return Faces("made up", directions(count, seed), directions(2 * count, seed + 1), counted, people)


def exact(far: float) -> float:
    """The cosine that a share of pairs of random directions reaches: its density is (1 - x^2)^((d - 3) / 2)."""
    x = np.linspace(-1, 1, 400_001)
    density = (1 - x**2) ** ((DIMENSIONS - 3) / 2)
    reached = density[::-1].cumsum()[::-1] / density.sum()
    return float(x[np.argmax(reached <= far)])


@pytest.fixture(scope="module")
def found() -> Tail:
    return tail_of([faces(2300), faces(400, seed=7)])


def test_measured_thresholds_are_the_true_ones_and_lie_in_their_intervals(found: Tail) -> None:
    measured = [threshold for threshold in found.thresholds if not threshold.modelled]
    assert [threshold.far for threshold in measured] == pytest.approx([10.0**-n for n in range(1, 7)])
    for threshold in measured:
        assert threshold.cosine == pytest.approx(exact(threshold.far), abs=0.02 if threshold.far < 1e-5 else 0.005)
    for threshold in measured[2:]:
        assert needed(threshold.low) <= threshold.cosine <= needed(threshold.high)
        assert needed(threshold.low) - 0.005 < exact(threshold.far) < needed(threshold.high) + 0.005
    assert (measured[0].low, measured[1].high) == (None, None)


def test_modelled_thresholds_go_on_where_measuring_ends(found: Tail) -> None:
    modelled = [threshold for threshold in found.thresholds if threshold.modelled]
    assert [threshold.far for threshold in modelled] == pytest.approx([1e-7, 1e-8, 1e-9])
    for threshold in modelled:
        assert threshold.cosine == pytest.approx(exact(threshold.far), abs=0.03)
        assert needed(threshold.low) <= threshold.cosine <= needed(threshold.high)
    cosines = [threshold.cosine for threshold in found.thresholds]
    assert cosines == sorted(cosines)


def test_comparisons_are_within_a_set_and_of_different_people(found: Tail) -> None:
    assert found.comparisons == 2 * (2300 * 2299 + 400 * 399)
    assert (found.photos, found.people) == (2700, 2700)
    couples = faces(100, people=np.repeat(np.arange(50), 2), counted=np.arange(200) % 4 > 0)
    assert histogram(couples).sum() == 150 * 98


def test_a_histogram_gives_the_thresholds_of_the_similarities_themselves() -> None:
    some = faces(300)
    similarities = (some.templates @ some.probes.T)[some.people[:, None] != np.tile(some.people, 2)]
    counts = histogram(some)
    for far in (0.1, 1e-3, 1e-5):
        assert threshold_at(counts, far) == pytest.approx(threshold_at_far(similarities, far), abs=1e-4 + 1e-6)
        assert np.mean(similarities >= threshold_at(counts, far)) <= far


def test_people_count_and_not_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 photos of 200 people say less than 2,000 of as many people."""
    monkeypatch.setattr(tail, "FEWEST_EXCESSES", 10)
    alone, people = faces(2000), np.arange(2000) // 10
    photos = directions(200, 3)[people] + 0.3 * alone.templates
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    many = Faces("many", photos, np.concatenate([photos, photos]), alone.counted, people)
    widths = [tail_of([one]).thresholds[3] for one in (alone, many)]
    narrow, wide = (needed(threshold.high) - needed(threshold.low) for threshold in widths)
    assert wide > 1.5 * narrow


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.15])
def test_a_generalised_pareto_distribution_is_found_again(shape: float) -> None:
    uniform = np.random.default_rng(1).random(40_000)
    excesses = -np.log(uniform) if shape == 0 else (uniform**-shape - 1) / shape
    cosines = np.sort(0.5 + 0.03 * excesses)[::-1]
    model = fit(cosines, np.ones(len(cosines)), 0.5, 4e9)
    assert (model.far, model.scale, model.shape) == pytest.approx((1e-5, 0.03, shape), abs=0.02)
    assert model.threshold(1e-5) == pytest.approx(0.5)
    rarer = 3 * np.log(10) if shape == 0 else (1e3**shape - 1) / shape
    assert model.threshold(1e-8) == pytest.approx(min(1.0, 0.5 + 0.03 * rarer), rel=0.06)


def test_a_weight_of_two_is_a_similarity_that_is_there_twice() -> None:
    cosines = np.sort(0.5 + np.random.default_rng(2).exponential(0.03, 3000))[::-1]
    weights = np.random.default_rng(3).integers(0, 3, 3000)
    weighted = fit(cosines, weights.astype(float), 0.5, 1e8)
    repeated = fit(np.repeat(cosines, weights), np.ones(weights.sum()), 0.5, 1e8)
    assert (weighted.scale, weighted.shape) == pytest.approx((repeated.scale, repeated.shape), abs=1e-3)


def test_too_few_comparisons_are_told() -> None:
    with pytest.raises(DataError, match="179400 comparisons are too few for a tail: 10000000 are needed"):
        tail_of([faces(300)])
    with pytest.raises(DataError, match="150 people are too few for a tail: 200 are needed"):
        tail_of([faces(300, people=np.arange(300) // 2)])


def chips_from(first: NDArray[Any], second: NDArray[Any], people: list[Any]) -> Chips:
    positions = np.repeat(first[:, None, None, :], 2, axis=1) / 49 * np.ones((1, 1, 49, 1))
    where = np.stack([np.zeros(len(people), int), np.arange(len(people))], axis=1)
    twice = np.repeat(second[:, None], 2, axis=1)
    return Chips([], [positions.astype(np.float16)], where, np.array(people), [twice.astype(np.float16)])


def towards(vector: NDArray[Any], cosine: float, seed: int) -> NDArray[Any]:
    other = directions(1, seed)[0]
    other = other - (other @ vector) * vector
    turned: NDArray[Any] = cosine * vector + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
    return turned


def test_photos_are_one_persons_where_both_teachers_say_so_or_a_name_does() -> None:
    base = np.eye(DIMENSIONS)[:5]
    first = np.stack([base[0], towards(base[0], 0.9, 1), base[1], towards(base[0], 0.9, 2), base[3], base[4]])
    second = np.stack([base[0], towards(base[0], 0.9, 3), base[1], base[2], base[3], base[4]])
    found = identities(chips_from(first, second, ["", "", "", "", "a/b", "a/b"]), np.arange(6))
    assert found[0] == found[1]
    assert found[4] == found[5]
    assert len(set(found)) == 4
    assert found[3] != found[0]  # the second teacher does not think so


@pytest.mark.parametrize(
    ("name", "age"),
    [("13_1_20170104011044048.webp", 13), ("100_1_0_20170110183726390.webp", 100), ("00511A09.webp", 9), ("01.webp", 16)],
)
def test_names_tell_ages(name: str, age: int) -> None:
    assert age_of(name) == age


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared folder with a child, two adults of nobody knows whom, and two people, of whom one is held out."""
    random = np.random.default_rng(0)
    kept = [
        ["x/00001A03.webp", ""],
        ["x/00002A30.webp", ""],
        ["x/00003A40.webp", ""],
        ["x/1.webp", "s/1"],
        ["x/1.webp", "s/29"],
    ]
    folder = tmp_path / "s"
    folder.mkdir()
    np.save(folder / "shard-00000.crops.npy", random.integers(0, 255, (5, 144, 144, 3), np.uint8))
    np.save(folder / "shard-00000.positions.npy", random.normal(size=(5, 2, 49, 128)).astype(np.float16))
    np.save(folder / "shard-00000.second.npy", random.normal(size=(5, 2, 512)).astype(np.float16))
    (folder / "shard-00000.json").write_text(json.dumps({"kept": kept}))
    (folder / "manifest.json").write_text(json.dumps({"sources": ["s"]}))
    return folder


def learnt_from(*sources: str) -> Embedder:
    embedder = Embedder()
    embedder.card = msgspec.structs.replace(embedder.card, training={"data": [{"sources": list(sources)}]})
    return embedder


def test_children_and_what_the_network_has_learnt_from_are_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "is_validation", lambda person: person == "s/29")
    told: list[str] = []
    assert len(needed(unseen(folder, learnt_from("other"), told.append)).people) == 4
    assert told == [f"{folder}: 4 photos"]
    assert unseen(folder, learnt_from("s"), told.append) is None
    assert "has learnt from its photos" in told[1]
    with pytest.raises(DataError, match="has learnt from all of these photos"):
        tail.measure([folder], learnt_from("s"))


def test_a_set_without_a_second_teacher_is_told(folder: Path) -> None:
    (folder / "shard-00000.second.npy").unlink()
    with pytest.raises(DataError, match="prepare it with --second"):
        unseen(folder, SimpleNamespace(), print)  # type: ignore[arg-type]  # no embedder is asked


def test_a_card_says_how_far_its_thresholds_were_measured(found: Tail, tmp_path: Path) -> None:
    card = record(load_card(SHIPPED), found)
    save_card(tmp_path, card)
    read = load_card(tmp_path)
    assert read.thresholds == found.thresholds
    assert read.measured_to == pytest.approx(1e-6)
    assert read.threshold(1e-8) == next(t.cosine for t in found.thresholds if t.far == pytest.approx(1e-8))
    assert read.calibration["unmatched_comparisons"] == found.comparisons
