"""Reproduce the steps from the article's dense autoencoder to our network: every experiment behind docs/autoencoders.md.

An experiment writes one JSON when it is done, and beside it the arrays that are drawn. What is there is not done again.
"""

import hashlib
import io
import json
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeface.errors import DataError
from edgeface.measurement.bench import processor, time_calls
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import SHIPPED
from edgeface.vision.tflite import interpreter
from train.checkpoints import load_weights
from train.compare.plots import demo_chips
from train.config import TrainConfig
from train.data import Chips, load, teacher_embeddings
from train.evaluation.pairs import read_pairs, write_json
from train.experiments import dense_baseline, encoders
from train.experiments.model_selection import bic, information_gain
from train.experiments.pair_benchmark import Scores, open_benchmark
from train.export.export import multiply_adds
from train.fit import fit
from train.model import Shape, build_encoder, half_of, identity_codes, set_weights

SIDE = dense_baseline.SIDE
SHAPE = Shape(widths=(16, 24, 48, 96), blocks=(0, 1, 1, 1), neck=64, identity=128)
"""Of the networks that tell what each part of the loss gives."""

PARTS = ("reconstruction", "cosine", "position_wise", "margin", "perceptual", "relational")
"""The parts of ``fit``'s loss, in the order in which they are added."""

RELATIONAL = 0.1
"""Weight of the last of them, which ``fit`` does not use."""

EIGENFACES = "eigenfaces"
ENCODERS = ("dense", EIGENFACES, *(name for name in encoders.KINDS if name != "dense"))
COLOURS = {"grey": 1, "colour": 3}


@dataclass(frozen=True)
class Budget:
    """How much is done; the defaults make the page."""

    epochs: int = dense_baseline.EPOCHS
    folds: int = 5
    hidden: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512)
    overfit_faces: int = 200
    overfit_hidden: int = 512
    overfit_epochs: int = 200
    overfit_batch: int = 10
    sides: tuple[int, ...] = (48, 64, 96, 112)
    timings: int = 300
    faces: int = 120_000
    fit_faces: int = 40_000
    fit_batch: int = 128


