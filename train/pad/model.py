"""Build the network: both crops, stacked, through 3 x 3 convolutions to the logits of live, screen and print."""

from typing import Any

import keras
from keras import layers

from edgeface.vision.passive_liveness import CLASSES, CROPS, SIDE
from train.model import rectified
from train.pad.teachers import FEATURES, TEACHERS

STAGES = ((24, 1), (40, 2), (64, 2), (96, 2))
"""Channels at 48, 24, 12 and 6 pixels, and how many convolutions there are at each."""
LOGITS, TAUGHT = "logits", "taught"
"""The outputs: of the classes, and in training the teachers' features."""


def build(*, folded: bool = False) -> keras.Model:
    """Views, (n, 96, 96, 6) of 0..255 -> logits, (n, 3), and in training form the teachers' features too, (n, 256)."""
    inputs = keras.Input((SIDE, SIDE, 3 * len(CROPS)), batch_size=1 if folded else None, name="view")
    x: Any = inputs if folded else layers.Rescaling(1 / 255)(inputs)
    for stage, (width, depth) in enumerate(STAGES):
        x = rectified(x, width, 2, f"stage{stage}", folded=folded)
        for number in range(1, depth):
            x = rectified(x, width, 1, f"stage{stage}_{number}", folded=folded)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    if not folded:
        x = layers.Dropout(0.2, name="dropout")(x)
    logits = layers.Dense(len(CLASSES), name=LOGITS, dtype="float32")(x)
    if folded:
        return keras.Model(inputs, logits, name="liveness")
    taught = layers.Dense(len(TEACHERS) * FEATURES, name=TAUGHT, dtype="float32")(x)
    return keras.Model(inputs, {LOGITS: logits, TAUGHT: taught}, name="liveness")
