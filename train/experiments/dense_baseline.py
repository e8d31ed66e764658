"""Train the article's dense autoencoder, h = ReLU(W x + b), x' = sigmoid(W' h + b'), with and without cures of overfitting.

Faces are arrays (n, pixels), float32, 0..1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edgeface.errors import DataError

Faces = NDArray[np.float32]
SIDE = 48
HIDDEN = 64
EPOCHS = 50
BATCH = 256
RATE = 1e-3
SEED = 1


def read_faces(path: Path) -> dict[str, Faces]:
    """The parts ``train``, ``validation`` and ``test`` of FER2013, from x_train ... in an npz of 48 x 48 grey uint8 faces.

    Raises:
        DataError: the file cannot be read or holds something else.
    """
    parts = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            for part in ("train", "validation", "test"):
                faces = file[f"x_{part}"]
                if faces.dtype != np.uint8 or faces.shape[1:] != (SIDE, SIDE) or len(faces) < 2:
                    raise ValueError(f"x_{part} is {faces.dtype} {faces.shape}, not uint8 (n, {SIDE}, {SIDE})")
                parts[part] = flat(faces)
    except Exception as error:  # of zipfile, zlib, numpy and pickle, which share no base class
        reason = str(error).split("\n")[0] or type(error).__name__
        raise DataError(f"{path}: not FER2013 as npz: {reason}") from None
    return parts


def flat(faces: NDArray[np.uint8]) -> Faces:
    """Faces (n, height, width, ...) of 0..255 as rows of 0..1."""
    return faces.reshape(len(faces), -1) / np.float32(255)


def build(pixels: int = SIDE * SIDE, hidden: int = HIDDEN, *, noise: float = 0.0, dropout: float = 0.0) -> keras.Model:
    """The dense autoencoder.

    In training, ``noise`` is the standard deviation of what is added to the pixels that it sees, and ``dropout`` the share of
    hidden units that are left out.
    """
    inputs = keras.Input((pixels,), name="face")
    seen = layers.GaussianNoise(noise)(inputs) if noise else inputs
    code = layers.Dense(hidden, activation="relu", name="code")(seen)
    kept = layers.Dropout(dropout)(code) if dropout else code
    return keras.Model(inputs, layers.Dense(pixels, activation="sigmoid", name="rebuilt")(kept), name="dense")


def encoder(model: keras.Model) -> keras.Model:
    """The first half of the model: faces to hidden codes."""
    return keras.Model(model.input, model.get_layer("code").output)


def train(faces: Faces, validation: Faces, hidden: int = HIDDEN, epochs: int = EPOCHS) -> tuple[keras.Model, dict[str, Any]]:
    """Train as the article does; the model, and its ``loss`` and ``val_loss`` after each epoch."""
    keras.utils.set_random_seed(SEED)
    model = build(faces.shape[1], hidden)
    model.compile(keras.optimizers.Adam(RATE), "mse")
    history = model.fit(
        faces, faces, epochs=epochs, batch_size=BATCH, shuffle=True, validation_data=(validation, validation), verbose=0
    )
    return model, dict(history.history)


def folds(count: int, parts: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to train on and rows held out, ``parts`` times, every row held out once."""
    shares = np.array_split(np.random.default_rng(SEED).permutation(count), parts)
    for held_out in range(parts):
        yield np.concatenate([share for at, share in enumerate(shares) if at != held_out]), shares[held_out]


@dataclass(frozen=True)
class Cure:
    """What is done against overfitting."""

    weight_decay: float = 0.0
    dropout: float = 0.0
    noise: float = 0.0
    augmented: bool = False
    patience: int | None = None  # epochs without a lower validation error before training stops


CURES = {
    "nothing": Cure(),
    "weight decay": Cure(weight_decay=0.3),
    "dropout": Cure(dropout=0.1),
    "denoising": Cure(noise=0.1),
    "augmentation": Cure(augmented=True),
    "early stop": Cure(patience=20),
}


def overfit(faces: Faces, validation: Faces, cure: Cure, hidden: int, epochs: int, batch: int) -> list[tuple[float, float]]:
    """Train on few faces for long; the error after each epoch on the faces as they are, trained on and validation."""
    keras.utils.set_random_seed(SEED)
    random = np.random.default_rng(SEED)
    model = build(faces.shape[1], hidden, noise=cure.noise, dropout=cure.dropout)
    model.compile(keras.optimizers.AdamW(RATE, weight_decay=cure.weight_decay), "mse")
    curve: list[tuple[float, float]] = []
    best = 0
    for epoch in range(epochs):
        order = random.permutation(len(faces))
        for at in range(0, len(faces), batch):
            drawn = faces[order[at : at + batch]]
            drawn = augment(drawn, random) if cure.augmented else drawn
            model.train_on_batch(drawn, drawn)
        curve.append((error(model, faces), error(model, validation)))
        best = min(best, epoch, key=lambda at: curve[at][1])
        if cure.patience is not None and epoch - best >= cure.patience:
            break
    return curve


def augment(faces: Faces, random: np.random.Generator) -> Faces:
    """Square faces mirrored at random, shifted by up to three pixels, and of another brightness and contrast."""
    side = round(faces.shape[1] ** 0.5)
    result = np.empty((len(faces), side, side), np.float32)
    for row, face in zip(result, faces.reshape(-1, side, side), strict=True):
        down, right = random.integers(0, 7, 2)
        mirrored = face[:, ::-1] if random.random() < 0.5 else face
        row[:] = np.pad(mirrored, 3, mode="edge")[down : down + side, right : right + side]
        row[:] = (row - 0.5) * random.uniform(0.7, 1.3) + 0.5 + random.uniform(-0.15, 0.15)
    return np.clip(result, 0.0, 1.0).reshape(faces.shape)


def apply(model: keras.Model, faces: Faces) -> Faces:
    """What a model makes of faces: rebuilt ones, or codes if it is an ``encoder``."""
    return np.asarray(model(faces, training=False), np.float32)


def error(model: keras.Model, faces: Faces) -> float:
    """Mean squared error of the rebuilt pixels."""
    return float(np.mean(np.square(apply(model, faces) - faces)))