class Sweep:
    """The experiments on one set of data, kept in ``out``.

    Raises:
        DataError: data cannot be used, or ``out`` holds a sweep of another kind.
        ImageError: a photo of the pairs is missing or cannot be read.
    """

    def __init__(
        self, fer: Path, folders: Sequence[Path], images: Path, pairs: Path, out: Path, budget: Budget | None = None
    ) -> None:
        self._out, self._folders, self._budget = out, folders, budget or Budget()
        self._fer = dense_baseline.read_faces(fer)
        self._training, self._held_out = load(folders).split()
        if not len(self._held_out) or not len(self._training):
            raise DataError("nobody is held out to measure on: prepare folders with one subfolder a person")
        verified = read_pairs(pairs)
        manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
        _bind(
            out,
            {
                "budget": asdict(self._budget),
                "fer2013": {"sha256": _digest(fer), **{part: len(faces) for part, faces in self._fer.items()}},
                "pairs": {"file": pairs.name, "sha256": _digest(pairs), "count": len(verified.same)},
                "prepared": manifests,
                "training": {"faces": len(self._training), "people": int(self._training.labels().max(initial=-1)) + 1},
                "held_out": {"faces": len(self._held_out), "people": len(set(self._held_out.people))},
            },
        )
        self._benchmark = open_benchmark(images, verified, out / "chips.npz")

    def run(self, model: Path = SHIPPED) -> None:
        """Do what is not done yet, and end with the network in ``model``.

        Raises:
            ModelError: that network cannot be used.
            KeyboardInterrupt: a run of ``fit`` was stopped.
        """
        embedder = Embedder(model)  # first, for a network that cannot be used should not be found out last
        self._keep("article", self._article)
        for hidden in self._budget.hidden:
            self._keep(f"grid-{hidden}", partial(self._grid, hidden))
        for name, cure in dense_baseline.CURES.items():
            self._keep(f"overfit-{slug(name)}", partial(self._overfit, cure))
        self._keep("cost", self._cost)
        for name in ENCODERS:
            self._keep(f"encoder-{slug(name)}", partial(self._encoder, name))
        for count in range(1, len(PARTS) + 1):
            self._keep(f"loss-{count}", partial(self._loss, count))
        self._shipped(embedder)
        self._write("verification", self._verification())

    def _article(self) -> dict[str, Any]:
        """The article's run, as it stands there."""
        model, history = dense_baseline.train(self._fer["train"], self._fer["validation"], epochs=self._budget.epochs)
        rebuilt = dense_baseline.apply(model, self._fer["test"])
        shown = {"test": self._fer["test"][:10], "bundled": dense_baseline.flat(self._bundled)}
        for name, faces in shown.items():
            np.save(self._out / f"faces-article-{name}.npy", _drawn(np.stack([faces, dense_baseline.apply(model, faces)])))
        coder = dense_baseline.encoder(model)
        return {
            "history": history,
            "parameters": model.count_params(),
            "encoder": {"parameters": coder.count_params(), "multiply_adds": multiply_adds(coder)},
            "test_mse": float(np.mean(np.square(rebuilt - self._fer["test"]))),
            "mean_face_mse": float(np.mean(np.square(self._fer["train"].mean(axis=0) - self._fer["test"]))),
            **self._verified("article", self._coded(partial(dense_baseline.apply, coder), self._fer["train"])),
        }

    def _grid(self, hidden: int) -> dict[str, Any]:
        """One hidden size, cross-validated: what each criterion says on each fold."""
        faces = self._fer["train"]
        figures: dict[str, Any] = {name: [] for name in ("train_mse", "mse", "bic", "gain", "accuracy")}
        for rows, held_out in dense_baseline.folds(len(faces), self._budget.folds):
            model, _ = dense_baseline.train(faces[rows], faces[held_out], hidden, self._budget.epochs)
            fitted, parameters = dense_baseline.error(model, faces[rows]), model.count_params()
            figures["train_mse"].append(fitted)
            figures["mse"].append(dense_baseline.error(model, faces[held_out]))
            figures["bic"].append(bic(fitted, faces[rows].size, parameters))
            figures["gain"].append(information_gain(faces[held_out], dense_baseline.apply(model, faces[held_out])))
            scores = self._coded(partial(dense_baseline.apply, dense_baseline.encoder(model)), faces[rows])
            figures["accuracy"].append(self._benchmark.judge(scores)["accuracy"])
        return {"hidden": hidden, "parameters": parameters, **figures}

    def _overfit(self, cure: dense_baseline.Cure) -> dict[str, Any]:
        """Many hidden units, few faces, many epochs."""
        budget = self._budget
        faces = self._fer["train"][: budget.overfit_faces]
        curve = dense_baseline.overfit(
            faces, self._fer["validation"], cure, budget.overfit_hidden, budget.overfit_epochs, budget.overfit_batch
        )
        return {"curve": curve, "train_mse": curve[-1][0], "mse": curve[-1][1]}

    def _cost(self) -> dict[str, Any]:
        """What one face costs each encoder, by the size of its picture: float TFLite, one thread."""
        rows = []
        for side in self._budget.sides:
            for colour, channels in COLOURS.items():
                for build in (encoders.dense_encoder, encoders.convolutional_encoder):
                    model = build(side, channels)
                    rows.append(
                        {
                            "side": side,
                            "colour": colour,
                            "encoder": model.name,
                            "parameters": model.count_params(),
                            "multiply_adds": multiply_adds(model),
                            "milliseconds": _milliseconds(model, self._budget.timings),
                        }
                    )
        return {"processor": processor(), "rows": rows}

    def _encoder(self, name: str) -> dict[str, Any]:
        """One encoder, its error on held-out people and its verification accuracy."""
        coder: encoders.Coder | encoders.Eigenfaces
        if name == EIGENFACES:
            coder = encoders.Eigenfaces(self._training_faces.faces)
            size = {"parameters": coder.components.size + coder.mean.size, "multiply_adds": coder.components.size}
        else:
            coder = encoders.train(encoders.KINDS[name], self._training_faces, self._budget.faces)
            size = {"parameters": coder.encoder.count_params(), "multiply_adds": multiply_adds(coder.encoder)}
        rebuilt, shown = coder.rebuild(self._held_out_faces), coder.rebuild(self._bundled)
        if rebuilt is not None and shown is not None:
            np.save(self._out / f"faces-{slug(name)}.npy", _drawn(shown.reshape(len(shown), -1)))
            size["mse"] = float(np.mean(np.square(rebuilt - self._held_out_faces / np.float32(255))))
        scores = self._coded(coder.codes, self._training_faces.faces)
        return {"code": encoders.CODE, **size, **self._verified(slug(name), scores)}

    def _loss(self, count: int) -> dict[str, Any]:
        """A small network of our kind, trained by the first ``count`` parts of the loss."""
        budget, run = self._budget, self._out / f"loss-{count}"
        weights: dict[str, Any] = {"relational": RELATIONAL} | dict.fromkeys(PARTS[count:], 0.0)
        config = TrainConfig(faces=budget.fit_faces, batch=budget.fit_batch, **weights)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            fit(self._folders, run, config, sizes=asdict(SHAPE))
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        last = json.loads((run / "history.jsonl").read_text().splitlines()[-1])
        if last["step"] < config.steps:
            raise KeyboardInterrupt  # fit saved its state and returned
        vectors = _identities(load_weights(run / "weights.npz"), self._benchmark.chips)
        validation = {name.removeprefix("validation_"): value for name, value in last.items() if "validation" in name}
        return {
            "weights": {part: getattr(config, part) for part in PARTS[:count]},
            **validation,
            **self._verified(f"loss-{count}", self._benchmark.scores(vectors, vectors)),
        }

    def _shipped(self, embedder: Embedder) -> None:
        """A network of ours, as the device runs it; done again where it is another than the last time."""
        path = self._out / "shipped.json"
        if path.is_file() and json.loads(path.read_text())["digest"] != embedder.card.digest:
            path.unlink()

        def measured() -> dict[str, Any]:
            np.save(self._out / "faces-shipped.npy", np.stack([embedder.rebuild(chip) for chip in demo_chips()]))
            templates, probes = (
                np.stack([embed(chip).vector for chip in self._benchmark.chips])
                for embed in (embedder.template, embedder.embed)
            )
            return {
                "digest": embedder.card.digest,
                "name": embedder.card.name,
                "code": embedder.card.identity,
                **{name: embedder.card.cost.get(name) for name in ("parameters", "multiply_adds")},
                **self._verified("shipped", self._benchmark.scores(templates, probes)),
            }

        self._keep("shipped", measured)

    def _verification(self) -> dict[str, Any]:
        """Every encoder's difference in accuracy from the dense autoencoder's on the same pairs."""
        rows = ["article", *(slug(name) for name in ENCODERS), "shipped"]
        scores = {name: np.load(self._out / f"scores-{name}.npy") for name in rows}
        return {name: self._benchmark.difference(scores[name], scores["dense"]) for name in rows}

    def _keep(self, name: str, work: Callable[[], dict[str, Any]]) -> None:
        if not (self._out / f"{name}.json").is_file():
            began = time.monotonic()
            figures = work()
            self._write(name, figures)
            told = ("test_mse", "mse", "bic", "gain", "accuracy", "tar")
            text = "  ".join(f"{key} {np.mean(figures[key]):.5g}" for key in told if key in figures)
            print(f"{name}: {text}  ({time.monotonic() - began:.0f} s)", flush=True)

    def _write(self, name: str, figures: dict[str, Any]) -> None:
        write_json(figures, self._out / f"{name}.json")

    def _verified(self, name: str, scores: Scores) -> dict[str, float]:
        np.save(self._out / f"scores-{name}.npy", scores)
        return self._benchmark.judge(scores)

    def _coded(self, codes: Callable[[Any], NDArray[np.float32]], training: NDArray[Any]) -> Scores:
        """Scores of the pairs by the cosine of their codes, from which the mean of (5,000) training faces' codes is taken.

        Faces come as the training faces are: rows of 0..1, or pictures of 0..255.
        """
        faces = self._trial_faces if training.ndim == 4 else dense_baseline.flat(self._trial_faces)
        vectors = codes(faces) - codes(training[:5000]).mean(axis=0)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return self._benchmark.scores(vectors, vectors)

    @cached_property
    def _trial_faces(self) -> NDArray[np.uint8]:
        return shrink(self._benchmark.chips)

    @cached_property
    def _bundled(self) -> NDArray[np.uint8]:
        return shrink(demo_chips())

    @cached_property
    def _held_out_faces(self) -> NDArray[np.uint8]:
        return _faces(self._held_out)[0]

    @cached_property
    def _training_faces(self) -> encoders.Training:
        faces, teacher = _faces(self._training)
        return encoders.Training(faces, self._training.labels(), teacher)


