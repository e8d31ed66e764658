"""The shipped network that tells a live face from a screen and a print."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeface.errors import ModelError
from edgeface.types import Box, PassiveScore
from edgeface.vision.model_card import SHIPPED
from edgeface.vision.passive_liveness import CARD, CROPS, OUTSIDE, SIDE, PassiveLiveness, crops, fuse


@pytest.fixture(scope="module")
def network() -> PassiveLiveness:
    return PassiveLiveness()


def test_the_card_vouches_for_a_small_network(network: PassiveLiveness) -> None:
    card = network.card
    assert card.network.bytes == (SHIPPED / card.network.file).stat().st_size < 600_000
    assert card.training["multiply_adds"] < 50_000_000
    assert 0 < network.attack_at <= network.live_at < 1


def test_a_score_is_of_probabilities_and_does_not_change_the_frame(network: PassiveLiveness) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    before = frame.copy()
    score = network.score(frame, Box(100, 60, 80, 100))
    assert sum((score.live, score.screen, score.print)) == pytest.approx(1.0)
    assert (frame == before).all()


def test_a_visit_is_as_sure_as_its_frames_together() -> None:
    one, other = PassiveScore(0.98, 0.01, 0.01), PassiveScore(0.5, 0.49, 0.01)
    both = fuse([one, other])
    assert other.live < both.live < one.live
    assert both.screen > both.print
    assert fuse([PassiveScore(1.0, 0.0, 0.0)]).live > 0.99


def test_crops_show_the_face_and_what_is_around_it() -> None:
    frame = np.zeros((200, 200, 3), np.uint8)
    frame[80:120, 80:120] = 255
    view = crops(frame, Box(80, 80, 40, 40), SIDE)
    assert view.shape == (SIDE, SIDE, 3 * len(CROPS))
    for crop, scale in zip((view[..., :3], view[..., 3:]), CROPS, strict=True):
        assert (crop > 127).mean() == pytest.approx(scale**-2, rel=0.1)


@pytest.mark.parametrize("box", [Box(-40, -40, 60, 60), Box(190, 190, 60, 60), Box(-900, 500, 10, 10), Box(0, 0, 4000, 4000)])
def test_beyond_the_frame_there_is_grey(box: Box) -> None:
    frame = np.zeros((200, 200, 3), np.uint8)
    view = crops(frame, box, SIDE)
    assert view.shape == (SIDE, SIDE, 3 * len(CROPS))
    assert (view[..., 3:] == OUTSIDE).any()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pad\.json"):
        PassiveLiveness(tmp_path)
    card = json.loads((SHIPPED / CARD).read_text())
    shutil.copy(SHIPPED / card["network"]["file"], tmp_path)
    (tmp_path / CARD).write_text(json.dumps(card | {"live_at": "high"}))
    with pytest.raises(ModelError, match="not a card"):
        PassiveLiveness(tmp_path)
    (tmp_path / CARD).write_text(json.dumps(card | {"network": card["network"] | {"sha256": "0" * 64}}))
    with pytest.raises(ModelError, match="digest"):
        PassiveLiveness(tmp_path)
    (tmp_path / CARD).write_text(json.dumps(card | {"network": {"file": "landmarks.tflite", **_of("landmarks.tflite")}}))
    shutil.copy(SHIPPED / "landmarks.tflite", tmp_path)
    with pytest.raises(ModelError, match="not the network"):
        PassiveLiveness(tmp_path)


def _of(name: str) -> dict[str, object]:
    data = (SHIPPED / name).read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
