"""What ``sweep`` found -> docs/autoencoders.md and its plots. Every figure in the page is read from the sweep's JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import DataError
from edgeface.platform.files import write_whole
from edgeface.vision.drawing import save_image
from train.compare import plots
from train.compare.page import listed, table
from train.experiments import dense_baseline, encoders
from train.experiments.model_selection import DRAWS
from train.experiments.sweep import ENCODERS, PARTS, SHAPE, shrink, slug

TEMPLATE = Path(__file__).with_suffix(".md")
Figures = dict[str, Any]
Row = tuple[str, NDArray[np.uint8]]
"""Faces with their name."""

CRITERIA = {
    "mse": ("held-out MSE", min),
    "bic": ("BIC", min),
    "gain": ("information gain", max),
    "accuracy": ("verification accuracy", max),
}
ROWS = {
    "article": "dense, as the article has it",
    "dense": "dense",
    "eigenfaces": "PCA (eigenfaces)",
    "convolutional": "convolutional",
    "classification": "convolutional encoder, classification",
    "combination": "convolutional, reconstruction and classification",
    "combination-and-teacher": "convolutional, both and the teacher's relations",
    "shipped": "the shipped network, int8",
}
PART_NAMES = {
    "reconstruction": "reconstruction alone",
    "cosine": "+ distillation of the teacher's embedding",
    "position_wise": "+ distillation by position",
    "margin": "+ identity labels",
    "likeness": "+ the likeness of rebuilt faces",
    "relational": "+ the relations within a batch",
}


class Found:
    """The results of a sweep.

    Raises:
        DataError: there is none in ``folder``, or it is not finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = self._read("sweep")
        self.article = self._read("article")
        self.grid = [self._read(f"grid-{hidden}") for hidden in self.settings["budget"]["hidden"]]
        self.overfit = {name: self._read(f"overfit-{slug(name)}")["curve"] for name in dense_baseline.CURES}
        self.cost = self._read("cost")
        self.encoders = {"article": {**self.article, **self.article["encoder"], "code": dense_baseline.HIDDEN}}
        self.encoders |= {slug(name): self._read(f"encoder-{slug(name)}") for name in ENCODERS}
        self.encoders["shipped"] = self._read("shipped")
        self.losses = [self._read(f"loss-{count}") for count in range(1, len(PARTS) + 1)]
        self.verification = self._read("verification")

    def faces(self, name: str) -> NDArray[np.uint8]:
        """Faces that an encoder rebuilt."""
        return np.asarray(np.load(self.folder / f"faces-{name}.npy"))

    def _read(self, name: str) -> Figures:
        path = self.folder / f"{name}.json"
        try:
            return dict(json.loads(path.read_text()))
        except (OSError, ValueError):
            raise DataError(f"{path}: no result; run python -m train sweep to its end first") from None


def report(sweep: Path, out: Path) -> Path:
    """Write ``out``/autoencoders.md and ``out``/autoencoders/*.png from the results in ``sweep``; returns the page's path.

    FER2013's own faces, which are other people's, are drawn into ``sweep`` and not into the page.

    Raises:
        DataError: the sweep is not finished, or the page cannot be written.
    """
    found = Found(sweep)
    pictures = out / "autoencoders"
    page = out / "autoencoders.md"
    try:
        pictures.mkdir(parents=True, exist_ok=True)
        for name, draw in PLOTS.items():
            write_whole(pictures / f"{name}.png", plots.png(draw(found)))
        for name, rows in SHEETS.items():
            save_image(pictures / f"{name}.png", plots.faces(rows(found)))
        save_image(sweep / "article-faces.png", plots.faces(_over(found.faces("article-test"), "FER2013, test")))
        write_whole(page, compose(found).encode())
    except OSError as error:
        raise DataError(f"{error.filename or out}: {error.strerror or error}") from None
    return page


