import numpy as np
import pytest
from fixtures.optional import needed

from edgeface.recognition.fusion import fuse
from edgeface.types import Box, Embedding, Face, Observation, Vector

AXES = np.eye(8, dtype=np.float32)
FACE = Face(Box(0, 0, 100, 100), np.zeros((5, 2), np.float32), 0.9)


def view(vector: Vector, *, quality: float = 0.8, norm: float = 1.0) -> Observation:
    vector = np.asarray(vector, np.float32)
    return Observation(FACE, quality, Embedding(vector / np.linalg.norm(vector), norm))


def test_without_an_embedding_there_is_no_evidence() -> None:
    assert fuse([], 0.2) is None
    assert fuse([Observation(FACE, 0.2)], 0.2) is None


def test_one_view_is_the_evidence() -> None:
    only = view(AXES[0])
    found = needed(fuse([Observation(FACE, 0.2), only], 0.2))
    np.testing.assert_allclose(found.vector, AXES[0])
    assert found.views == (only,)


def test_views_count_by_quality_and_by_norm() -> None:
    a, b = AXES[0] + AXES[1], AXES[0] - AXES[1]
    for change in ({"quality": 0.4}, {"norm": 0.5}):
        found = needed(fuse([view(a + AXES[0]), view(b + AXES[0], **change)], 0.2))
        assert found.vector @ a > found.vector @ b
    np.testing.assert_allclose(needed(fuse([view(a), view(b)], -1.0)).vector, AXES[0] / np.sqrt(2), atol=1e-6)


def test_a_bad_view_among_good_ones_is_dropped_however_strong_it_looks() -> None:
    random = np.random.default_rng(1)
    good = [view(AXES[0] + 0.2 * random.normal(size=8)) for _ in range(5)]
    bad = view(AXES[5], quality=1.0, norm=1.5)
    found = needed(fuse([good[0], bad, *good[1:]], 0.2))
    assert found.views == tuple(good)
    np.testing.assert_allclose(found.vector, needed(fuse(good, 0.2)).vector)


def test_a_cosine_with_the_evidence_is_the_mean_of_the_views_own() -> None:
    random = np.random.default_rng(2)
    views = [view(AXES[0] + 0.3 * random.normal(size=8)) for _ in range(20)]
    probe = needed(view(AXES[1] + AXES[0]).embedding).vector
    own = [needed(view.embedding).vector @ probe for view in views]
    assert needed(fuse(views, -1.0)).vector @ probe == pytest.approx(np.mean(own), abs=1e-6)
