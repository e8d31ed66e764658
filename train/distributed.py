"""Share one training run among several machines, by `tf.distribute.MultiWorkerMirroredStrategy`."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from edgeface.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Workers:
    """The strategy, and which of how many workers this process is; a lone process is worker 0 of 1."""

    strategy: tf.distribute.Strategy
    index: int = 0
    count: int = 1

    def total(self, value: tf.Variable) -> int:
        """The sum of the workers' own values of a variable."""
        return int(self.strategy.reduce("SUM", self.strategy.run(lambda: tf.cast(value, tf.float64)), axis=None))

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's files."""
        return self.index == 0

    def own(self, out: Path) -> Path:
        """Where this worker writes: saving is a collective act, but only the chief's files are kept in ``out``."""
        return out if self.is_chief else out / f"worker-{self.index}"


def join() -> Workers:
    """The workers that the environment variable TF_CONFIG names, or this process alone without it.

    To be called before TensorFlow computes anything. Each worker takes one device.

    Raises:
        ConfigError: TF_CONFIG is no cluster of workers, or a worker has several devices.
    """
    config = os.environ.get("TF_CONFIG")
    if not config:
        return Workers(tf.distribute.get_strategy())
    try:
        read = json.loads(config)
        count, index = len(read["cluster"]["worker"]), int(read["task"]["index"])
        if read["task"]["type"] != "worker" or not 0 <= index < count:
            raise ValueError("the task must be one of the workers")
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"TF_CONFIG: not a cluster of workers: {error}") from None
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    if strategy.num_replicas_in_sync != count:
        raise ConfigError("a worker takes one device: hide the others from it with CUDA_VISIBLE_DEVICES")
    return Workers(strategy, index, count)
