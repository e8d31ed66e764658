"""What a track shows, by the looks of its views and by motion."""

from pathlib import Path

import numpy as np
import pytest

from edgeface import detectors
from edgeface.recognition.visit_liveness import ENOUGH, VisitLiveness
from edgeface.types import LivenessClass, PassiveScore
from edgeface.vision.images import load_image
from edgeface.vision.model_card import SHIPPED
from edgeface.vision.passive_liveness import load

CARD, _ = load(SHIPPED)
DOUBT = (CARD.live_at + CARD.attack_at) / 2
LIVE, SCREEN, PRINT = PassiveScore(0.98, 0.01, 0.01), PassiveScore(0.02, 0.9, 0.08), PassiveScore(0.02, 0.08, 0.9)
GREY = PassiveScore(DOUBT, 0.9 * (1 - DOUBT), 0.1 * (1 - DOUBT))


def visit(looks: list[PassiveScore], motion: float | None = None) -> VisitLiveness:
    made = VisitLiveness()
    made.looks.extend(looks)
    made.motion.score = motion
    return made


@pytest.mark.parametrize("motion", [None, 0.1, 0.9])
@pytest.mark.parametrize(
    ("looks", "kind"), [(LIVE, LivenessClass.LIVE), (SCREEN, LivenessClass.SCREEN), (PRINT, LivenessClass.PRINT)]
)
def test_clear_looks_decide_whatever_moves(looks: PassiveScore, kind: LivenessClass, motion: float | None) -> None:
    judged = visit([looks] * ENOUGH, motion).judge(CARD)
    assert judged.kind is kind
    assert judged.score == pytest.approx(looks.live, abs=0.01)


@pytest.mark.parametrize(("motion", "kind"), [(None, "undecided"), (0.1, "undecided"), (0.9, "live")])
def test_motion_decides_where_looks_leave_a_doubt(motion: float | None, kind: str) -> None:
    assert visit([GREY] * ENOUGH, motion).judge(CARD).kind == kind


def test_few_views_decide_nothing_even_if_they_move() -> None:
    assert visit([LIVE] * (ENOUGH - 1), 0.9).judge(CARD).kind is LivenessClass.UNDECIDED


def test_one_view_that_looks_otherwise_changes_nothing() -> None:
    assert visit([*[SCREEN] * 9, LIVE]).judge(CARD).kind is LivenessClass.SCREEN


def test_views_without_a_score_leave_it_to_motion() -> None:
    made = VisitLiveness()
    made.see(
        np.zeros((120, 120, 3), np.uint8), np.array([[40, 40], [80, 40], [60, 60], [45, 80], [75, 80]], np.float32), None, CARD
    )
    assert made.judge(CARD) == (LivenessClass.UNDECIDED, None)


@pytest.mark.parametrize(("looks", "followed"), [(GREY, True), (LIVE, False), (SCREEN, False)])
def test_motion_is_followed_only_while_looks_decide_nothing(looks: PassiveScore, followed: bool, demo_photos: Path) -> None:
    image = load_image(demo_photos / "biden_portrait.jpg")
    landmarks = detectors.create().detect(image)[0].landmarks
    made = visit([looks] * ENOUGH)
    for _ in range(6):
        made.see(image, landmarks, looks, CARD)
    assert (made.motion.means is not None) is followed
