import hashlib
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeface.errors import ModelError
from edgeface.vision.model_card import ModelCard, NetworkFile, Sameness, Threshold, load_card, read_network


@pytest.fixture
def folder(tmp_path: Path, card: ModelCard) -> Path:
    (tmp_path / "encoder.tflite").write_bytes(b"a network")
    network = NetworkFile("encoder.tflite", hashlib.sha256(b"a network").hexdigest(), 9)
    (tmp_path / "model.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(card, encoder=network)))
    return tmp_path


def rewritten(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | changes))


def test_a_card_is_read_back_as_it_was_written(folder: Path, card: ModelCard) -> None:
    found = load_card(folder)
    assert found.thresholds == card.thresholds
    assert found.digest == f"sha256:{hashlib.sha256(b'a network').hexdigest()}"


@pytest.mark.parametrize(
    ("far", "cosine"),
    [(0.1, 0.2), (0.01, 0.3), (0.0001, 0.5), (10**-2.5, 0.35), (10**-1.25, 0.225), (1e-6, 0.7), (1.0, 0.1)],
)
def test_thresholds_are_linear_in_log_far_between_and_beyond_the_points(card: ModelCard, far: float, cosine: float) -> None:
    assert card.threshold(far) == pytest.approx(cosine)


def test_a_card_without_marks_was_measured_at_all_of_its_points(card: ModelCard) -> None:
    assert card.measured_to == 0.0001
    assert card.beyond_measured(0.0001, 1) == ""
    assert card.beyond_measured(0.0001, 2).endswith(
        "5.0e-05 a comparison, was measured down to 1e-04, and is extrapolated beyond"
    )


def test_modelled_points_are_not_measured(card: ModelCard) -> None:
    marked = [Threshold(1e-5, 0.6, 0.58, 0.62), Threshold(1e-6, 0.65, 0.6, 0.7, modelled=True)]
    modelled = msgspec.structs.replace(card, thresholds=card.thresholds + marked)
    assert modelled.measured_to == 1e-5
    assert modelled.threshold(1e-6) == pytest.approx(0.65)
    assert modelled.beyond_measured(1e-5, 1) == ""
    assert "is modelled beyond" in modelled.beyond_measured(1e-6, 1)
    assert "is extrapolated beyond" in modelled.beyond_measured(1e-7, 1)
    assert msgspec.json.decode(msgspec.json.encode(modelled.thresholds), type=list[Threshold]) == modelled.thresholds
    assert msgspec.json.encode(card.thresholds[0]) == b'{"far":0.1,"cosine":0.2}'


def test_probability_rises_with_the_cosine_and_is_even_where_the_odds_are(card: ModelCard) -> None:
    assert card.probability(0.25) == pytest.approx(0.5)
    assert card.probability(0.3) == pytest.approx(1 / (1 + math.exp(-1)))
    assert 0 <= card.probability(-1) < card.probability(0.2) < card.probability(0.3) < card.probability(1) <= 1
    steep = msgspec.structs.replace(card, sameness=Sameness(5000.0, -500.0))
    assert (steep.probability(-1), steep.probability(1)) == (0, 1)


def test_a_threshold_is_never_over_one(card: ModelCard) -> None:
    assert card.threshold(1e-30) == 1.0


def test_the_order_of_the_points_does_not_matter(card: ModelCard) -> None:
    turned = msgspec.structs.replace(card, thresholds=card.thresholds[::-1])
    assert turned.threshold(0.005) == card.threshold(0.005)


def test_the_bytes_of_a_network_are_those_of_the_card(folder: Path) -> None:
    assert read_network(folder, load_card(folder).encoder) == b"a network"


def test_a_network_of_another_digest_is_refused(folder: Path) -> None:
    (folder / "encoder.tflite").write_bytes(b"a network!")
    with pytest.raises(ModelError, match=r"encoder\.tflite: its digest .* is not the"):
        read_network(folder, load_card(folder).encoder)


def test_missing_files_are_named(folder: Path) -> None:
    (folder / "encoder.tflite").unlink()
    with pytest.raises(ModelError, match=r"encoder\.tflite: No such file"):
        read_network(folder, load_card(folder).encoder)
    (folder / "model.json").unlink()
    with pytest.raises(ModelError, match=r"model\.json: No such file"):
        load_card(folder)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000], ids=repr)
def test_what_is_no_card_is_refused(folder: Path, data: bytes) -> None:
    (folder / "model.json").write_bytes(data)
    with pytest.raises(ModelError, match="not a model card") as caught:
        load_card(folder)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "points",
    [
        [],
        [Threshold(0.1, 0.2)],
        [Threshold(0.1, 0.2), Threshold(0.0, 0.9)],
        [Threshold(0.1, 0.2), Threshold(-0.1, 0.9)],
        [Threshold(0.1, 0.2), Threshold(0.1, 0.3)],
    ],
    ids=["none", "one", "zero rate", "negative rate", "same rate twice"],
)
def test_thresholds_that_give_no_line_are_refused(folder: Path, points: list[Threshold]) -> None:
    rewritten(folder, thresholds=points)
    with pytest.raises(ModelError, match=r"model\.json"):
        load_card(folder)
