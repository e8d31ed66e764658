"""What ``sweep`` found -> docs/autoencoders.md and its plots. Every figure in the page is read from the sweep's JSON."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray

from edgeface.errors import DataError
from edgeface.files import write_whole
from train import article, encoders
from train.sweep import ENCODERS, PARTS, SHAPE, bundled_chips, shrink, slug

matplotlib.use("Agg")
Figures = dict[str, Any]

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
    "cosine": "+ distillation: the teacher's embedding",
    "position_wise": "+ distillation: its contributions by position",
    "relational": "+ relational: the batch's cosines",
    "margin": "+ identity labels",
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
        self.overfit = {name: self._read(f"overfit-{slug(name)}")["curve"] for name in article.CURES}
        self.cost = self._read("cost")
        self.encoders = {"article": {"code": article.HIDDEN, **self.article}}
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
            write_whole(pictures / f"{name}.png", draw(found))
        write_whole(sweep / "article-faces.png", faces_plot(_captioned(found.faces("article-test"), "FER2013, test")))
        write_whole(page, compose(found).encode())
    except OSError as error:
        raise DataError(f"{error.filename or out}: {error.strerror or error}") from None
    return page


def compose(found: Found) -> str:
    """The page's text."""
    parts = (_opening, _article, _grid, _overfit, _cost, _encoders, _losses)
    return "\n\n".join(part(found).strip() for part in parts) + "\n"


def _opening(found: Found) -> str:
    settings = found.settings
    fer, pairs = settings["fer2013"], settings["pairs"]
    sources = ", ".join(name for manifest in settings["prepared"] for name in manifest["sources"])
    training, held_out = settings["training"], settings["held_out"]
    return f"""
# From a dense autoencoder to our network

This page is generated, figures, sentences about them and plots, by

```sh
python -m train sweep fer2013-subset.npz prepared --images celeba-dev --pairs celeba-dev-pairs.txt --out sweep --docs docs
```

It follows one road: the dense autoencoder of an article, exactly as it stands there; how large its hidden layer should be; what happens
when it learns by heart; what it costs when pictures grow; what else the same size can be trained for; and what each part of our own loss
gives. "Verification accuracy" is one thing throughout: LFW's protocol (each fold at the threshold that is best on the others) on the
{pairs["count"]:,} pairs of {pairs["file"]}, with faces found and aligned by the device's own detector. Guessing gives 50 %. None of the people in
these pairs is in any training set, but the pairs served for development: choices were made on them.

| data | what for |
| --- | --- |
| FER2013: {fer["train"]:,} faces to train on, {fer["validation"]:,} for validation, {fer["test"]:,} for the test, 48 x 48 grey | the first three sections |
| {sources}, aligned: {training["faces"]:,} faces ({training["people"]:,} people with two or more) to train on, {held_out["faces"]:,} of {held_out["people"]:,} other people held out | the last two |
| {pairs["file"]} | verification accuracy |

FER2013's faces are cropped, not aligned by landmarks as ours are: an encoder that was trained on them meets another framing in the pairs.
"""


def _article(found: Found) -> str:
    figures, budget = found.article, found.settings["budget"]
    history = figures["history"]
    best = int(np.argmin(history["val_loss"]))
    still = (
        "It is lowest in the last epoch: the network had not finished learning."
        if best == len(history["val_loss"]) - 1
        else f"It is lowest after epoch {best + 1}."
    )
    return f"""
## The article's autoencoder

48 x 48 grey pixels, divided by 255; a dense layer of {article.HIDDEN} units with ReLU; a dense layer of {article.SIDE**2:,} with a sigmoid:
{figures["parameters"]:,} parameters. Adam at {article.RATE:g}, mean squared error, {budget["epochs"]} epochs, batches of {article.BATCH}, shuffled, with validation
(`train/article.py`).

| | MSE |
| --- | --- |
| training, mean over the last epoch | {history["loss"][-1]:.5f} |
| validation, after the last epoch | {history["val_loss"][-1]:.5f} |
| test | {figures["test_mse"]:.5f} |
| test, with the mean training face for every face | {figures["mean_face_mse"]:.5f} |

The validation error after the last epoch is {history["val_loss"][-1] / history["loss"][-1]:.2f} times the training error. {still}

![Training and validation error by epoch](autoencoders/article.png)

Its {article.HIDDEN} hidden numbers, compared as embeddings, give a verification accuracy of {_percent(figures["accuracy"])}. (Of every autoencoder on this page the code
is compared by cosine once the mean code of its training faces is subtracted; without that, codes that are nowhere negative are all alike.)

Above originals, below what it makes of them. They are the public-domain photos of the demo, for other people's photos are not ours to
publish; the same for ten test faces of FER2013 is in `article-faces.png` in the sweep's own folder.

![Originals over rebuilt faces](autoencoders/article-faces.png)
"""


