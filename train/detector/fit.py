"""Train the detector on prepared pictures: one loop, resumable at every moment."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tqdm import tqdm

from edgeface.detectors.anchor_free import PATCH
from edgeface.errors import DataError, ModelError
from edgeface.platform.files import write_whole
from train.checkpoints import history, load_weights, save_weights
from train.detector.config import DetectorConfig
from train.detector.data import SIZES, batch, dataset
from train.detector.losses import Truth, cells_of, parts
from train.detector.model import OUTPUT, Shape, build
from train.detector.pictures import Labelled, Pictures
from train.detector.prepare import DEVELOPMENT, TRAINING
from train.fit import digest, record, stop_flag
from train.model import Weights, get_weights, set_weights
from train.optimizer import ConvolutionMuon

WATCHED = 64
"""Development photos on which the loss is watched."""


class Trainee(tf.Module):  # type: ignore[misc]
    """A detector's network in training, and the moving average of its weights, which export uses."""

    def __init__(self, shape: Shape, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.network, self.mean = build(shape), build(shape)
        decay = config.weight_decay
        self.optimizer = ConvolutionMuon(
            config.peak_rate, weight_decay=decay, adam_weight_decay=decay, global_clipnorm=5.0, exclude_layers=[OUTPUT]
        )
        self.optimizer.build(self.network.trainable_variables)
        self.mean.set_weights(self.network.get_weights())

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(self, images: tf.Tensor, truth: Truth, momentum: tf.Tensor) -> dict[str, tf.Tensor]:
        """One update on a batch; returns the parts of the loss."""
        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            losses = self._losses(self.network, images, truth, training=True)
            loss = tf.add_n([getattr(self.config, name) * part for name, part in losses.items()])
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        for mean, variable in zip(self.mean.variables, self.network.variables, strict=True):
            mean.assign(momentum * mean + (1.0 - momentum) * variable)
        return losses

    def watch(self, images: tf.Tensor, truth: Truth) -> dict[str, float]:
        """The parts of the loss of the averaged network, on pictures from which it does not learn."""
        return {name: float(part) for name, part in self._losses(self.mean, images, truth, training=False).items()}

    def _losses(self, network: keras.Model, images: tf.Tensor, truth: Truth, *, training: bool) -> dict[str, tf.Tensor]:
        grids = network(tf.cast(images, network.compute_dtype), training=training)
        _, height, pieces, _ = tf.unstack(tf.shape(images))
        return parts(grids, truth, cells_of(height, PATCH * pieces))


def fit(
    prepared: Path,
    out: Path,
    config: DetectorConfig,
    *,
    shape: Shape | None = None,
    start: Path | None = None,
    minutes_between: float = 6.0,
) -> dict[str, Any]:
    """Train to the end of ``config``, or until SIGINT or SIGTERM; run again with the same ``out`` to go on.

    Writes into ``out``: checkpoints/, tensorboard/, history.jsonl, recipe.json, and weights.npz, the averaged weights in half
    precision. ``start`` is the
    weights.npz of another run of the same shape. Returns the last line of the history.

    Raises:
        DataError: the folder holds no finished preparation, or the run no steps.
        ModelError: ``out`` holds another run, or ``start`` another network.
    """
    keras.mixed_precision.set_global_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    try:
        manifest = json.loads((prepared / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{prepared}/manifest.json: cannot be read: {error}; run python -m train detector prepare first"
        ) from None
    if config.steps < 1:
        raise DataError(f"{config.pictures} pictures are fewer than a batch of {config.batch}")
    shape = shape or Shape()
    run = _Run(out, Trainee(shape, config))
    run.begin(start, {**asdict(config), "shape": asdict(shape), "data": manifest})
    photos = [picture for picture in Pictures(prepared / DEVELOPMENT) if len(picture.boxes)][:WATCHED]
    return run.train(Pictures(prepared / TRAINING), photos, minutes_between)


class _Run:
    """A network in training, its folder and its step."""

    def __init__(self, out: Path, model: Trainee) -> None:
        self.out, self.model, self.config = out, model, model.config
        self.step = tf.Variable(0, dtype=tf.int64, name="step")
        checkpoint = tf.train.Checkpoint(model=model, step=self.step)
        self.manager = tf.train.CheckpointManager(checkpoint, str(out / "checkpoints"), max_to_keep=2)

    @property
    def at(self) -> int:
        """The number of steps that are done."""
        return int(self.step.numpy())

    def begin(self, start: Path | None, recipe: dict[str, Any]) -> None:
        """Go on from the latest checkpoint, or else begin with the weights of ``start``; write recipe.json."""
        begun = {"from": digest(start)} if start else {}
        if latest := tf.train.latest_checkpoint(str(self.out / "checkpoints")):
            self._check_resumable(json.loads(json.dumps(begun | recipe)), begun)
            self.manager.checkpoint.restore(latest).assert_existing_objects_matched()
            if self.config.steps < self.at:
                raise ModelError(f"{self.out}: is at step {self.at} already, and would end at {self.config.steps}")
        elif start:
            self._load(load_weights(start), start)
        self.out.mkdir(parents=True, exist_ok=True)
        write_whole(self.out / "recipe.json", (json.dumps(begun | recipe, indent=2) + "\n").encode())

    def _load(self, weights: Weights, start: Path) -> None:
        try:
            for network in (self.model.network, self.model.mean):
                set_weights(network, weights)
        except (KeyError, ValueError) as error:
            raise ModelError(f"{start}: the weights are of another network: {error}") from None

    def _check_resumable(self, recipe: dict[str, Any], begun: dict[str, Any]) -> None:
        try:
            before = json.loads((self.out / "recipe.json").read_text())
        except (OSError, ValueError) as error:
            raise ModelError(f"{self.out}/recipe.json: cannot be read, and the run cannot go on: {error}") from None
        for key in ("batch", "seed", "shape", *begun):
            if before.get(key) != recipe[key]:
                raise ModelError(
                    f"{self.out}: was begun with {key} {before.get(key)}, not {recipe[key]}; "
                    "go on with that, or give another --out"
                )

    def train(self, pictures: Pictures, photos: Sequence[Labelled], minutes_between: float) -> dict[str, Any]:
        """Train to the end, saving every ``minutes_between`` minutes; returns the last line of the history."""
        config, stop = self.config, stop_flag()
        print(f"{len(pictures)} pictures to train on, steps {self.at} to {config.steps}", flush=True)
        line: dict[str, Any] = next(reversed(history(self.out)), {})
        sums: dict[str, Any] = {}
        began, since = time.monotonic(), self.at
        bar = tqdm(total=config.steps, initial=since, unit="step", smoothing=0.05, disable=None)
        for images, truth in dataset(pictures, config.batch, since, config.seed) if since < config.steps else ():
            for name, part in self._update(images, truth).items():
                sums[name] = sums.get(name, 0.0) + part
            bar.update()
            ended = stop[0] or self.at >= config.steps
            if ended or time.monotonic() - began > 60 * minutes_between:
                line = self._line(sums, self.at - since, time.monotonic() - began)
                self._save(line, photos)
                if ended:
                    break
                began, since, sums = time.monotonic(), self.at, {}
        bar.close()
        return line

    def _update(self, images: tf.Tensor, truth: Truth) -> dict[str, tf.Tensor]:
        self.model.optimizer.learning_rate.assign(self.config.rate(self.at))
        # A short memory at first, so that the average forgets the random start.
        momentum = min(self.config.ema, (1 + self.at) / (10 + self.at))
        losses: dict[str, tf.Tensor] = self.model.step(images, truth, tf.constant(momentum, tf.float32))
        self.step.assign_add(1)
        return losses

    def _line(self, sums: dict[str, Any], steps: int, seconds: float) -> dict[str, Any]:
        config = self.config
        line = {"step": self.at, "pictures": self.at * config.batch, "rate": config.rate(self.at - 1)}
        line |= {name: float(total) / steps for name, total in sums.items()}
        if not all(map(math.isfinite, line.values())):
            raise ModelError(f"{self.out}: the loss is no number any more; start anew with a lower --rate")
        return line | {"pictures_per_second": steps * config.batch / seconds}

    def _save(self, line: dict[str, Any], photos: Sequence[Labelled]) -> None:
        """Add the development photos' loss to the line, and write history, weights and checkpoint."""
        watched: dict[str, float] = {}
        for at in range(0, len(photos), 8):
            images, truth = batch(list(photos[at : at + 8]), SIZES[-1], None)
            for name, value in self.model.watch(tf.constant(images), Truth(*map(tf.constant, truth))).items():
                watched[name] = watched.get(name, 0.0) + value * len(images) / len(photos)
        line |= {f"development_{name}": value for name, value in watched.items()}
        record(self.out, line)
        save_weights(get_weights(self.model.mean), self.out / "weights.npz")
        self.manager.save()