def slug(name: str) -> str:
    """A name as part of a file's."""
    return name.replace(" ", "-")


def shrink(chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Chips as the small networks see them, (n, 48, 48, 1)."""
    small = [cv2.cvtColor(cv2.resize(chip, (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY) for chip in chips]
    return np.asarray(np.stack(small)[..., None], np.uint8)


def _faces(data: Chips) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Small grey faces of prepared chips, and the teacher's unit embeddings."""
    faces, embeddings = [], []
    for at in range(0, len(data), 1024):
        rows = np.arange(at, min(at + 1024, len(data)))
        faces.append(shrink(data.chips(rows)))
        embeddings.append(teacher_embeddings(data.contributions(rows)))
    return np.concatenate(faces), np.concatenate(embeddings)


def _drawn(faces: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Rows of 0..1, (..., 2304), as pictures of 0..255, (..., 48, 48)."""
    pixels = np.clip(np.rint(faces * 255.0), 0, 255).reshape(*faces.shape[:-1], SIDE, SIDE)
    return np.asarray(pixels, np.uint8)


def _identities(weights: dict[str, NDArray[Any]], chips: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unit identity codes by a network of ``SHAPE``."""
    encoder = build_encoder(SHAPE)
    set_weights(encoder, half_of(weights, "encoder"))
    codes = identity_codes(encoder, chips)
    return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)


def _milliseconds(model: Any, timings: int) -> float:
    """Median time of one face through the model as float TFLite."""
    with redirect_stdout(io.StringIO()):  # Keras tells where it saves the model in between
        network, _ = interpreter(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    (given,) = network.get_input_details()
    network.set_tensor(given["index"], np.random.default_rng(0).uniform(0, 255, given["shape"]).astype(np.float32))
    timed, _ = time_calls({model.name: network.invoke}, timings)
    return timed[model.name].p50 / 1e3


def _bind(out: Path, settings: dict[str, Any]) -> None:
    """Note in ``out``/sweep.json what the sweep is made of.

    Raises:
        DataError: it holds a sweep of something else.
    """
    path = out / "sweep.json"
    if path.is_file():
        before = json.loads(path.read_text())
        changed = [name for name, value in json.loads(json.dumps(settings)).items() if before.get(name) != value]
        if changed:
            raise DataError(f"{out}: was begun with another {', '.join(changed)}; give another --out")
        return
    out.mkdir(parents=True, exist_ok=True)
    write_json(settings, path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