def _grid(found: Found) -> str:
    budget = found.settings["budget"]
    rows = [
        [
            row["hidden"],
            f"{row['parameters']:,}",
            _spread(row["train_mse"], "{:.5f}"),
            _spread(row["mse"], "{:.5f}"),
            f"{np.mean(row['bic']):,.0f}",
            _spread(row["gain"], "{:,.0f}"),
            _spread([100 * value for value in row["accuracy"]], "{:.1f}"),
        ]
        for row in found.grid
    ]
    head = ["hidden", "parameters", "training MSE", "held-out MSE", "BIC", "gain, bits a face", "accuracy, %"]
    chosen = {name: _pick(found, name) for name in CRITERIA}
    picks = [[CRITERIA[name][0], size] for name, size in chosen.items()]
    return f"""
## How many hidden units?

A grid search over {", ".join(str(size) for size in budget["hidden"])}, by {budget["folds"]}-fold cross-validation on FER2013's training faces: the article's training
({budget["epochs"]} epochs) on all folds but one, judged on that one. Means over the folds, and their standard deviation.

- **BIC** = N ln(MSE) + k ln(N), with N residuals (training faces times pixels), k weights and biases, and the MSE on the training
  folds: Schwarz, 1978, for independent Gaussian residuals of one unknown variance. Neighbouring pixels' residuals are not
  independent, and training stops before the maximum of the likelihood, so take it as the textbook's rule and no more.
- **Information gain** = the sum over the pixels of 1/2 log2(variance / mean squared residual), on the held-out fold: how many bits the
  rebuilt pixels tell of the true ones, if both are Gaussian and each pixel is taken for itself.
- **Verification accuracy** of the hidden code on the pairs, each fold's network in turn.

{_table(head, rows)}

![Each criterion by hidden size](autoencoders/grid.png)

{_table(["criterion", "picks"], picks)}

{_agreement(found, chosen)}
"""


def _agreement(found: Found, chosen: dict[str, int]) -> str:
    largest = max(found.settings["budget"]["hidden"])
    sentences = []
    if len(set(chosen.values())) == 1:
        sentences.append("All four pick the same size.")
    else:
        sentences.append(
            "They do not all agree: error and gain ask how well pixels are rebuilt, BIC what that costs in parameters,"
        )
        sentences.append("and accuracy asks whether people are told apart, which nothing in the training asks for.")
    edge = [CRITERIA[name][0] for name, size in chosen.items() if size == largest]
    if edge:
        sentences.append(f"{_upper(_join(edge))} would have the largest on offer, and perhaps a larger one still.")
    accuracies = {row["hidden"]: row["accuracy"] for row in found.grid}
    best = accuracies[chosen["accuracy"]]
    floor = float(np.mean(best) - np.std(best, ddof=1) / np.sqrt(len(best)))
    smallest = min(size for size, values in accuracies.items() if np.mean(values) >= floor)
    sentences.append(
        f"The smallest size whose accuracy is within one standard error of the best is {smallest}; from the worst size to the best, "
        f"accuracy goes from {_percent(min(np.mean(v) for v in accuracies.values()))} to {_percent(float(np.mean(best)))}."
    )
    return "\n".join(sentences)


