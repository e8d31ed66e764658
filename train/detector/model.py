"""Build the detector's network: convolutions on patches of 4 x 4 pixels, and heads of 16 numbers a cell on three grids."""

from dataclasses import dataclass
from typing import Any, cast

import keras
import tensorflow as tf
from keras import layers

from edgeface.detectors.anchor_free import NUMBERS, PATCH, STRIDES
from train.model import convolution, rectified

OUTPUT = "output"
"""How the names of the last layers begin."""

RARE = -1.0
"""Score of every cell before training: hardly any has a face."""


@dataclass(frozen=True)
class Shape:
    """Channels at strides 4, 8, 16 and 32, and how many more convolutions follow the one that reaches a stride.

    The defaults were chosen for speed (train/LOG.md): a convolution at stride 8 takes as long as four of them at stride 16.
    """

    widths: tuple[int, ...] = (32, 32, 48, 64)
    more: tuple[int, ...] = (0, 1, 2, 2)


@keras.saving.register_keras_serializable("edgeface")
class DepthToSpace(layers.Layer):  # type: ignore[misc]
    """Four channels to a square of 2 x 2 cells: one TFLite operation, whose size no constant fixes."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """(n, h, w, 4c) -> (n, 2h, 2w, c)."""
        return tf.nn.depth_to_space(x, 2)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of what ``call`` gives."""
        n, height, width, channels = shape
        return n, height and 2 * height, width and 2 * width, cast(int, channels) // 4


def build(shape: Shape, size: tuple[int | None, int | None] = (None, None), *, folded: bool = False) -> keras.Model:
    """Pixels 0..255 of ``size`` (width, height), each row cut in pieces of 4 pixels -> a grid of 16 numbers for each stride.

    For training (``folded=False``) it takes any number of pictures of any size. Folded, batch norms and scaling are in the
    convolutions, and it takes one picture. The weights are the same for every size.
    """
    width, height = size
    pieces = (height, width and width // PATCH, 3 * PATCH)
    inputs = keras.Input(pieces, batch_size=1 if folded else None, name="picture")
    x = inputs if folded else layers.Rescaling(1 / 255)(inputs)
    grids = []
    for stage, (channels, more) in enumerate(zip(shape.widths, shape.more, strict=True)):
        if stage == 0:
            x = convolution(x, channels, (PATCH, 1), "stage0", folded=folded, size=(PATCH, 1))
            x = layers.ReLU(name="stage0_relu")(x)
        else:
            x = rectified(x, channels, 2, f"stage{stage}", folded=folded)
        for number in range(more):
            x = rectified(x, channels, 1, f"stage{stage}_{number}", folded=folded)
        grids.append(x)
    return keras.Model(inputs, _heads(grids[1:], folded=folded), name="detector")


def _heads(grids: list[Any], *, folded: bool) -> list[Any]:
    """The outputs of all strides, finest first; each stride sees what the coarser ones have made of the picture."""
    outputs: list[Any] = []
    coarser = None
    for stride, grid in zip(reversed(STRIDES), reversed(grids), strict=True):
        channels, x = grid.shape[-1], grid
        if coarser is not None:
            up = convolution(coarser, 4 * channels, 1, f"up{stride}", folded=folded, size=1)
            x = layers.Add(name=f"sum{stride}")([x, DepthToSpace(name=f"spread{stride}")(up)])
        coarser = rectified(x, channels, 1, f"head{stride}", folded=folded)
        start = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.01), "bias_initializer": _first_bias}
        outputs.insert(0, layers.Conv2D(NUMBERS, 1, name=f"{OUTPUT}{stride}", dtype="float32", **start)(coarser))
    return outputs


def _first_bias(shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
    return tf.constant([RARE, *[0.0] * (shape[0] - 1)], dtype)
