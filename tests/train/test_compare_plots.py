"""The plots of a comparison: drawn of the committed results, so that each curve is told, named and begins with the data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("matplotlib", reason="needs edgeface[train]")
pytest.importorskip("tensorflow", reason="needs edgeface[train]")

from edgeface.errors import DataError
from train.__main__ import app
from train.compare import plots

FIGURES = Path(__file__).parents[2] / "docs/network/figures.json"


def drawn(monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
    """The figures of the plots that are drawn of the committed results, by their files."""
    figures: list[Any] = []

    def keep(figure: Any) -> bytes:
        figures.append(figure)
        return b""

    monkeypatch.setattr(plots, "png", keep)
    plots.draw(json.loads(FIGURES.read_bytes()), folder)
    return dict(zip(("robustness", "quality", "groups"), figures, strict=True))


def test_plots_tell_few_curves_apart_name_them_where_they_end_and_begin_with_the_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figures = drawn(monkeypatch, tmp_path)
    for axes in figures["quality"].axes:
        told = [line for line in axes.lines if line.get_color() != "0.82"]
        assert 4 <= len(told) <= 7
        assert len(axes.texts) == len(told) + 1  # the grey ones have one name
        assert axes.get_xlim()[0] == 0
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    (axes,) = figures["robustness"].axes
    rates = np.concatenate([line.get_xdata() for line in axes.lines])
    assert rates.min() - 0.05 < axes.get_xlim()[0] < rates.min()
    assert len({tuple(place) for line in axes.lines for place in line.get_xydata()}) == len(rates)  # none hides another
    for figure in (figures["robustness"], figures["quality"]):
        figure.canvas.draw()
        for panel in figure.axes:
            boxes = [text.get_window_extent() for text in panel.texts]
            assert not [1 for n, box in enumerate(boxes) for other in boxes[:n] if box.overlaps(other)]


def test_labels_are_moved_apart_and_no_further() -> None:
    assert plots.spread([1.0, 5.0], 1.0) == [1.0, 5.0]
    assert plots.spread([1.0, 1.0], 1.0) == [0.5, 1.5]
    assert np.diff(plots.spread([0.0, 0.1, 0.1, 0.2, 9.0], 1.0)).min() > 0.95


def test_plots_are_redrawn_from_the_figures(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    figures.write_bytes(FIGURES.read_bytes())
    assert CliRunner().invoke(app, ["redraw", str(figures)]).exit_code == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {"robustness.png", "quality.png", "groups.png"}
    figures.write_text("[]")
    refused = CliRunner().invoke(app, ["redraw", str(figures)])
    assert isinstance(refused.exception, DataError)
