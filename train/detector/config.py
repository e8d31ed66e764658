"""Set what a training run of the detector does: its length, its rate, and the weights of the loss."""

from dataclasses import dataclass

from train.config import cycle


@dataclass(frozen=True)
class DetectorConfig:
    """The settings of a run, which are kept as recipe.json beside its checkpoints and in the detector's card.

    ``batch`` is the number of pictures of 320 x 256 in a step; of larger pictures there are fewer. ``score`` to ``quality`` are
    the weights of the parts of the loss.
    """

    pictures: int = 3_000_000
    batch: int = 32
    peak_rate: float = 3e-3
    weight_decay: float = 0.05
    warm_up: float = 0.03
    decay: float = 1.0
    ema: float = 0.999
    score: float = 1.0
    box: float = 2.0
    landmarks: float = 0.5
    quality: float = 0.2
    seed: int = 1
    precision: str = "mixed_bfloat16"

    @property
    def steps(self) -> int:
        """Batches from start to end."""
        return self.pictures // self.batch

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return self.peak_rate * cycle(step, self.steps, self.warm_up, self.decay)
