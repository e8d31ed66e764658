"""Write docs/autoencoders.md and its plots from the results of ``sweep``; every figure is read from its JSON."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeface.errors import DataError
from edgeface.platform.files import write_whole
from edgeface.vision.drawing import save_image
from train.compare import plots
from train.compare.text import listed, table
from train.experiments import dense_baseline, encoders
from train.experiments.model_selection import DRAWS
from train.experiments.report_plots import PLOTS, SHEETS, over
from train.experiments.sweep import PARTS, SHAPE
from train.experiments.sweep_results import CRITERIA, PART_NAMES, ROWS, Found, best_epoch, costs, pick

TEMPLATE = Path(__file__).with_suffix(".md")


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
        save_image(sweep / "article-faces.png", plots.faces(over(found.faces("article-test"), "FER2013, test")))
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
        "picks_table": table(["criterion", "picks"], [[CRITERIA[name][0], pick(found, name)] for name in CRITERIA]),
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
    chosen = {name: pick(found, name) for name in CRITERIA}
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
        best = best_epoch(curve)
        end = [f"{training:.5f}", f"{validation:.5f}", f"{validation / training:.1f}"]
        rows.append([name, len(curve), *end, f"{curve[best][1]:.5f}", best + 1])
    return table(head, rows)


def _overfit_sentence(found: Found) -> str:
    """What happens without a cure, and which cures lower the validation error of the weights that one is left with."""
    plain = found.overfit["nothing"]
    lowest = best_epoch(plain)
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
    left["early stop"] = early[best_epoch(early)][1]
    told = {
        name: f"{name} ({value:.5f})" for name, value in sorted(left.items(), key=lambda item: item[1]) if name != "nothing"
    }
    better = [text for name, text in told.items() if left[name] < last_validation]
    worse = [text for name, text in told.items() if left[name] >= last_validation]
    verdict = f"With a lower validation error in the end than without a cure: {listed(better) if better else 'none'}."
    return f"{story} {verdict}" + (f" Not lower, at the strength given above: {listed(worse)}." if worse else "")


def _cost_table(found: Found) -> str:
    head = ["picture", "dense: parameters", "conv.", "dense: M multiply-adds", "conv.", "dense: ms", "conv."]
    cells = costs(found)
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
    cells = costs(found)
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


def _spread(values: Sequence[float], form: str) -> str:
    return f"{form.format(np.mean(values))} ± {form.format(np.std(values))}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