def _overfit(found: Found) -> str:
    budget = found.settings["budget"]
    rows = []
    for name, curve in found.overfit.items():
        best = min(range(len(curve)), key=lambda at, curve=curve: curve[at][1])  # type: ignore[misc]
        end = [f"{value:.5f}" for value in curve[-1]]
        rows.append([name, len(curve), *end, f"{curve[-1][1] / curve[-1][0]:.1f}", f"{curve[best][1]:.5f}", best + 1])
    head = ["against it", "epochs", "training MSE, end", "validation MSE, end", "ratio", "lowest validation MSE", "in epoch"]
    plain = found.overfit["nothing"]
    lowest = min(range(len(plain)), key=lambda at: plain[at][1])
    story = (
        f"Without a cure the validation error falls to {plain[lowest][1]:.5f} in epoch {lowest + 1} and is {plain[-1][1]:.5f} at the end, "
        f"{100 * (plain[-1][1] / plain[lowest][1] - 1):.1f} % higher, while the training error goes on falling, from "
        f"{plain[lowest][0]:.5f} to {plain[-1][0]:.5f}: what is learnt after that epoch is these {budget['overfit_faces']} faces and not faces."
        if plain[-1][1] > plain[lowest][1] and plain[-1][0] < plain[lowest][0]
        else "Without a cure the validation error did not rise again in this run."
    )
    kept = {
        name: min(row[1] for row in curve) if name == "early stop" else curve[-1][1] for name, curve in found.overfit.items()
    }
    cures = [name for name in kept if name != "nothing"]
    better = sorted((name for name in cures if kept[name] < kept["nothing"]), key=lambda name: kept[name])
    worse = [name for name in cures if name not in better]
    verdict = (
        f"Lower validation error in the end than without: {_join([f'{name} ({kept[name]:.5f})' for name in better]) or 'none'}."
        + (f" Not lower: {_join([f'{name} ({kept[name]:.5f})' for name in worse])}." if worse else "")
    )
    cure = article.CURES
    return f"""
## Learning by heart, and what cures it

To see it clearly: {budget["overfit_hidden"]} hidden units, only {budget["overfit_faces"]} of the training faces, {budget["overfit_epochs"]} epochs of batches of {budget["overfit_batch"]}. Errors are on
faces as they are, without noise, dropout or augmentation, after each epoch; validation is FER2013's {found.settings["fer2013"]["validation"]:,} faces.

- weight decay: {cure["weight decay"].weight_decay:g} (AdamW); dropout: {cure["dropout"].dropout:g} of the hidden units;
- denoising: Gaussian noise of standard deviation {cure["denoising"].noise:g} on the pixels that go in, none on those to be rebuilt;
- augmentation: mirrored, shifted by up to 3 pixels, other brightness and contrast, in and out alike;
- early stop: {cure["early stop"].patience} epochs without a lower validation error end the training, and the best epoch's weights are kept.

{_table(head, rows)}

{story}
{verdict}

![Training and validation error with each cure](autoencoders/overfitting.png)
"""


def _cost(found: Found) -> str:
    rows = found.cost["rows"]
    cells = {(row["side"], row["colour"], row["encoder"]): row for row in rows}
    table = []
    for side, colour in dict.fromkeys((row["side"], row["colour"]) for row in rows):
        pair = [cells[side, colour, encoder] for encoder in ("dense", "convolutional")]
        table.append(
            [
                f"{side} px, {colour}",
                *(f"{row['parameters']:,}" for row in pair),
                *(f"{row['multiply_adds'] / 1e6:.2f}" for row in pair),
                *(f"{row['milliseconds']:.3f}" for row in pair),
            ]
        )
    head = ["picture", "dense: parameters", "conv.", "dense: M multiply-adds", "conv.", "dense: ms", "conv."]
    first, last = rows[0], rows[-2]
    growth = {
        kind: cells[last["side"], last["colour"], kind]["parameters"]
        / cells[first["side"], first["colour"], kind]["parameters"]
        for kind in ("dense", "convolutional")
    }
    return f"""
## What large pictures cost

Encoders alone, to a code of {encoders.CODE}; the dense decoder costs as much again. The convolutional encoder has four 3 x 3 convolutions of stride 2
({", ".join(str(width) for width in encoders.WIDTHS)} channels) and a dense layer over the map that is left. Times are the median of {found.settings["budget"]["timings"]} runs as float TFLite, one
thread, on {found.cost["processor"]}.

{_table(head, table)}

![Parameters and time by picture size](autoencoders/cost.png)

From {first["side"]} pixels in {first["colour"]} to {last["side"]} in {last["colour"]} the dense encoder's parameters grow {growth["dense"]:.1f} times, and it has one multiply-add a weight: a dense
layer knows no two pixels that are neighbours, so every pixel has its own {encoders.CODE} weights. The convolutional encoder's grow {growth["convolutional"]:.1f} times, for
its kernels are the same at every place; it pays in multiply-adds instead.
"""


