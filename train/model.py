"""Build the autoencoder: encoder (identity code and appearance code) and decoder, for training and, folded, for export.

h = f_E(x; W, b) and x' = f_D(h; W', b') as in the textbook, with h split in two: what the teacher says of the person
(identity), and what else it takes to draw this photo of them (appearance: pose, light, expression).
"""

from dataclasses import dataclass
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

SIZE = 112
GRID = 7
PICTURE = 2
"""The decoder's first stage that draws: its map has 56 x 56 pixels."""

Weights = dict[str, NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Shape:
    """Widths of the encoder's stages at 56, 28, 14 and 7 pixels, and how many residual blocks follow each.

    ``identity`` and ``appearance`` are the lengths of the two codes. ``decoder`` has the widths of the decoder's stages at 7,
    14, 28 and 56 pixels and, in a network that draws faces of that size, at 112.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256)
    blocks: tuple[int, ...] = (0, 2, 3, 1)
    neck: int = 128
    appearance_neck: int = 24
    appearance: int = 64
    decoder: tuple[int, ...] = (96, 96, 64, 32, 24)
    identity: int = 192


@keras.saving.register_keras_serializable("edgeface")
class FusedBatchNorm(layers.Layer):  # type: ignore[misc]
    """Batch normalisation as one fused kernel: Keras 3 composes it from parts, which costs a quarter of the speed here."""

    def __init__(self, start: str = "ones", momentum: float = 0.98, epsilon: float = 1e-3, **options: Any) -> None:
        super().__init__(**options)
        self.start, self.momentum, self.epsilon = start, momentum, epsilon

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create gamma, beta and the moving statistics, all float32 whatever the policy."""
        channels = (shape[-1],)
        add = self.add_weight
        self.gamma = add(name="gamma", shape=channels, initializer=self.start, dtype="float32", autocast=False)
        self.beta = add(name="beta", shape=channels, initializer="zeros", dtype="float32", autocast=False)
        options = {"shape": channels, "dtype": "float32", "autocast": False, "trainable": False}
        options["aggregation"] = "mean"  # over the workers, where there are several
        self.mean = add(name="mean", initializer="zeros", **options)
        self.variance = add(name="variance", initializer="ones", **options)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalise ``x``; in training by its own statistics, which also move the stored ones."""
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        mean, variance = tf.convert_to_tensor(self.mean), tf.convert_to_tensor(self.variance)
        empty = tf.zeros([0])
        y, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=gamma,
            offset=beta,
            mean=empty if training else mean,
            variance=empty if training else variance,
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            self.mean.assign(self.momentum * mean + (1 - self.momentum) * batch_mean)
            self.variance.assign(self.momentum * variance + (1 - self.momentum) * batch_variance)
        return y


@keras.saving.register_keras_serializable("edgeface")
class PositionDense(layers.Layer):  # type: ignore[misc]
    """A dense layer over the 7 x 7 map, kept apart by position: (n, 7, 7, c) -> (n, 49, units), to be summed over axis 1."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create one kernel and one bias a position."""
        channels = cast(int, shape[-1])
        start = keras.initializers.RandomNormal(stddev=0.1 * channels**-0.5)
        self.kernel = self.add_weight(name="kernel", shape=(GRID**2, channels, self.units), initializer=start)
        self.bias = self.add_weight(name="bias", shape=(GRID**2, self.units), initializer="zeros")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Apply each position's kernel to its column of the map."""
        columns = tf.transpose(tf.reshape(x, [-1, GRID**2, x.shape[-1]]), [1, 0, 2])
        parts = tf.transpose(tf.matmul(columns, tf.convert_to_tensor(self.kernel)), [1, 0, 2])
        return parts + tf.convert_to_tensor(self.bias)


@keras.saving.register_keras_serializable("edgeface")
class Double(layers.Layer):  # type: ignore[misc]
    """Twice the width and height, each pixel repeated; one TFLite operation, where Keras's UpSampling2D becomes several."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """(n, h, w, c) -> (n, 2h, 2w, c)."""
        return tf.image.resize(x, [2 * x.shape[1], 2 * x.shape[2]], method="nearest")

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of what ``call`` gives."""
        n, height, width, channels = shape
        return n, 2 * cast(int, height), 2 * cast(int, width), channels


Side = int | tuple[int, int]
"""Of a kernel or a stride, in height and width."""


def convolution(x: Any, width: int, stride: Side, name: str, *, folded: bool, size: Side = 3) -> Any:
    """A convolution and its batch norm, which ``fold`` joins; its bias is there only when ``folded``."""
    x = layers.Conv2D(width, size, stride, "same", use_bias=folded, kernel_initializer="he_normal", name=name)(x)
    return x if folded else FusedBatchNorm(name=f"{name}_norm")(x)


def rectified(x: Any, width: int, stride: int, name: str, *, folded: bool) -> Any:
    """A 3 x 3 ``convolution``, then a ReLU."""
    return layers.ReLU(name=f"{name}_relu")(convolution(x, width, stride, name, folded=folded))


def _block(x: Any, width: int, name: str, *, folded: bool) -> Any:
    """A residual block. It starts as an identity, so a trained network can grow by it and give what it gave before."""
    y = rectified(x, width, 1, f"{name}a", folded=folded)
    y = layers.Conv2D(width, 3, 1, "same", use_bias=folded, kernel_initializer="he_normal", name=f"{name}b")(y)
    y = y if folded else FusedBatchNorm("zeros", name=f"{name}b_norm")(y)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def build_encoder(shape: Shape, *, folded: bool = False) -> keras.Model:
    """The encoder: pixels 0..255 -> identity and appearance.

    For training (``folded=False``) it takes (n, 112, 112, 3) and gives each code by position, (n, 49, dimensions). Folded,
    batch norms and scaling are in the convolutions, a batch is one image, and each code is its sum, (1, dimensions).
    """
    inputs = keras.Input((SIZE, SIZE, 3), batch_size=1 if folded else None, name="chip")
    # Only a factor, no offset: it folds into the first kernel exactly, zero padding included.
    x = inputs if folded else layers.Rescaling(1 / 255)(inputs)
    for stage, (width, blocks) in enumerate(zip(shape.widths, shape.blocks, strict=True)):
        x = rectified(x, width, 2, f"stage{stage}", folded=folded)
        for block in range(blocks):
            x = _block(x, width, f"stage{stage}_block{block}", folded=folded)
    # The heads hold a kernel for each of 49 positions: narrow maps before them halve the file.
    neck = convolution(x, shape.neck, 1, "neck", folded=folded, size=1)
    narrow = layers.Conv2D(shape.appearance_neck, 1, name="appearance_neck")(neck)
    codes = []
    for name, units, x in (("identity", shape.identity, neck), ("appearance", shape.appearance, narrow)):
        if folded:
            # A convolution that covers the whole map is the same sum, and is quantised by channel everywhere.
            code = layers.Conv2D(units, GRID, padding="valid", name=name)(x)
            codes.append(layers.Reshape((units,), name=f"{name}_code")(code))
        else:
            codes.append(PositionDense(units, name=name)(x))
    return keras.Model(inputs, codes, name="encoder")


def build_decoder(shape: Shape, *, folded: bool = False) -> keras.Model:
    """The decoder: unit identity code and appearance code, joined -> pixels 0..1, (n, 56, 56, 3) or (n, 112, 112, 3).

    The larger picture is the smaller one and what a further stage adds to it, nothing at first: so a decoder grows without
    forgetting (as in Karras et al., StyleGAN2, CVPR 2020, each resolution draws its part of the picture).
    """
    inputs = keras.Input((shape.identity + shape.appearance,), batch_size=1 if folded else None, name="codes")
    x = layers.Dense(GRID**2 * shape.decoder[0], activation="relu", name="grid")(inputs)
    x = layers.Reshape((GRID, GRID, shape.decoder[0]))(x)
    for stage, width in enumerate(shape.decoder[1:]):
        x = Double(name=f"double{stage}")(x)
        x = rectified(x, width, 1, f"up{stage}", folded=folded)
        if stage == PICTURE:
            picture = layers.Conv2D(3, 3, padding="same", name="pixels")(x)
        elif stage > PICTURE:
            added = layers.Conv2D(3, 3, padding="same", kernel_initializer="zeros", name=f"pixels{stage}")(x)
            picture = layers.Add(name=f"picture{stage}")([Double(name=f"larger{stage}")(picture), added])
    return keras.Model(inputs, layers.Activation("sigmoid", dtype="float32", name="shown")(picture), name="decoder")


def get_weights(model: keras.Model) -> Weights:
    """Every weight by ``layer/weight`` name, as float32 arrays."""
    return {f"{layer.name}/{weight.name}": weight.numpy() for layer in model.layers for weight in layer.weights}


def set_weights(model: keras.Model, weights: Weights) -> None:
    """Load what ``get_weights`` gave.

    Raises:
        KeyError: a weight of the model is missing.
    """
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(weights[f"{layer.name}/{weight.name}"])


def half_of(weights: Weights, half: str) -> Weights:
    """The weights of the encoder or of the decoder, of those of both by ``encoder/`` and ``decoder/`` names."""
    return {name.removeprefix(f"{half}/"): value for name, value in weights.items() if name.startswith(f"{half}/")}


def identity_codes(encoder: keras.Model, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Raw identity codes, (n, identity), of chips by an encoder in its training form."""
    parts = [encoder(chips[at : at + 128].astype(np.float32), training=False)[0] for at in range(0, len(chips), 128)]
    return np.concatenate([tf.reduce_sum(tf.cast(part, tf.float32), axis=1).numpy() for part in parts])


def fold(weights: Weights, epsilon: float = 1e-3) -> Weights:
    """Turn the weights of a model in training form into those of its folded form."""
    folded: Weights = {}
    for name, value in weights.items():
        layer, kind = name.split("/")
        if f"{layer}_norm/gamma" in weights and kind == "kernel":
            gamma, beta, mean, variance = (weights[f"{layer}_norm/{part}"] for part in ("gamma", "beta", "mean", "variance"))
            scale = gamma / np.sqrt(variance + epsilon)
            folded[name] = value * scale / (255.0 if layer == "stage0" else 1.0)
            folded[f"{layer}/bias"] = beta - mean * scale
        elif value.ndim == 3:  # PositionDense
            folded[name] = value.reshape(GRID, GRID, *value.shape[1:])
            folded[f"{layer}/bias"] = weights[f"{layer}/bias"].sum(axis=0)
        elif not layer.endswith("_norm") and name not in folded:
            folded[name] = value
    return folded
