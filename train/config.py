"""Set what a training run does: its length, its rate, and the weights of the loss."""

import math
from dataclasses import dataclass

FEATURES = 0.2
"""Weight of SFace's features where the decoder is trained alone."""

LONGEST_WARM_UP = 400
"""Steps; a long run needs no more."""


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run, which are kept as recipe.json beside its checkpoints and in the model card.

    ``position_wise`` to ``features`` are the weights of the parts of the loss, which ``losses`` defines. ``rebuilt_share``
    is the share of a batch that the decoder rebuilds; of a frozen encoder's faces it rebuilds all, and SFace looks at this
    share of them.
    """

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
    perceptual: float = 0.1
    features: float = 0.0
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