def _encoders(found: Found) -> str:
    budget = found.settings["budget"]
    rows = []
    for name, label in ROWS.items():
        row = found.encoders[name]
        told = found.verification[name]
        rows.append(
            [
                label,
                row["code"],
                _known(row.get("parameters"), "{:,}"),
                _known(_millions(row.get("multiply_adds")), "{:.1f}"),
                _known(row.get("mse"), "{:.5f}"),
                f"{_percent(row['accuracy'])} ({100 * row['accuracy_std']:.1f})",
                f"{row['tar']:.3f}",
                "" if name == "dense" else _interval(told),
            ]
        )
    head = ["encoder", "code", "parameters", "M multiply-adds", "held-out MSE", "accuracy", "TAR", "against dense, points"]
    groups: dict[str, list[str]] = {"above": [], "level": [], "below": []}
    for name, label in ROWS.items():
        if name != "dense":
            told = found.verification[name]
            groups["above" if told["low"] > 0 else "below" if told["high"] < 0 else "level"].append(label)
    verdicts = {
        "above": "More accurate than the dense autoencoder, by the whole interval",
        "level": "Not told apart from it",
        "below": "Less accurate, by the whole interval",
    }
    verdict = " ".join(f"{verdicts[kind]}: {_join(labels, '; ')}." for kind, labels in groups.items() if labels)
    shipped, dense = found.encoders["shipped"], found.encoders["dense"]
    rebuilding = {name: found.encoders[name]["mse"] for name in ("dense", "eigenfaces", "convolutional")}
    best = min(rebuilding, key=lambda name: rebuilding[name])
    return f"""
## What the encoder is trained for

The same code size, {encoders.CODE} numbers, the same faces (48 x 48 grey, of the aligned training faces) and the same budget, {budget["faces"]:,} presentations in batches
of {encoders.BATCH}, half of them mirrored (`train/encoders.py`); PCA has seen every face once, and has no budget to spend. Adam from {encoders.RATE:g} down to zero. Classification is the
margin loss of `train/losses.py` over the people of the training set. "The teacher's relations" is the relational loss against SFace's
embeddings. Two rows have other data: the article's network is the one above, trained on FER2013; the last row is the network in
`edgeface/models` (`{shipped["digest"][:19]}`), which sees 112 x 112 in colour and was trained for far longer.

"Accuracy" has the standard deviation of the folds, TAR is the true-accept rate at a false-accept rate of 1 %. The last column is the
difference in accuracy from the dense autoencoder on the same pairs, with its 95 % interval: a paired bootstrap over the people in the
pairs, 2,000 draws (`train/criteria.py`).

{_table(head, rows)}

![Verification accuracy of each](autoencoders/encoders.png)

{verdict} Of the three that only rebuild, {ROWS[best]} has the lowest error ({rebuilding[best]:.5f}).
The network that ships makes {_percent(1 - shipped["accuracy"])} errors where the dense autoencoder makes {_percent(1 - dense["accuracy"])}.

What is rebuilt from {encoders.CODE} numbers, on faces that none of them was trained on (the last row from 128 + 32, at 56 x 56 in colour):

![Faces rebuilt by each](autoencoders/encoders-faces.png)
"""


def _losses(found: Found) -> str:
    budget = found.settings["budget"]
    rows = []
    for part, row in zip(PARTS, found.losses, strict=True):
        rows.append(
            [
                PART_NAMES[part],
                f"{row['weights'][part]:g}",
                _known(row.get("teacher_cosine"), "{:.3f}"),
                _known(row.get("tar_1e-2"), "{:.3f}"),
                f"{_percent(row['accuracy'])} ({100 * row['accuracy_std']:.1f})",
            ]
        )
    accuracies = [row["accuracy"] for row in found.losses]
    steps = {PARTS[at]: accuracies[at] - accuracies[at - 1] for at in range(1, len(PARTS))}
    most = max(steps, key=lambda part: steps[part])
    lost = [f"{PART_NAMES[part].removeprefix('+ ')} ({100 * step:+.1f})" for part, step in steps.items() if step <= 0]
    verdict = f"The largest step in accuracy is that of {PART_NAMES[most].removeprefix('+ ')}, {100 * steps[most]:+.1f} points."
    if lost:
        verdict += f" No gain here: {_join(lost)}."
    blocks = "-".join(str(width) for width in SHAPE.widths)
    return f"""
## What each part of the loss gives

The loss of `python -m train fit`, part by part, each row with all parts of the rows above it at their usual weights. The network is a small
one of our kind ({blocks} channels), trained on the same faces in the same order, {budget["fit_faces"]:,} presentations each, which is short: what a part gives in
a long run may differ. Cosine with the teacher and TAR at a false-accept rate of 1 % are on the held-out people; accuracy is on the pairs.
All in float, one embedding a photo, and no mean is subtracted, for the device subtracts none. The classes of the identity labels start at
each person's mean embedding by the teacher.

{_table(["loss", "weight", "cosine with the teacher", "TAR", "accuracy"], rows)}

{verdict}
"""


def article_plot(found: Found) -> bytes:
    """Training and validation error by epoch."""
    figure, axes = _axes(1, (7, 4))
    epochs = np.arange(1, len(found.article["history"]["loss"]) + 1)
    axes[0].plot(epochs, found.article["history"]["loss"], label="training (mean over the epoch)")
    axes[0].plot(epochs, found.article["history"]["val_loss"], label="validation (after it)")
    axes[0].set(xlabel="epoch", ylabel="MSE", title=f"Dense autoencoder, {article.HIDDEN} hidden units, FER2013")
    axes[0].legend()
    return _png(figure)


