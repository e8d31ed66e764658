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
from train import lda
from train.checkpoints import history, load_weights, save_weights
from train.config import Recipe
from train.data import Chips, batches, learn_together, load
from train.distributed import Workers, join
from train.grow import shape_of
from train.model import Shape
from train.trainer import Autoencoder, validate

matplotlib.use("Agg")
MIN_SHARE = 8
"""Faces of a batch that a worker must have: the relational loss compares them, and a quarter of them is rebuilt."""

STOP = 1000.0
"""A worker's wish to stop, in a sum in which a wish to save is 1."""


def fit(
    folders: Sequence[Path],
    out: Path,
    recipe: Recipe,
    *,
    start: Path | None = None,
    minutes_between: float = 6.0,
    shape: Shape | None = None,
    sizes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train to the recipe's end, or until SIGINT or SIGTERM; run again with the same ``out`` to go on.

    Writes into ``out``: checkpoints/, tensorboard/, history.jsonl, curves.png, recipe.json, and weights.npz, the averaged
    weights in half precision. Returns the last line of the history.

    The network has the given ``shape``, else that of ``start``, else the usual one, but for ``sizes``.

    Raises:
        DataError: the folders hold no finished preparation, or fewer chips than a batch.
        ModelError: ``start`` is of a network that this one cannot grow from, or ``out`` holds another run.
    """
    workers = join()
    if recipe.batch % workers.count or recipe.batch // workers.count < MIN_SHARE:
        raise DataError(f"a batch of {recipe.batch} cannot be shared among {workers.count} workers; change --batch")
    keras.mixed_precision.set_global_policy(recipe.precision)
    keras.utils.set_random_seed(recipe.seed)
    shape = shape or (shape_of(load_weights(start)) if start else Shape())
    shape = replace(shape, **(sizes or {}))
    training, held_out = learn_together(*load(folders).split(), shape.identity)
    if min(len(training), recipe.faces) < recipe.batch:
        raise DataError(
            f"{len(training)} chips to train on, {recipe.faces} faces to present and {recipe.batch} a batch: "
            "prepare more, or lower --batch"
        )
    made_of = {"shape": asdict(shape), "data": [json.loads((folder / "manifest.json").read_text()) for folder in folders]}
    with workers.strategy.scope():
        return _fit(workers, training, held_out, out, Autoencoder(shape, recipe, training), made_of, start, minutes_between)


def _fit(
    workers: Workers,
    training: Chips,
    held_out: Chips,
    out: Path,
    model: Autoencoder,
    made_of: dict[str, Any],
    start: Path | None,
    minutes_between: float,
) -> dict[str, Any]:
    recipe = model.recipe
    step = tf.Variable(0, dtype=tf.int64, name="step")
    checkpoint = tf.train.Checkpoint(model=model, step=step)
    manager = tf.train.CheckpointManager(checkpoint, str(workers.own(out) / "checkpoints"), max_to_keep=2)
    latest = tf.train.latest_checkpoint(str(out / "checkpoints"))
    begun: dict[str, Any] = {}
    if latest:
        begun = _check_resumable(out, recipe, made_of["shape"], start)
        try:
            checkpoint.restore(latest).assert_existing_objects_matched()
        except (ValueError, AssertionError):
            raise ModelError(f"{out}: was begun with other people; go on with those, or give another --out") from None
        if recipe.steps < int(step.numpy()):
            raise ModelError(
                f"{out}: is at step {int(step.numpy())} already, and would end at {recipe.steps}; give more --faces"
            )
    elif start:
        model.load(load_weights(start))
        begun = {"from": _digest(start)}
    if workers.total(step) != workers.count * int(step.numpy()):
        raise ModelError(f"{out}: the workers do not see the same run; they must share the folder")
    source = out / "weights.npz" if latest else start
    known = load_weights(source) if source else {}
    identity = made_of["shape"]["identity"]
    kept = {name: value for name, value in known.items() if name == lda.NAME and len(value) == identity}
    out.mkdir(parents=True, exist_ok=True)
    stop = _stop_flag()
    if workers.is_chief:
        write_whole(out / "recipe.json", (json.dumps({**begun, **asdict(recipe), **made_of}, indent=2) + "\n").encode())
        print(
            f"{len(training)} chips to train on, {len(held_out)} to validate, steps {int(step.numpy())} to {recipe.steps}",
            flush=True,
        )
    sums: dict[str, Any] = {}
    began, since = time.monotonic(), int(step.numpy())
    line: dict[str, Any] = next(reversed(history(out)), {})
    bar = tqdm(
        total=recipe.steps, initial=int(step.numpy()), unit="step", smoothing=0.05, disable=None if workers.is_chief else True
    )
    for batch in batches(training, recipe.batch, int(step.numpy()), recipe.seed, (workers.index, workers.count)):
        at = int(step.numpy())
        if at >= recipe.steps:
            break
        model.optimizer.learning_rate.assign(recipe.rate(at))
        # A short memory at first, so that the average forgets the random start.
        momentum = min(recipe.ema, (1 + at) / (10 + at))
        due = time.monotonic() - began > 60 * minutes_between
        # Saving takes all workers, so all must agree on when.
        parts, wishes = model.step(batch, tf.constant(momentum, tf.float32), tf.constant(STOP * stop[0] + due, tf.float32))
        for name, part in parts.items():
            sums[name] = sums.get(name, 0.0) + part
        step.assign_add(1)
        bar.update()
        ended = float(wishes) >= STOP or int(step.numpy()) >= recipe.steps
        if ended or float(wishes) > 0:
            count = int(step.numpy()) - since
            line = {"step": int(step.numpy()), "faces": int(step.numpy()) * recipe.batch, "rate": recipe.rate(at)}
            line |= {name: float(total) / count for name, total in sums.items()}
            if not all(map(math.isfinite, line.values())):
                raise ModelError(f"{out}: the loss is no number any more; start anew with a lower --rate")
            line["faces_per_second"] = count * recipe.batch / (time.monotonic() - began)
            line |= {f"validation_{name}": value for name, value in validate(model, held_out).items()} if len(held_out) else {}
            if workers.is_chief:
                _record(out, line)
                save_weights(model.weights() | kept, out / "weights.npz")
            manager.save()
            if ended:
                break
            began, since, sums = time.monotonic(), int(step.numpy()), {}
    bar.close()
    if workers.is_chief:
        plot_curves(out)
    return line


def _check_resumable(out: Path, recipe: Recipe, shape: dict[str, Any], start: Path | None) -> dict[str, Any]:
    """What is known of the run's start, if it can go on so."""
    try:
        before = json.loads((out / "recipe.json").read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{out}/recipe.json: cannot be read, and the run cannot go on: {error}") from None
    now = json.loads(json.dumps({"batch": recipe.batch, "seed": recipe.seed, "part": recipe.part, "shape": shape}))
    for key, value in now.items():
        if before.get(key) != value:
            raise ModelError(
                f"{out}: was begun with {key} {before.get(key)}, not {value}; go on with that, or give another --out"
            )
    if start and before.get("from") != _digest(start):
        raise ModelError(f"{out}: holds a run that did not start from {start}; give another --out")
    return {"from": before["from"]} if "from" in before else {}


def _digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def plot_curves(out: Path) -> None:
    """Draw ``out``/history.jsonl as ``out``/curves.png."""
    from matplotlib import pyplot

    lines = history(out)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4))
    for axes, names in (
        (left, ("position_wise", "cosine", "relational", "margin", "reconstruction", "likeness")),
        (
            right,
            tuple(f"validation_{worn}{name}" for worn in ("", "worn_") for name in ("teacher_cosine", "tar_1e-2", "tar_1e-3")),
        ),
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


def _record(out: Path, line: dict[str, Any]) -> None:
    path = out / "history.jsonl"
    cut = path.is_file() and not path.read_bytes().endswith(b"\n")
    with path.open("a") as history:
        history.write("\n" * cut + json.dumps(line) + "\n")
    with tf.summary.create_file_writer(str(out / "tensorboard")).as_default():
        for name, value in line.items():
            tf.summary.scalar(name, value, step=line["step"])
    print("  ".join(f"{name} {value:.4g}" for name, value in line.items()), flush=True)


def _stop_flag() -> list[bool]:
    """A list that holds true once the process was asked to stop."""
    flag = [False]

    def ask(*_: object) -> None:
        flag[0] = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return flag