def compose(found: Found) -> str:
    """The page's text: report.md with its fields filled in."""
    settings, shipped, history = found.settings, found.encoders["shipped"], found.article["history"]
    fields = {
        **{name: settings[name] for name in ("budget", "pairs", "training", "held_out")},
        "fer": settings["fer2013"],
        "sources": ", ".join(name for manifest in settings["prepared"] for name in manifest["sources"]),
        "teachers": "SFace and MobileFaceNet, joined" if "second" in settings["prepared"][0] else "SFace alone",
        "hidden": dense_baseline.HIDDEN,
        "pixels": dense_baseline.SIDE**2,
        "article": found.article,
        "article_rate": dense_baseline.RATE,
        "article_batch": dense_baseline.BATCH,
        "article_table": _article_table(found),
        "article_ratio": history["val_loss"][-1] / history["loss"][-1],
        "article_sentence": _article_sentence(found),
        "article_accuracy": _percent(found.article["accuracy"]),
        "sizes": listed([str(row["hidden"]) for row in found.grid]),
        "grid_table": _grid_table(found),
        "picks_table": table(["criterion", "picks"], [[CRITERIA[name][0], _pick(found, name)] for name in CRITERIA]),
        "grid_sentence": _grid_sentence(found),
        "cures": dense_baseline.CURES,
        "overfit_table": _overfit_table(found),
        "overfit_sentence": _overfit_sentence(found),
        "code": encoders.CODE,
        "widths": ", ".join(str(width) for width in encoders.WIDTHS),
        "processor": found.cost["processor"],
        "cost_table": _cost_table(found),
        "cost_sentence": _cost_sentence(found),
        "batch": encoders.BATCH,
        "rate": encoders.RATE,
        "digest": shipped["digest"][:19],
        "draws": DRAWS,
        "encoders_table": _encoders_table(found),
        "encoders_sentence": _encoders_sentence(found),
        "shape_widths": "-".join(str(width) for width in SHAPE.widths),
        "losses_table": _losses_table(found),
        "losses_sentence": _losses_sentence(found),
    }
    return TEMPLATE.read_text(encoding="utf-8").format(**fields)


def _article_table(found: Found) -> str:
    figures, history = found.article, found.article["history"]
    rows = {
        "training, mean over the last epoch": history["loss"][-1],
        "validation, after the last epoch": history["val_loss"][-1],
        "test": figures["test_mse"],
        "test, with the mean training face for every face": figures["mean_face_mse"],
    }
    return table(["", "MSE"], [[name, f"{value:.5f}"] for name, value in rows.items()])


def _article_sentence(found: Found) -> str:
    errors = found.article["history"]["val_loss"]
    best = int(np.argmin(errors))
    if best == len(errors) - 1:
        return "It is lowest in the last epoch: the network had not finished learning."
    return f"It is lowest after epoch {best + 1}."


def _grid_table(found: Found) -> str:
    head = ["hidden", "parameters", "training MSE", "held-out MSE", "BIC, millions", "gain, bits a face", "accuracy, %"]
    rows = [
        [
            row["hidden"],
            f"{row['parameters']:,}",
            _spread(row["train_mse"], "{:.5f}"),
            _spread(row["mse"], "{:.5f}"),
            f"{np.mean(row['bic']) / 1e6:.2f}",
            _spread(row["gain"], "{:,.0f}"),
            _spread([100 * value for value in row["accuracy"]], "{:.1f}"),
        ]
        for row in found.grid
    ]
    return table(head, rows)


def _grid_sentence(found: Found) -> str:
    """Whether the criteria agree, and how firm the choice by accuracy is."""
    chosen = {name: _pick(found, name) for name in CRITERIA}
    if len(set(chosen.values())) == 1:
        sentences = ["All four pick the same size."]
    else:
        sentences = [
            "They do not agree: error and gain ask how well pixels are rebuilt, BIC whether that is worth its parameters, and "
            "accuracy whether people are told apart, which nothing in the training asks for."
        ]
    largest = max(row["hidden"] for row in found.grid)
    edge = [CRITERIA[name][0] for name, size in chosen.items() if size == largest]
    if edge:
        sentences.append(f"The largest size on offer, and so perhaps a larger one still, is the choice of: {', '.join(edge)}.")
    accuracies = {row["hidden"]: row["accuracy"] for row in found.grid}
    means = [float(np.mean(values)) for values in accuracies.values()]
    best = accuracies[chosen["accuracy"]]
    floor = max(means) - float(np.std(best, ddof=1)) / len(best) ** 0.5
    smallest = min(size for size, values in accuracies.items() if np.mean(values) >= floor)
    sentences.append(
        f"From the worst size to the best, accuracy goes from {_percent(min(means))} to {_percent(max(means))}; the smallest "
        f"size within one standard error of the best is {smallest}."
    )
    return " ".join(sentences)


