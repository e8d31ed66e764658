"""Train the autoencoder on prepared chips: one loop, resumable at every moment."""

import hashlib
import io
import json
import math
import signal
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from edgeface.errors import DataError, ModelError
from edgeface.platform.files import write_whole
from train import discriminant, losses
from train.data import Chips, batches, learn_together, load, teacher_embeddings
from train.degrade import seen
from train.grow import grow, shape_of
from train.model import (
    SIZE,
    Shape,
    Weights,
    build_decoder,
    build_encoder,
    get_weights,
    half_of,
    identity_codes,
    set_weights,
)
from train.optimizer import ConvolutionMuon
from train.verification import compare, tar_at_far
from train.workers import Workers, join

matplotlib.use("Agg")
MIN_SHARE = 8
"""Faces of a batch that a worker must have: the relational loss compares them, and a quarter of them is rebuilt."""

STOP = 1000.0
"""A worker's wish to stop, in a sum in which a wish to save is 1."""
Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
"""What ``data.batches`` gives: chips, the same augmented, the teacher's contributions, labels."""

LONGEST_WARM_UP = 400
"""Steps; a long run needs no more."""

APPEARANCE = ("appearance_neck", "appearance")
"""Layers of the encoder that only the decoder needs."""

TARGET_SCALE = 12.5
"""Brings the teacher's contributions (root mean square 0.08) near 1: Adam's steps are too coarse for smaller weights."""


@dataclass(frozen=True)
class Recipe:
    """What a run is made of; kept beside its checkpoints and in the model card."""

    faces: int = 900_000
    batch: int = 128
    peak_rate: float = 2e-3
    weight_decay: float = 0.05
    warm_up: float = 0.03
    decay: float = 1.0
    ema: float = 0.999
    position_wise: float = 1.0
    cosine: float = 1.0
    relational: float = 0.0
    margin: float = 0.1
    reconstruction: float = 0.2
    likeness: float = 0.1
    rebuilt_share: float = 0.25
    part: str = "both"
    seed: int = 1
    precision: str = "float32"

    @property
    def steps(self) -> int:
        """Batches from start to end."""
        return self.faces // self.batch

    def rate(self, step: int) -> float:
        """A linear warm-up, the peak, and in the last share ``decay`` half a cosine down to a hundredth of the peak."""
        warm = max(1, min(int(self.warm_up * self.steps), LONGEST_WARM_UP))
        if step < warm:
            return self.peak_rate * (step + 1) / warm
        falling = max(1, int(self.decay * (self.steps - warm)))
        done = min(1.0, max(0.0, (step - self.steps + falling) / falling))
        return self.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


