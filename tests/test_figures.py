import sys
from pathlib import Path

import figures
import numpy as np
import pytest
from figures import measure, table

from edgeface.vision.images import load_image


@pytest.mark.slow
def test_the_figures_of_a_short_run_are_all_there_and_of_the_right_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "RATES", (10.0,))
    monkeypatch.setattr(figures, "SIZES", ((1280, 720),))
    monkeypatch.setattr(figures, "WARM_UP", 0.5)
    monkeypatch.setattr(figures, "forget", lambda _: None)  # whoever runs the tests may have gigabytes there
    found = measure(tmp_path, Path(sys.executable), visits=2, minutes=0.03, starts=1)
    (rate,) = found["rates"]
    assert [crowd["faces"] for crowd in found["crowds"]] == [1, 4]
    for each in (rate, *found["crowds"]):
        assert each["events"] >= 2
        assert [0, *each["face"]] == sorted([0, *each["face"]])
        assert [0, *each["nobody"]] == sorted([0, *each["nobody"]])
    assert 20 < rate["private_mb"] < rate["rss_mb"] < 1000
    assert found["fps_somebody"] > 0 < found["fps_nobody"]
    assert 0 < found["idle_cpu"] < 1
    assert found["idle_written_per_hour"] >= 0
    assert 0 < found["cold_start_cpu"] < found["cold_start"] * 2
    assert found["restart"] > 0
    shown = table(found)
    assert f"{found['restart']:.1f}" in shown
    assert all(line.count("|") == 3 for line in shown.splitlines()[2:]), shown


def test_a_visit_is_a_face_and_then_nobody(tmp_path: Path) -> None:
    scenes = figures.Scenes(tmp_path)
    folder = tmp_path / scenes.visits(2, 5.0).partition(":")[2]
    kinds = [path.resolve().name.partition("-")[0] for path in sorted(folder.iterdir())]
    assert kinds == (["face"] * 4 + ["nobody"] * 5) * 2
    pictures = [load_image(path) for path in sorted(folder.iterdir())[4:6]]
    assert np.any(pictures[0] != pictures[1])  # noise, as of a camera
