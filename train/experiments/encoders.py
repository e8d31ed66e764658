"""Train encoders of one code size on one budget of faces: dense and convolutional, to rebuild, to classify, or both; PCA.

Faces are arrays (n, side, side, channels), uint8, into networks that scale them to 0..1; rebuilt ones are 0..1.
"""

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from train import losses
from train.model import Double, FusedBatchNorm

CODE = 64
WIDTHS = (24, 48, 96, 128)
BATCH = 64
RATE = 4e-3
SCALE = 16.0
"""Inverse temperature of the softmax over people."""

SEED = 1

Faces = NDArray[np.uint8]
Floats = NDArray[np.float32]


def dense_encoder(side: int, channels: int) -> keras.Model:
    """The article's encoder, of any size."""
    inputs = keras.Input((side, side, channels))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, layers.Dense(CODE, activation="relu")(x), name="dense")


def dense_decoder(side: int, channels: int) -> keras.Model:
    """The article's decoder, of any size."""
    inputs = keras.Input((CODE,))
    pixels = layers.Dense(side * side * channels, activation="sigmoid")(inputs)
    return keras.Model(inputs, layers.Reshape((side, side, channels))(pixels))


def convolutional_encoder(side: int, channels: int) -> keras.Model:
    """Four 3 x 3 convolutions of stride 2, batch norm, ReLU; a linear dense layer over the map gives the code."""
    x = inputs = keras.Input((side, side, channels))
    x = layers.Rescaling(1 / 255)(x)
    for width in WIDTHS:
        x = layers.Conv2D(width, 3, 2, "same", use_bias=False, kernel_initializer="he_normal")(x)
        x = layers.ReLU()(FusedBatchNorm()(x))
    return keras.Model(inputs, layers.Dense(CODE)(layers.Flatten()(x)), name="convolutional")


def convolutional_decoder(side: int, channels: int) -> keras.Model:
    """From a map of a sixteenth of the side upwards: four times doubled, each time a 3 x 3 convolution."""
    inputs = keras.Input((CODE,))
    small = side // 16
    x = layers.Dense(small * small * 64, activation="relu")(inputs)
    x = layers.Reshape((small, small, 64))(x)
    for width in (48, 32, 16):
        x = layers.Conv2D(width, 3, 1, "same", activation="relu", kernel_initializer="he_normal")(Double()(x))
    return keras.Model(inputs, layers.Conv2D(channels, 3, 1, "same", activation="sigmoid")(Double()(x)))


@dataclass(frozen=True)
class Kind:
    """How one encoder is built and what it is trained for: the weights of the parts of the loss."""

    convolutional: bool = True
    reconstruction: float = 0.0
    classification: float = 0.0
    relational: float = 0.0


KINDS = {
    "dense": Kind(convolutional=False, reconstruction=1.0),
    "convolutional": Kind(reconstruction=1.0),
    "classification": Kind(classification=1.0),
    "combination": Kind(reconstruction=1.0, classification=1.0),
    "combination and teacher": Kind(reconstruction=1.0, classification=1.0, relational=1.0),
}


@dataclass(frozen=True, eq=False)
class Training:
    """Faces to train on, the number of the person on each (-1: nobody knows), and the teacher's unit embeddings (n, 128)."""

    faces: Faces
    labels: NDArray[np.int32]
    teacher: Floats


class Coder:
    """A trained encoder, with the decoder if it has one."""

    def __init__(self, encoder: keras.Model, decoder: keras.Model | None) -> None:
        self.encoder, self.decoder = encoder, decoder

    def codes(self, faces: Faces) -> Floats:
        """The code of each face, (n, CODE)."""
        return _in_parts(self.encoder, faces)

    def rebuild(self, faces: Faces) -> Floats | None:
        """Each face as the decoder draws it from its code."""
        return _in_parts(self.decoder, self.codes(faces)) if self.decoder else None


class Eigenfaces:
    """Principal components of the training faces (Turk and Pentland, 1991), as many as the others' codes have numbers."""

    def __init__(self, faces: Faces, code: int = CODE) -> None:
        rows = _rows(faces)
        self.mean = rows.mean(axis=0)
        rows -= self.mean
        _, vectors = np.linalg.eigh(rows.T @ rows)
        self.components = np.ascontiguousarray(vectors[:, : -code - 1 : -1])

    def codes(self, faces: Faces) -> Floats:
        """The coordinates of each face, (n, CODE)."""
        return np.asarray((_rows(faces) - self.mean) @ self.components, np.float32)

    def rebuild(self, faces: Faces) -> Floats:
        """Each face as the sum of its components."""
        return np.asarray(self.codes(faces) @ self.components.T + self.mean, np.float32).reshape(faces.shape)


def train(kind: Kind, data: Training, presentations: int) -> Coder:
    """Train by Adam, the rate falling to zero by half a cosine; each face is shown as it is or mirrored, at random.

    Relations and classes are those of unit codes; faces are rebuilt from the codes as they are.
    """
    keras.utils.set_random_seed(SEED)
    random = np.random.default_rng(SEED)
    side, channels = data.faces.shape[1], data.faces.shape[3]
    encoder = (convolutional_encoder if kind.convolutional else dense_encoder)(side, channels)
    decoder = None
    if kind.reconstruction:
        decoder = (convolutional_decoder if kind.convolutional else dense_decoder)(side, channels)
    people = int(data.labels.max(initial=0)) + 1
    centres = tf.Variable(keras.random.normal((max(2, people), CODE), seed=SEED))
    variables = encoder.trainable_variables + (decoder.trainable_variables if decoder else [])
    variables += [centres] if kind.classification else []
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(faces: tf.Tensor, labels: tf.Tensor, teacher: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            codes = encoder(faces, training=True)
            unit = tf.math.l2_normalize(codes, axis=-1)
            loss = tf.constant(0.0)
            if kind.classification:
                # Without a margin: with one, centres that start at random take far more presentations to learn from.
                classes = losses.margin(unit, labels, tf.convert_to_tensor(centres), SCALE, 0.0)
                loss += kind.classification * classes
            if kind.relational:
                loss += kind.relational * losses.relational(unit, teacher)
            if decoder:
                loss += kind.reconstruction * losses.reconstruction(decoder(codes, training=True), faces / 255.0)
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    batch = min(BATCH, len(data.faces))
    steps = max(1, presentations // batch)
    order = np.empty(0, np.int64)
    for at in range(steps):
        if len(order) < batch:
            order = random.permutation(len(data.faces))
        rows, order = order[:batch], order[batch:]
        faces = data.faces[rows].astype(np.float32)
        mirrored = random.random(batch) < 0.5
        faces[mirrored] = faces[mirrored, :, ::-1]
        optimizer.learning_rate.assign(RATE * 0.5 * (1 + math.cos(math.pi * at / steps)))
        step(tf.constant(faces), tf.constant(data.labels[rows]), tf.constant(data.teacher[rows]))
    return Coder(encoder, decoder)


def _rows(faces: Faces) -> Floats:
    return faces.reshape(len(faces), -1) / np.float32(255)


def _in_parts(model: keras.Model, given: NDArray[Any]) -> Floats:
    return np.concatenate([model(given[at : at + 256].astype(np.float32)).numpy() for at in range(0, len(given), 256)])