def _overfit_table(found: Found) -> str:
    head = ["against it", "epochs", "training MSE, end", "validation MSE, end", "ratio", "lowest validation MSE", "in epoch"]
    rows = []
    for name, curve in found.overfit.items():
        training, validation = curve[-1]
        best = _best(curve)
        end = [f"{training:.5f}", f"{validation:.5f}", f"{validation / training:.1f}"]
        rows.append([name, len(curve), *end, f"{curve[best][1]:.5f}", best + 1])
    return table(head, rows)


def _overfit_sentence(found: Found) -> str:
    """What happens without a cure, and which cures lower the validation error of the weights that one is left with."""
    plain = found.overfit["nothing"]
    lowest = _best(plain)
    (training, validation), (last_training, last_validation) = plain[lowest], plain[-1]
    if last_validation > validation and last_training < training:
        story = (
            f"Without a cure the validation error falls to {validation:.5f} in epoch {lowest + 1} and then rises to "
            f"{last_validation:.5f}, by {100 * (last_validation / validation - 1):.1f} %, while the training error goes on "
            f"falling, from {training:.5f} to {last_training:.5f}: what is learnt from there on is these faces, not faces."
        )
    else:
        story = "Without a cure the validation error did not rise again in this run."
    left = {name: curve[-1][1] for name, curve in found.overfit.items()}
    early = found.overfit["early stop"]
    left["early stop"] = early[_best(early)][1]
    told = {
        name: f"{name} ({value:.5f})" for name, value in sorted(left.items(), key=lambda item: item[1]) if name != "nothing"
    }
    better = [text for name, text in told.items() if left[name] < last_validation]
    worse = [text for name, text in told.items() if left[name] >= last_validation]
    verdict = f"With a lower validation error in the end than without a cure: {listed(better) if better else 'none'}."
    return f"{story} {verdict}" + (f" Not lower, at the strength given above: {listed(worse)}." if worse else "")


def _cost_table(found: Found) -> str:
    head = ["picture", "dense: parameters", "conv.", "dense: M multiply-adds", "conv.", "dense: ms", "conv."]
    cells = _costs(found)
    rows = []
    for picture, pair in cells.items():
        parameters, operations, times = (
            [form.format(factor * row[name]) for row in pair]
            for name, factor, form in (
                ("parameters", 1, "{:,}"),
                ("multiply_adds", 1e-6, "{:.2f}"),
                ("milliseconds", 1, "{:.3f}"),
            )
        )
        rows.append([picture, *parameters, *operations, *times])
    return table(head, rows)


def _cost_sentence(found: Found) -> str:
    cells = _costs(found)
    first, *_, last = cells
    dense, convolutional = (
        big["parameters"] / small["parameters"] for small, big in zip(cells[first], cells[last], strict=True)
    )
    return (
        f"From {first} to {last} the dense encoder's parameters grow {dense:.1f} times, the convolutional encoder's "
        f"{convolutional:.1f} times."
    )


def _encoders_table(found: Found) -> str:
    head = ["encoder", "code", "parameters", "M multiply-adds", "held-out MSE", "accuracy, %", "TAR", "against dense"]
    rows = []
    for name, label in ROWS.items():
        row, told = found.encoders[name], found.verification[name]
        rows.append(
            [
                label,
                row["code"],
                f"{row['parameters']:,}" if row["parameters"] else "",
                f"{row['multiply_adds'] / 1e6:.1f}" if row["multiply_adds"] else "",
                f"{row['mse']:.5f}" if "mse" in row else "",
                f"{100 * row['accuracy']:.1f} ± {100 * row['accuracy_std']:.1f}",
                f"{row['tar']:.3f}",
                ""
                if name == "dense"
                else "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * told[key] for key in ("difference", "low", "high"))),
            ]
        )
    return table(head, rows)


