"""Train the autoencoder on prepared chips: one loop, resumable at every moment."""

import hashlib
import json
import math
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import matplotlib
import tensorflow as tf
from tqdm import tqdm

from edgeface.errors import DataError, ModelError
from edgeface.platform.files import write_whole
from train import lda, losses
from train.checkpoints import history, load_weights, save_weights
from train.config import TrainConfig
from train.data import Chips, batches, load, target_both
from train.distributed import Workers, join
from train.grow import shape_of
from train.model import Shape, Weights
from train.trainer import Autoencoder, Batch, validate

matplotlib.use("Agg")
MIN_SHARE = 8
"""Faces of a batch that a worker must have: the relational loss compares them, and a quarter of them is rebuilt."""

STOP = 1000.0
"""A worker's wish to stop, in a sum in which a wish to save is 1."""


def fit(
    folders: Sequence[Path],
    out: Path,
    config: TrainConfig,
    *,
    start: Path | None = None,
    sizes: Mapping[str, Any] | None = None,
    minutes_between: float = 6.0,
) -> dict[str, Any]:
    """Train to the end of ``config``, or until SIGINT or SIGTERM; run again with the same ``out`` to go on.

    Writes into ``out``: checkpoints/, tensorboard/, history.jsonl, curves.png, recipe.json, and weights.npz, the averaged
    weights in half precision. Returns the last line of the history.

    The network has the shape of ``start``, else the usual one, but for ``sizes``.

    Raises:
        DataError: the folders hold no finished preparation, or fewer chips than a batch.
        ModelError: ``start`` is of a network that this one cannot grow from, or ``out`` holds another run.
    """
    workers = join()
    if config.batch % workers.count or config.batch // workers.count < MIN_SHARE:
        raise DataError(f"a batch of {config.batch} cannot be shared among {workers.count} workers; change --batch")
    keras.mixed_precision.set_global_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    shape = replace(_shape_of(start) if start else Shape(), **(sizes or {}))
    training, held_out = target_both(*load(folders).split(), shape.identity)
    if min(len(training), config.faces) < config.batch:
        raise DataError(
            f"{len(training)} chips to train on, {config.faces} faces to present and {config.batch} a batch: "
            "prepare more, or lower --batch"
        )
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    with workers.strategy.scope():
        run = _Run(out, Autoencoder(shape, config, training), workers)
        run.begin(start, {"shape": asdict(shape), "data": manifests})
        return run.train(training, held_out, minutes_between)


def _shape_of(start: Path) -> Shape:
    try:
        return shape_of(load_weights(start))
    except KeyError as error:
        raise ModelError(f"{start}: the weights are of another network: {error} is missing") from None


class _Run:
    """A network in training: its folder, its step, and the workers that train it."""

    def __init__(self, out: Path, model: Autoencoder, workers: Workers) -> None:
        self.out, self.model, self.config, self.workers = out, model, model.config, workers
        self.step = tf.Variable(0, dtype=tf.int64, name="step")
        self.kept: Weights = {}
        checkpoint = tf.train.Checkpoint(model=model, step=self.step)
        self.manager = tf.train.CheckpointManager(checkpoint, str(workers.own(out) / "checkpoints"), max_to_keep=2)

    @property
    def at(self) -> int:
        """The number of steps that are done."""
        return int(self.step.numpy())

    def begin(self, start: Path | None, made_of: dict[str, Any]) -> None:
        """Go on from the latest checkpoint, or else begin with the weights of ``start``; write recipe.json.

        Raises:
            ModelError: ``start`` is of a network that this one cannot grow from, or ``out`` holds another run.
        """
        out, begun = self.out, {}
        latest = tf.train.latest_checkpoint(str(out / "checkpoints"))
        if latest:
            begun = _check_resumable(out, self.config, made_of["shape"], start)
            self._restore(latest)
        elif start:
            self.model.load(load_weights(start))
            begun = {"from": digest(start)}
        if self.workers.total(self.step) != self.workers.count * self.at:
            raise ModelError(f"{out}: the workers do not see the same run; they must share the folder")
        source = out / "weights.npz" if latest else start
        known = load_weights(source) if source else {}
        identity = made_of["shape"]["identity"]
        self.kept = {name: value for name, value in known.items() if name == lda.NAME and len(value) == identity}
        out.mkdir(parents=True, exist_ok=True)
        if self.workers.is_chief:
            recipe = {**begun, **asdict(self.config), **made_of}
            write_whole(out / "recipe.json", (json.dumps(recipe, indent=2) + "\n").encode())

    def _restore(self, latest: str) -> None:
        try:
            self.manager.checkpoint.restore(latest).assert_existing_objects_matched()
        except (ValueError, AssertionError):
            raise ModelError(f"{self.out}: was begun with other people; go on with those, or give another --out") from None
        if self.config.steps < self.at:
            raise ModelError(
                f"{self.out}: is at step {self.at} already, and would end at {self.config.steps}; give more --faces"
            )

    def train(self, training: Chips, held_out: Chips, minutes_between: float) -> dict[str, Any]:
        """Train to the end, saving every ``minutes_between`` minutes; returns the last line of the history."""
        config, workers, stop = self.config, self.workers, stop_flag()
        if workers.is_chief:
            print(
                f"{len(training)} chips to train on, {len(held_out)} to validate, steps {self.at} to {config.steps}", flush=True
            )
        line: dict[str, Any] = next(reversed(history(self.out)), {})
        sums: dict[str, Any] = {}
        began, since = time.monotonic(), self.at
        quiet = None if workers.is_chief else True
        bar = tqdm(total=config.steps, initial=since, unit="step", smoothing=0.05, disable=quiet)
        for batch in batches(training, config.batch, since, config.seed, (workers.index, workers.count)):
            if self.at >= config.steps:
                break
            due = time.monotonic() - began > 60 * minutes_between
            # Saving takes all workers, so all must agree on when.
            parts, wishes = self._update(batch, STOP * stop[0] + due)
            for name, part in parts.items():
                sums[name] = sums.get(name, 0.0) + part
            bar.update()
            ended = wishes >= STOP or self.at >= config.steps
            if ended or wishes > 0:
                line = self._line(sums, self.at - since, time.monotonic() - began)
                self._save(line, held_out)
                if ended:
                    break
                began, since, sums = time.monotonic(), self.at, {}
        bar.close()
        if workers.is_chief:
            plot_curves(self.out)
        return line

    def _update(self, batch: Batch, wish: float) -> tuple[dict[str, tf.Tensor], float]:
        """Do one step; the parts of the loss, and the sum of the workers' wishes."""
        self.model.optimizer.learning_rate.assign(self.config.rate(self.at))
        # A short memory at first, so that the average forgets the random start.
        momentum = min(self.config.ema, (1 + self.at) / (10 + self.at))
        parts, wishes = self.model.step(batch, tf.constant(momentum, tf.float32), tf.constant(wish, tf.float32))
        self.step.assign_add(1)
        return parts, float(wishes)

    def _line(self, sums: dict[str, Any], steps: int, seconds: float) -> dict[str, Any]:
        """The history's line for the last steps.

        Raises:
            ModelError: a part of the loss is not a number any more.
        """
        batch = self.config.batch
        line = {"step": self.at, "faces": self.at * batch, "rate": self.config.rate(self.at - 1)}
        line |= {name: float(total) / steps for name, total in sums.items()}
        if not all(map(math.isfinite, line.values())):
            raise ModelError(f"{self.out}: the loss is no number any more; start anew with a lower --rate")
        return line | {"faces_per_second": steps * batch / seconds}

    def _save(self, line: dict[str, Any], held_out: Chips) -> None:
        """Validate, add the figures to the line, and write history, weights and checkpoint."""
        line |= {f"validation_{name}": value for name, value in validate(self.model, held_out).items()} if len(held_out) else {}
        if self.workers.is_chief:
            record(self.out, line)
            save_weights(self.model.weights() | self.kept, self.out / "weights.npz")
        self.manager.save()