class Autoencoder(tf.Module):  # type: ignore[misc]
    """Encoder and decoder, trained, with the moving average of both that validation and export use."""

    def __init__(self, shape: Shape, recipe: Recipe, data: Chips) -> None:
        super().__init__()
        self.recipe = recipe
        self.centres = tf.Variable(teacher_centres(data), name="centres")
        self.encoder, self.decoder = build_encoder(shape), build_decoder(shape)
        self.mean_encoder, self.mean_decoder = build_encoder(shape), build_decoder(shape)
        decay = recipe.weight_decay
        self.optimizer = ConvolutionMuon(recipe.peak_rate, weight_decay=decay, adam_weight_decay=decay, global_clipnorm=5.0)
        appearance = [variable for name in APPEARANCE for variable in self.encoder.get_layer(name).trainable_variables]
        drawn = {variable.path for variable in appearance}
        identity = [variable for variable in self.encoder.trainable_variables if variable.path not in drawn]
        self.variables_to_train = [
            *([*identity, self.centres] if recipe.part != "decoder" else []),
            *([*appearance, *self.decoder.trainable_variables] if recipe.part != "encoder" else []),
        ]
        self.optimizer.build(self.variables_to_train)
        self.reset_means()

    def reset_means(self) -> None:
        """Let the moving averages start at the weights of now."""
        self.mean_encoder.set_weights(self.encoder.get_weights())
        self.mean_decoder.set_weights(self.decoder.get_weights())

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(self, batch: Batch, momentum: tf.Tensor, wish: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """One update on a batch; returns the parts of the loss and the sum of the workers' wishes, 0 where none has one."""
        strategy = tf.distribute.get_strategy()
        parts, wishes = strategy.run(self._replica_step, args=(batch, wish))
        for means, model in ((self.mean_encoder, self.encoder), (self.mean_decoder, self.decoder)):
            for mean, variable in zip(means.variables, model.variables, strict=True):
                mean.assign(momentum * mean + (1.0 - momentum) * variable)
        reduce = strategy.reduce
        return {name: reduce("MEAN", part, axis=None) for name, part in parts.items()}, reduce("SUM", wishes, axis=None)

    def _replica_step(self, batch: Batch, wish: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        recipe = self.recipe
        clean, worn, teacher, labels = batch
        teacher = TARGET_SCALE * tf.cast(teacher, tf.float32)
        wanted = tf.math.l2_normalize(tf.reduce_sum(teacher, axis=1), axis=-1)
        # Of a frozen encoder each face can be rebuilt for what a few cost beside training it.
        rebuilt_rows = worn.shape[0] if recipe.part == "decoder" else int(worn.shape[0] * recipe.rebuilt_share)
        with tf.GradientTape() as tape:
            identity, appearance = self.encoder(tf.cast(worn, tf.float32), training=recipe.part != "decoder")
            identity = tf.cast(identity, tf.float32)
            unit = tf.math.l2_normalize(tf.reduce_sum(identity, axis=1), axis=-1)
            parts: dict[str, tf.Tensor] = {}
            if recipe.part != "decoder":
                parts |= {
                    "position_wise": losses.position_wise(identity, teacher),
                    "cosine": losses.cosine(unit, wanted),
                    "relational": losses.relational(unit, wanted),
                    "margin": losses.margin(unit, labels, tf.convert_to_tensor(self.centres)),
                }
            if recipe.part != "encoder":
                codes = tf.concat([unit, tf.reduce_sum(tf.cast(appearance, tf.float32), axis=1)], axis=-1)
                rebuilt = tf.cast(self.decoder(codes[:rebuilt_rows], training=True), tf.float32)
                parts |= {
                    "reconstruction": losses.reconstruction(rebuilt, tf.cast(clean[:rebuilt_rows], tf.float32) / 255.0),
                    "likeness": losses.cosine(self._recognised(rebuilt), wanted[:rebuilt_rows]),
                }
            # The optimizer sums the workers' gradients.
            loss = tf.add_n([getattr(recipe, name) * part for name, part in parts.items()])
            loss /= tf.distribute.get_strategy().num_replicas_in_sync
        gradients = tape.gradient(loss, self.variables_to_train)
        self.optimizer.apply_gradients(zip(gradients, self.variables_to_train, strict=True))
        return parts, wish

    def _recognised(self, rebuilt: tf.Tensor) -> tf.Tensor:
        """Unit embeddings of rebuilt faces, (n, 56, 56, 3) of 0..1, by the averaged encoder, which this does not train."""
        chips = tf.image.resize(255.0 * rebuilt, [SIZE, SIZE])
        positions, _ = self.mean_encoder(chips, training=False)
        return tf.math.l2_normalize(tf.reduce_sum(tf.cast(positions, tf.float32), axis=1), axis=-1)

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Unit identity codes, (n, identity), by the averaged encoder."""
        codes = identity_codes(self.mean_encoder, chips)
        return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)

    def weights(self) -> Weights:
        """The averaged weights of both halves, by ``encoder/`` and ``decoder/`` names."""
        return by_half(self.mean_encoder, self.mean_decoder)

    def load(self, weights: Weights) -> None:
        """Start from these weights, of the same network or of a narrower or shallower one.

        Raises:
            ModelError: they belong to a network that this one cannot grow from.
        """
        try:
            grown = grow(weights, by_half(self.encoder, self.decoder))
            for half, model in (("encoder", self.encoder), ("decoder", self.decoder)):
                set_weights(model, half_of(grown, half))
        except (KeyError, ValueError) as error:
            raise ModelError(f"the weights are of another network: {error}") from None
        self.reset_means()


def by_half(encoder: keras.Model, decoder: keras.Model) -> Weights:
    """The weights of both, by ``encoder/`` and ``decoder/`` names."""
    halves = {"encoder": encoder, "decoder": decoder}
    return {f"{half}/{name}": value for half, model in halves.items() for name, value in get_weights(model).items()}


def teacher_centres(data: Chips) -> NDArray[np.float32]:
    """Each labelled person's mean of the teacher's embeddings, shape (people, identity): where the margin loss starts from."""
    labels = data.labels()
    centres = np.zeros((max(2, int(labels.max(initial=0)) + 1), data.identity), np.float32)
    for at in range(0, len(data), 4096):
        rows = np.arange(at, min(at + 4096, len(data)))
        embeddings = teacher_embeddings(data.targets(rows))
        known = labels[rows] >= 0
        np.add.at(centres, labels[rows][known], embeddings[known])
    return centres


def validate(model: Autoencoder, data: Chips) -> dict[str, float]:
    """Figures on people the network never saw: cosine with the teacher, and TAR over all pairs of them.

    Those called ``worn`` are of probes as a camera may see them, always the same ones, compared with clean templates.
    """
    rows = np.arange(len(data))
    luck = np.random.default_rng(0)
    student = model.embed(data.chips(rows))
    worn = model.embed(np.stack([seen(crop, luck) for crop in data.crops(rows)]))
    teacher = teacher_embeddings(data.targets(rows))
    figures = {}
    for name, probes in (("", student), ("worn_", worn)):
        figures[f"{name}teacher_cosine"] = float(np.mean(np.sum(probes * teacher, axis=1)))
        matched, unmatched = compare(student, probes, data.people)
        if len(matched) and len(unmatched):
            figures |= {
                f"{name}tar_{far:.0e}".replace("e-0", "e-"): tar_at_far(matched, unmatched, far) for far in (1e-2, 1e-3)
            }
    return figures


def save_weights(weights: Weights, path: Path) -> None:
    """Write weights in half precision, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value.astype(np.float16) for name, value in weights.items()})
    write_whole(path, buffer.getvalue())


def load_weights(path: Path) -> Weights:
    """Read what ``save_weights`` wrote, as float32.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].astype(np.float32) for name in file.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: no weights can be read from it: {error}") from None


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
    kept = {name: value for name, value in known.items() if name == discriminant.NAME and len(value) == identity}
    out.mkdir(parents=True, exist_ok=True)
    if workers.is_chief:
        write_whole(out / "recipe.json", (json.dumps({**begun, **asdict(recipe), **made_of}, indent=2) + "\n").encode())
        print(
            f"{len(training)} chips to train on, {len(held_out)} to validate, steps {int(step.numpy())} to {recipe.steps}",
            flush=True,
        )
    stop = _stop_flag()
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


def history(out: Path) -> list[dict[str, Any]]:
    """What was noted of a run; a last line that a power cut has left in part counts for nothing."""
    path, lines = out / "history.jsonl", []
    for line in path.read_text().splitlines() if path.is_file() else []:
        with suppress(ValueError):
            lines.append(json.loads(line))
    return lines


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