def _encoders_sentence(found: Found) -> str:
    """Which rows the interval tells from the dense autoencoder, which of them rebuilds best, and where the road ends."""
    groups: dict[str, list[str]] = {
        "More accurate than the dense autoencoder, by the whole interval": [],
        "Not told apart from it": [],
        "Less accurate, by the whole interval": [],
    }
    above, level, below = groups.values()
    for name, label in ROWS.items():
        if name != "dense":
            told = found.verification[name]
            (above if told["low"] > 0 else below if told["high"] < 0 else level).append(label)
    verdicts = [f"{verdict}: {'; '.join(labels)}." for verdict, labels in groups.items() if labels]
    errors = {name: found.encoders[name]["mse"] for name in ("dense", "eigenfaces", "convolutional")}
    best = min(errors, key=lambda name: errors[name])
    wrong = {name: _percent(1 - found.encoders[name]["accuracy"]) for name in ("dense", "shipped")}
    return (
        f"{' '.join(verdicts)} Of the three that only rebuild (dense, PCA, convolutional), {ROWS[best]} has the lowest error "
        f"on held-out people, {errors[best]:.5f}. The network that ships is wrong on {wrong['shipped']} of the pairs, the "
        f"dense autoencoder on {wrong['dense']}."
    )


def _losses_table(found: Found) -> str:
    head = ["loss", "weight", "cosine with the teacher", "TAR", "accuracy, %"]
    rows = [
        [
            PART_NAMES[part],
            f"{row['weights'][part]:g}",
            f"{row['teacher_cosine']:.3f}",
            f"{row['tar_1e-2']:.3f}" if "tar_1e-2" in row else "",
            f"{100 * row['accuracy']:.1f} ± {100 * row['accuracy_std']:.1f}",
        ]
        for part, row in zip(PARTS, found.losses, strict=True)
    ]
    return table(head, rows)


def _losses_sentence(found: Found) -> str:
    accuracies = [100 * row["accuracy"] for row in found.losses]
    steps = {
        PART_NAMES[part][2:]: after - before for part, before, after in zip(PARTS[1:], accuracies, accuracies[1:], strict=False)
    }
    most = max(steps, key=lambda part: steps[part])
    none = [f"{part} ({step:+.1f})" for part, step in steps.items() if step <= 0]
    gained = f"The largest step in accuracy is {steps[most]:+.1f} points, by {most}." if steps[most] > 0 else ""
    return f"{gained} No gain in accuracy here: {'; '.join(none)}." if none else gained


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
        place.axvline(_pick(found, name), color="tab:red", linestyle=":", label=f"picks {_pick(found, name)}")
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
    "article-faces": lambda found: _over(found.faces("article-bundled"), "original"),
    "encoders-faces": _encoder_faces,
}


def _over(faces: NDArray[np.uint8], name: str) -> list[Row]:
    return [(name, faces[0]), ("rebuilt", faces[1])]


def _axes(count: int, size: tuple[float, float], rows: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, -(-count // rows), figsize=size, squeeze=False)
    for place in axes.flat:
        place.grid(alpha=0.3)
    return figure, list(axes.flat[:count])


def _pick(found: Found, criterion: str) -> int:
    """The hidden size that a criterion picks; of equal ones the smallest."""
    means = {row["hidden"]: float(np.mean(row[criterion])) for row in found.grid}
    return int(CRITERIA[criterion][1](means, key=lambda size: means[size]))


def _spread(values: Sequence[float], form: str) -> str:
    return f"{form.format(np.mean(values))} ± {form.format(np.std(values))}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _best(curve: Sequence[Sequence[float]]) -> int:
    """The epoch, from 0, of the lowest validation error."""
    return int(np.argmin([validation for _, validation in curve]))


def _costs(found: Found) -> dict[str, tuple[Figures, Figures]]:
    """The dense and the convolutional encoder's costs, by picture, from the smallest on."""
    rows = found.cost["rows"]
    return {f"{a['side']} px, {a['colour']}": (a, b) for a, b in zip(rows[::2], rows[1::2], strict=True)}