def _check_resumable(out: Path, config: TrainConfig, shape: dict[str, Any], start: Path | None) -> dict[str, Any]:
    """Check that the run can go on; returns the weights from which it started, if any.

    Raises:
        ModelError: it cannot.
    """
    try:
        before = json.loads((out / "recipe.json").read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{out}/recipe.json: cannot be read, and the run cannot go on: {error}") from None
    now = json.loads(json.dumps({"batch": config.batch, "seed": config.seed, "part": config.part, "shape": shape}))
    for key, value in now.items():
        if before.get(key) != value:
            raise ModelError(
                f"{out}: was begun with {key} {before.get(key)}, not {value}; go on with that, or give another --out"
            )
    if start and before.get("from") != digest(start):
        raise ModelError(f"{out}: holds a run that did not start from {start}; give another --out")
    return {"from": before["from"]} if "from" in before else {}


def digest(path: Path) -> str:
    """The SHA-256 of a file, as recipes and cards name it."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def plot_curves(out: Path) -> None:
    """Draw ``out``/history.jsonl as ``out``/curves.png."""
    from matplotlib import pyplot

    lines = history(out)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4))
    clean = ("teacher_cosine", "tar_1e-2", "tar_1e-3")
    held_out = (*clean, *(f"augmented_{name}" for name in clean), "reconstruction_mse")
    for axes, names in (
        (left, (*losses.OF_ENCODER, *losses.OF_DECODER, "features")),
        (right, tuple(f"validation_{name}" for name in held_out)),
    ):
        for name in names:
            known = [line for line in lines if name in line]
            axes.plot([line["faces"] for line in known], [line[name] for line in known], label=name)
    left.set(title="loss on training batches", xlabel="faces presented", yscale="log")
    right.set(title="people never trained on", xlabel="faces presented")
    for axes in (left, right):
        axes.legend()
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(out / "curves.png", dpi=100)
    pyplot.close(figure)


def record(out: Path, line: dict[str, Any]) -> None:
    """Add a line to a run's history and to its TensorBoard figures, and print it."""
    path = out / "history.jsonl"
    cut = path.is_file() and not path.read_bytes().endswith(b"\n")
    with path.open("a") as history:
        history.write("\n" * cut + json.dumps(line) + "\n")
    with tf.summary.create_file_writer(str(out / "tensorboard")).as_default():
        for name, value in line.items():
            tf.summary.scalar(name, value, step=line["step"])
    print("  ".join(f"{name} {value:.4g}" for name, value in line.items()), flush=True)


def stop_flag() -> list[bool]:
    """Return a list that holds true once SIGINT or SIGTERM has asked the process to stop."""
    flag = [False]

    def ask(*_: object) -> None:
        flag[0] = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return flag
