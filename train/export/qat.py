"""Fine-tune the folded encoder with quantisation, so that it gives in int8 what it gives in float.

Forward, weights and activations are rounded as TFLite rounds them; backward, rounding is the identity (Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018).
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray
from tqdm import tqdm

from train.augment import seen
from train.data import Chips
from train.model import SIZE

EXTREMES = (0, 255)
"""Black and white pin a picture's range to 0..255, so that its scale is exactly 1."""

BATCH = 64
RATE = 2e-4
"""Of Adafactor, in units of a weight's root mean square: scaling and batch norm, folded, leave kernels of all sizes."""


def refine(encoder: keras.Model, sample: NDArray[np.uint8], training: Chips, faces: int) -> keras.Model:
    """A copy of a folded encoder whose codes, rounded, come nearer to those of the original, not rounded.

    ``sample``, chips (n, 112, 112, 3), fixes the ranges of the activations, as it does when the network is converted;
    ``faces`` of the ``training`` chips, augmented, are learnt from.
    """
    refined, wanted = _copy(encoder), _copy(encoder, input_tensors=_any_batch())
    int8 = rounded(refined, sample)
    variables = refined.trainable_variables
    steps = max(1, faces // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    # Its own epsilon vanishes beside other channels' gradients, and a channel without any is divided by zero.
    optimizer = keras.optimizers.Adafactor(rate, epsilon_1=1e-16)
    optimizer.build(variables)

    @tf.function  # type: ignore[untyped-decorator]
    def step(chips: tf.Tensor) -> None:
        goals = wanted(chips)
        with tf.GradientTape() as tape:
            loss = tf.add_n([_error(code, goal) for code, goal in zip(int8(chips), goals, strict=True)])
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    random = np.random.default_rng(0)
    for _ in tqdm(range(steps), desc="refining", unit="step", disable=None):
        rows, mirrored = random.integers(0, len(training), BATCH), random.random(BATCH) < 0.5
        augmented = np.stack([seen(crop, random) for crop in training.crops(rows, mirrored)])
        step(tf.constant(augmented, tf.float32))
    return refined


def _copy(encoder: keras.Model, **options: Any) -> keras.Model:
    copy = keras.models.clone_model(encoder, **options)
    copy.set_weights(encoder.get_weights())
    return copy


def _any_batch() -> Any:
    return keras.Input((SIZE, SIZE, 3))


def _error(code: tf.Tensor, goal: tf.Tensor) -> tf.Tensor:
    """Mean squared error in units of the goal's mean square."""
    return tf.reduce_mean(tf.square(code - goal)) / tf.reduce_mean(tf.square(goal))


def rounded(encoder: keras.Model, sample: NDArray[np.uint8]) -> keras.Model:
    """The same layers with the same weights, rounded, for any batch."""
    names = {layer.name for layer in encoder.layers}
    # What a ReLU follows is one operation with it, and no tensor of its own.
    tensors = [
        layer
        for layer in encoder.layers
        if isinstance(layer, layers.ReLU) or (isinstance(layer, layers.Conv2D) and f"{layer.name}_relu" not in names)
    ]
    look = keras.Model(encoder.inputs, [layer.output for layer in tensors])
    examples = [*sample, *(np.full_like(sample[0], value) for value in EXTREMES)]
    seen = np.array([[(np.min(x), np.max(x)) for x in look(example[None].astype(np.float32))] for example in examples])
    low, high = np.minimum(seen[..., 0].min(axis=0), 0.0), seen[..., 1].max(axis=0)
    ranges = {layer.name: (float(a), float(b)) for layer, a, b in zip(tensors, low, high, strict=True)}
    for name, (bottom, top) in ranges.items():
        # The converter lets the last convolution of a residual block reach as far up as the block's sum.
        ranges[name] = bottom, max(top, ranges.get(f"{name.removesuffix('b')}_relu", (0.0, top))[1])

    def call(layer: layers.Layer, *inputs: Any, **options: Any) -> Any:
        x = _RoundedConvolution(layer)(*inputs) if isinstance(layer, layers.Conv2D) else layer(*inputs, **options)
        return _Rounding(*ranges[layer.name])(x) if layer.name in ranges else x

    return keras.models.clone_model(encoder, input_tensors=_any_batch(), clone_function=lambda layer: layer, call_function=call)


class _Rounding(layers.Layer):  # type: ignore[misc]
    """An activation in 256 steps from ``low`` to ``high``."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.quantization.fake_quant_with_min_max_args(x, self.low, self.high)


class _RoundedConvolution(layers.Layer):  # type: ignore[misc]
    """A convolution whose kernel has 255 steps a channel, around zero."""

    def __init__(self, convolution: layers.Conv2D) -> None:
        super().__init__()
        self.convolution = convolution

    def call(self, x: tf.Tensor) -> tf.Tensor:
        own = self.convolution
        kernel = tf.convert_to_tensor(own.kernel)
        limit = tf.stop_gradient(tf.reduce_max(tf.abs(kernel), axis=(0, 1, 2)))
        kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -limit, limit, narrow_range=True)
        return tf.nn.conv2d(x, kernel, own.strides, own.padding.upper()) + tf.convert_to_tensor(own.bias)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(self.convolution.compute_output_shape(shape))