def grid_plot(found: Found) -> bytes:
    """Each criterion by hidden size, with the standard deviation of the folds; what it picks is marked."""
    figure, axes = _axes(4, (13, 3.4))
    sizes = [row["hidden"] for row in found.grid]
    for place, (name, (label, _)) in zip(axes, CRITERIA.items(), strict=True):
        values = np.array([row[name] for row in found.grid]) * (100 if name == "accuracy" else 1)
        place.errorbar(sizes, values.mean(axis=1), values.std(axis=1), marker=".", capsize=3)
        place.axvline(_pick(found, name), color="tab:red", linestyle=":", label=f"picks {_pick(found, name)}")
        unit = {"gain": ", bits", "accuracy": ", %"}.get(name, "")
        place.set(xscale="log", xlabel="hidden units", title=label + unit)
        place.set_xticks(sizes, [str(size) for size in sizes], fontsize=8)
        place.minorticks_off()
        place.legend()
    return _png(figure)


def overfit_plot(found: Found) -> bytes:
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
    return _png(figure)


def cost_plot(found: Found) -> bytes:
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
    return _png(figure)


def encoders_plot(found: Found) -> bytes:
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
    return _png(figure)


def faces_plot(rows: Sequence[tuple[str, NDArray[np.uint8]]]) -> bytes:
    """Rows of faces, each with its name, at twice their size."""
    side, label, gap = 96, 330, 4
    columns = max(len(faces) for _, faces in rows)
    sheet = np.full((len(rows) * (side + gap) + gap, label + columns * (side + gap), 3), 255, np.uint8)
    for at, (name, faces) in enumerate(rows):
        top = gap + at * (side + gap)
        cv2.putText(sheet, name, (8, top + side // 2 + 5), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        for column, face in enumerate(faces):
            colour = face if face.ndim == 3 else np.repeat(face[..., None], 3, axis=2)
            left = label + column * (side + gap)
            sheet[top : top + side, left : left + side] = cv2.resize(colour, (side, side), interpolation=cv2.INTER_CUBIC)
    return bytes(cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1])


def _encoder_faces(found: Found) -> bytes:
    originals = bundled_chips()
    rows = [("original, 48 x 48 grey", shrink(originals)[..., 0])]
    rows += [(ROWS[slug(name)], found.faces(slug(name))) for name in ENCODERS if "mse" in found.encoders[slug(name)]]
    return faces_plot([*rows, ("original, 112 x 112", originals), (ROWS["shipped"], found.faces("shipped"))])


PLOTS = {
    "article": article_plot,
    "article-faces": lambda found: faces_plot(_captioned(found.faces("article-bundled"), "original")),
    "grid": grid_plot,
    "overfitting": overfit_plot,
    "cost": cost_plot,
    "encoders": encoders_plot,
    "encoders-faces": _encoder_faces,
}


def _captioned(faces: NDArray[np.uint8], name: str) -> list[tuple[str, NDArray[np.uint8]]]:
    return [(name, faces[0]), ("rebuilt", faces[1])]


def _axes(count: int, size: tuple[float, float], rows: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, -(-count // rows), figsize=size, squeeze=False)
    for place in axes.flat:
        place.grid(alpha=0.3)
    return figure, list(axes.flat[:count])


def _png(figure: Any) -> bytes:
    from matplotlib import pyplot

    stream = io.BytesIO()
    figure.tight_layout()
    # Without the date and version that matplotlib writes, the same results give the same file.
    figure.savefig(stream, format="png", dpi=90, metadata={"Software": None})
    pyplot.close(figure)
    return stream.getvalue()


def _pick(found: Found, criterion: str) -> int:
    """The hidden size that a criterion picks; of equal ones the smallest."""
    means = {row["hidden"]: float(np.mean(row[criterion])) for row in found.grid}
    return int(CRITERIA[criterion][1](means, key=lambda size: means[size]))


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _spread(values: Sequence[float], form: str) -> str:
    return f"{form.format(np.mean(values))} ± {form.format(np.std(values))}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _interval(told: Figures) -> str:
    return f"{100 * told['difference']:+.1f} ({100 * told['low']:+.1f} to {100 * told['high']:+.1f})"


def _known(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)  # noqa: RUF001


def _millions(value: float | None) -> float | None:
    return None if value is None else value / 1e6


def _join(words: Sequence[str], comma: str = ", ") -> str:
    return comma.join(words) if len(words) < 2 or comma != ", " else f"{', '.join(words[:-1])} and {words[-1]}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
