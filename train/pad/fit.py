"""Train the liveness network on prepared views; a run that was interrupted goes on at its last epoch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from edgeface.errors import DataError, ModelError
from edgeface.platform.files import write_whole
from train.checkpoints import save_weights
from train.model import get_weights
from train.optimizer import ConvolutionMuon
from train.pad.data import Batches, load_manifest, load_views
from train.pad.model import LOGITS, TAUGHT, build


@dataclass(frozen=True)
class PadConfig:
    """The settings of a run, which are kept as recipe.json beside its checkpoint and in the network's card.

    ``simulated`` is the share of simulated attacks in what is presented, and ``taught`` the weight of the teachers' features.
    """

    views: int = 600_000
    batch: int = 128
    steps_an_epoch: int = 250
    peak_rate: float = 2e-3
    weight_decay: float = 0.05
    simulated: float = 0.26
    taught: float = 0.3
    seed: int = 1

    @property
    def epochs(self) -> int:
        """Epochs from start to end; the rate falls over all of them."""
        return self.views // (self.batch * self.steps_an_epoch)


def fit(prepared: Path, out: Path, config: PadConfig) -> dict[str, Any]:
    """Train to the end of ``config`` and write weights.npz and recipe.json into ``out``; return the last epoch's figures.

    Raises:
        DataError: nothing is prepared, or the run is shorter than an epoch.
        ModelError: ``out`` holds another run.
    """
    if config.epochs < 1:
        raise DataError(f"{config.views} views are fewer than an epoch of {config.batch * config.steps_an_epoch}")
    recipe = json.loads(json.dumps({**asdict(config), "data": load_manifest(prepared)}))
    _begin(out, recipe)
    keras.utils.set_random_seed(config.seed)
    network = build()
    steps = config.epochs * config.steps_an_epoch
    rate = keras.optimizers.schedules.CosineDecay(
        1e-5, steps, alpha=0.01, warmup_target=config.peak_rate, warmup_steps=steps // 30
    )
    optimizer = ConvolutionMuon(
        rate,
        weight_decay=config.weight_decay,
        adam_weight_decay=config.weight_decay,
        global_clipnorm=5.0,
        use_ema=True,
        ema_momentum=0.998,
    )
    losses = {
        LOGITS: keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.05),
        TAUGHT: keras.losses.Huber(),
    }
    network.compile(optimizer, losses, loss_weights={LOGITS: 1.0, TAUGHT: config.taught}, metrics={LOGITS: "accuracy"})
    history = network.fit(
        Batches(load_views(prepared), config.batch, config.steps_an_epoch, config.simulated, config.seed),
        epochs=config.epochs,
        verbose=2,
        callbacks=[
            keras.callbacks.BackupAndRestore(str(out / "backup"), delete_checkpoint=False),
            keras.callbacks.CSVLogger(str(out / "history.csv"), append=True),
        ],
    )
    save_weights(get_weights(network), out / "weights.npz")
    return {name: values[-1] for name, values in history.history.items()}


def _begin(out: Path, recipe: Mapping[str, Any]) -> None:
    """Write the recipe, or see that the run that is there has the same.

    Raises:
        ModelError: it has another.
    """
    path = out / "recipe.json"
    if path.is_file():
        try:
            before = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: cannot be read, and the run cannot go on: {error}") from None
        for key, value in recipe.items():
            if before.get(key) != value:
                raise ModelError(f"{out}: was begun with another {key}; go on with that, or give another --out")
        return
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(recipe, indent=2) + "\n").encode())
