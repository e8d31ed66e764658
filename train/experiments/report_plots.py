"""Draw the plots of the page about a sweep."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.compare import plots
from train.experiments import dense_baseline
from train.experiments.sweep import ENCODERS, shrink, slug
from train.experiments.sweep_results import CRITERIA, ROWS, Found, pick

Row = tuple[str, NDArray[np.uint8]]
"""Faces with their name."""


def article_plot(found: Found) -> Any:
    """Training and validation error by epoch."""
    figure, axes = _axes(1, (7, 4))
    epochs = np.arange(1, len(found.article["history"]["loss"]) + 1)
    axes[0].plot(epochs, found.article["history"]["loss"], label="training (mean over the epoch)")
    axes[0].plot(epochs, found.article["history"]["val_loss"], label="validation (after it)")
    axes[0].set(xlabel="epoch", ylabel="MSE", title=f"Dense autoencoder, {dense_baseline.HIDDEN} hidden units, FER2013")
    axes[0].legend()
    return figure


def grid_plot(found: Found) -> Any:
    """Each criterion by hidden size, with the standard deviation of the folds; what it picks is marked."""
    figure, axes = _axes(4, (13, 3.4))
    sizes = [row["hidden"] for row in found.grid]
    for place, (name, (label, _)) in zip(axes, CRITERIA.items(), strict=True):
        factor, unit = {"accuracy": (100, ", %"), "bic": (1e-6, ", millions"), "gain": (1, ", bits")}.get(name, (1, ""))
        values = factor * np.array([row[name] for row in found.grid])
        place.errorbar(sizes, values.mean(axis=1), values.std(axis=1), marker=".", capsize=3)
        place.axvline(pick(found, name), color="tab:red", linestyle=":", label=f"picks {pick(found, name)}")
        place.set(xscale="log", xlabel="hidden units", title=label + unit)
        place.set_xticks(sizes, [str(size) for size in sizes], fontsize=8)
        place.minorticks_off()
        place.legend()
    return figure


def overfit_plot(found: Found) -> Any:
    """Training and validation error of every cure, beside those without."""
    names = list(found.overfit)
    figure, axes = _axes(len(names), (13, 6.4), rows=2)
    plain = np.array(found.overfit["nothing"])
    for place, name in zip(axes, names, strict=True):
        curve = np.array(found.overfit[name])
        for column, colour in ((0, "tab:blue"), (1, "tab:orange")):
            if name != "nothing":
                place.plot(np.arange(1, len(plain) + 1), plain[:, column], color=colour, alpha=0.3, linestyle="--")
            label = ("training", "validation")[column]
            place.plot(np.arange(1, len(curve) + 1), curve[:, column], color=colour, label=label)
        best = int(np.argmin(curve[:, 1]))
        place.plot(best + 1, curve[best, 1], "k.", label=f"lowest, epoch {best + 1}")
        title = "no cure" if name == "nothing" else f"{name} (dashed: no cure)"
        place.set(xlabel="epoch", ylabel="MSE", yscale="log", title=title)
        place.legend(fontsize=8)
    return figure


def cost_plot(found: Found) -> Any:
    """Parameters, multiply-adds and time by the picture's side."""
    figure, axes = _axes(3, (13, 3.8))
    rows = found.cost["rows"]
    measures = {"parameters": "parameters", "multiply_adds": "multiply-adds", "milliseconds": "ms, one thread"}
    for place, (measure, title) in zip(axes, measures.items(), strict=True):
        for encoder, colour in (("dense", "tab:blue"), ("convolutional", "tab:orange")):
            for channels, line in (("grey", "--"), ("colour", "-")):
                mine = [row for row in rows if (row["encoder"], row["colour"]) == (encoder, channels)]
                place.plot(
                    [row["side"] for row in mine],
                    [row[measure] for row in mine],
                    color=colour,
                    linestyle=line,
                    marker=".",
                    label=f"{encoder}, {channels}",
                )
        place.set(xlabel="side of the picture, pixels", yscale="log", title=title)
        place.set_xticks(sorted({row["side"] for row in rows}))
    axes[0].legend(fontsize=8)
    return figure


def encoders_plot(found: Found) -> Any:
    """Accuracy of each encoder; the bar's whisker is the interval of its difference from the dense one."""
    figure, axes = _axes(1, (9, 4))
    names = list(ROWS)[::-1]
    dense = found.encoders["dense"]["accuracy"]
    for at, name in enumerate(names):
        accuracy = 100 * found.encoders[name]["accuracy"]
        colour = {"dense": "tab:grey", "shipped": "tab:green"}.get(name, "tab:blue")
        axes[0].barh(at, accuracy, color=colour)
        told = found.verification[name]
        low, high = 100 * (dense + told["low"]), 100 * (dense + told["high"])
        if name != "dense":
            axes[0].plot([low, high], [at, at], color="black", marker="|")
        axes[0].text(max(accuracy, high) + 0.5, at, f"{accuracy:.1f}", va="center")
    axes[0].axvline(100 * dense, color="tab:grey", linestyle=":")
    axes[0].set_yticks(range(len(names)), [ROWS[name] for name in names])
    axes[0].set(xlim=(45, 103), xlabel="verification accuracy, %; line: 95 % interval of the difference from dense")
    return figure


def _encoder_faces(found: Found) -> list[Row]:
    originals = plots.demo_chips()
    rows = [("original, 48 x 48 grey", shrink(originals)[..., 0])]
    rows += [(ROWS[slug(name)], found.faces(slug(name))) for name in ENCODERS if "mse" in found.encoders[slug(name)]]
    return [*rows, ("original, 112 x 112", originals), (ROWS["shipped"], found.faces("shipped"))]


PLOTS = {
    "article": article_plot,
    "grid": grid_plot,
    "overfitting": overfit_plot,
    "cost": cost_plot,
    "encoders": encoders_plot,
}
SHEETS = {
    "article-faces": lambda found: over(found.faces("article-bundled"), "original"),
    "encoders-faces": _encoder_faces,
}


def over(faces: NDArray[np.uint8], name: str) -> list[Row]:
    """Two rows: the faces, and the same rebuilt."""
    return [(name, faces[0]), ("rebuilt", faces[1])]


def _axes(count: int, size: tuple[float, float], rows: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, -(-count // rows), figsize=size, squeeze=False)
    for place in axes.flat:
        place.grid(alpha=0.3)
    return figure, list(axes.flat[:count])
