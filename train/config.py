"""Set what a training run does: its length, its rate, and the weights of the loss."""

import math
from dataclasses import dataclass
from enum import StrEnum

INTERRUPTED = 130
"""Exit code of what Ctrl-C ended."""

FEATURES = 0.2
"""Weight of SFace's features where the decoder is trained alone."""

LONGEST_WARM_UP = 400
"""Steps; a long run needs no more."""


class Precision(StrEnum):
    """The number format in which a network is trained."""

    FLOAT32 = "float32"
    MIXED_BFLOAT16 = "mixed_bfloat16"


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
        return self.peak_rate * cycle(step, self.steps, self.warm_up, self.decay)


def cycle(step: int, steps: int, warm_up: float, decay: float) -> float:
    """The learning rate at a step, in units of its peak."""
    warm = max(1, min(int(warm_up * steps), LONGEST_WARM_UP))
    if step < warm:
        return (step + 1) / warm
    falling = max(1, int(decay * (steps - warm)))
    done = min(1.0, max(0.0, (step - steps + falling) / falling))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
