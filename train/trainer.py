"""Train the autoencoder by one step, keep the moving average of its weights, and validate it on people it never saw."""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeface.errors import ModelError
from train import losses
from train.augment import seen
from train.config import TrainConfig
from train.data import Chips, teacher_embeddings
from train.evaluation.verification import compare, tar_at_far
from train.grow import grow
from train.model import SIZE, Shape, Weights, build_decoder, build_encoder, get_weights, half_of, identity_codes, set_weights
from train.optimizer import ConvolutionMuon
from train.teachers.features import Features
from train.teachers.sface import find_teacher

Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
"""A batch of ``data.batches``: chips, the same augmented, the teacher's contributions, labels."""

APPEARANCE = ("appearance_neck", "appearance")
"""Layers of the encoder that only the decoder needs."""

REBUILT = 512
"""Held-out faces on which the decoder is validated."""

TARGET_SCALE = 12.5
"""Brings the teacher's contributions (root mean square 0.08) near 1: Adam's steps are too coarse for smaller weights."""


class Autoencoder(tf.Module):  # type: ignore[misc]
    """Encoder and decoder, trained, with the moving average of both that validation and export use."""

    def __init__(self, shape: Shape, config: TrainConfig, data: Chips) -> None:
        super().__init__()
        self.config = config
        self.centres = tf.Variable(teacher_centres(data), name="centres")
        self.encoder, self.decoder = build_encoder(shape), build_decoder(shape)
        self.mean_encoder, self.mean_decoder = build_encoder(shape), build_decoder(shape)
        decay = config.weight_decay
        self.optimizer = ConvolutionMuon(config.peak_rate, weight_decay=decay, adam_weight_decay=decay, global_clipnorm=5.0)
        appearance = [variable for name in APPEARANCE for variable in self.encoder.get_layer(name).trainable_variables]
        drawn = {variable.path for variable in appearance}
        identity = [variable for variable in self.encoder.trainable_variables if variable.path not in drawn]
        self.variables_to_train = [
            *([*identity, self.centres] if config.part != "decoder" else []),
            *([*appearance, *self.decoder.trainable_variables] if config.part != "encoder" else []),
        ]
        self.features = Features(find_teacher()) if config.features else None
        self.optimizer.build(self.variables_to_train)
        self.reset_means()

    def reset_means(self) -> None:
        """Let the moving averages start at the weights of now."""
        self.mean_encoder.set_weights(self.encoder.get_weights())
        self.mean_decoder.set_weights(self.decoder.get_weights())

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(self, batch: Batch, momentum: tf.Tensor, wish: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """One update on a batch; returns the parts of the loss and the sum of the workers' wishes, 0 where none has one."""
        strategy = tf.distribute.get_strategy()
        parts, wishes = strategy.run(self._replica_step, args=(batch, wish))
        for means, model in ((self.mean_encoder, self.encoder), (self.mean_decoder, self.decoder)):
            for mean, variable in zip(means.variables, model.variables, strict=True):
                mean.assign(momentum * mean + (1.0 - momentum) * variable)
        reduce = strategy.reduce
        return {name: reduce("MEAN", part, axis=None) for name, part in parts.items()}, reduce("SUM", wishes, axis=None)

    def _replica_step(self, batch: Batch, wish: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        config = self.config
        clean, augmented, teacher, labels = batch
        teacher = TARGET_SCALE * tf.cast(teacher, tf.float32)
        wanted = tf.math.l2_normalize(tf.reduce_sum(teacher, axis=1), axis=-1)
        # A frozen encoder's decoder rebuilds what it is shown: every face, as it is.
        frozen = config.part == "decoder"
        shown = clean if frozen else augmented
        with tf.GradientTape() as tape:
            identity, appearance = self.encoder(tf.cast(shown, tf.float32), training=not frozen)
            identity = tf.cast(identity, tf.float32)
            unit = tf.math.l2_normalize(tf.reduce_sum(identity, axis=1), axis=-1)
            parts: dict[str, tf.Tensor] = {}
            if not frozen:
                codes = losses.Encoded(identity, unit, teacher, wanted, labels, tf.convert_to_tensor(self.centres))
                parts |= {name: part(codes) for name, part in losses.OF_ENCODER.items()}
            if config.part != "encoder":
                some = shown.shape[0] if frozen else int(shown.shape[0] * config.rebuilt_share)
                both = tf.concat([unit, tf.reduce_sum(tf.cast(appearance, tf.float32), axis=1)], axis=-1)
                rebuilt = self._rebuilt(both[:some], tf.cast(clean[:some], tf.float32) / 255.0, wanted[:some])
                parts |= {name: part(rebuilt) for name, part in losses.OF_DECODER.items()}
                if self.features:
                    parts["features"] = self._features_error(self.features, rebuilt)
            # The optimizer sums the workers' gradients.
            loss = tf.add_n([getattr(config, name) * part for name, part in parts.items()])
            loss /= tf.distribute.get_strategy().num_replicas_in_sync
        gradients = tape.gradient(loss, self.variables_to_train)
        self.optimizer.apply_gradients(zip(gradients, self.variables_to_train, strict=True))
        return parts, wish

    def _rebuilt(self, codes: tf.Tensor, chips: tf.Tensor, wanted: tf.Tensor) -> losses.Rebuilt:
        """What the decoder draws of codes, beside the chips, 0..1, and the embeddings that it should have."""
        faces = tf.cast(self.decoder(codes, training=True), tf.float32)
        return losses.Rebuilt(faces, chips, self._recognized(chip_sized(faces)), wanted)

    def _features_error(self, features: Features, rebuilt: losses.Rebuilt) -> tf.Tensor:
        """The error of SFace's maps, in a share of the faces: it takes longer than the decoder itself."""
        some = int(rebuilt.chips.shape[0] * self.config.rebuilt_share)
        kind = self.encoder.compute_dtype
        return losses.features(*(features(tf.cast(chip_sized(each[:some]), kind)) for each in (rebuilt.faces, rebuilt.chips)))

    def _recognized(self, chips: tf.Tensor) -> tf.Tensor:
        """Unit embeddings of faces of 0..255 by the averaged encoder, which this does not train."""
        positions, _ = self.mean_encoder(chips, training=False)
        return tf.math.l2_normalize(tf.reduce_sum(tf.cast(positions, tf.float32), axis=1), axis=-1)

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Unit identity codes, (n, identity), by the averaged encoder."""
        codes = identity_codes(self.mean_encoder, chips)
        return np.asarray(codes / np.linalg.norm(codes, axis=1, keepdims=True), np.float32)

    def weights(self) -> Weights:
        """The averaged weights of both halves, by ``encoder/`` and ``decoder/`` names."""
        return by_half(self.mean_encoder, self.mean_decoder)

    def load(self, weights: Weights) -> None:
        """Start from these weights, of the same network or of a narrower or shallower one.

        Raises:
            ModelError: they belong to a network that this one cannot grow from.
        """
        try:
            grown = grow(weights, by_half(self.encoder, self.decoder))
            for half, model in (("encoder", self.encoder), ("decoder", self.decoder)):
                set_weights(model, half_of(grown, half))
        except (KeyError, ValueError) as error:
            raise ModelError(f"the weights are of another network: {error}") from None
        self.reset_means()


def chip_sized(faces: tf.Tensor) -> tf.Tensor:
    """Faces of 0..1 as chips of 0..255."""
    return tf.image.resize(255.0 * faces, [SIZE, SIZE])


def by_half(encoder: keras.Model, decoder: keras.Model) -> Weights:
    """The weights of both, by ``encoder/`` and ``decoder/`` names."""
    halves = {"encoder": encoder, "decoder": decoder}
    return {f"{half}/{name}": value for half, model in halves.items() for name, value in get_weights(model).items()}


def teacher_centres(data: Chips) -> NDArray[np.float32]:
    """Each labelled person's mean of the teacher's embeddings, shape (people, identity): where the margin loss starts from."""
    labels = data.labels()
    centres = np.zeros((max(2, int(labels.max(initial=0)) + 1), data.identity), np.float32)
    for at in range(0, len(data), 4096):
        rows = np.arange(at, min(at + 4096, len(data)))
        embeddings = teacher_embeddings(data.targets(rows))
        known = labels[rows] >= 0
        np.add.at(centres, labels[rows][known], embeddings[known])
    return centres


def validate(model: Autoencoder, data: Chips) -> dict[str, float]:
    """Figures on people the network never saw: cosine with the teacher, and TAR over all pairs of them.

    Those called ``augmented`` are of probes as a camera may see them, always the same ones, compared with clean templates. The
    error of the decoder is told unless only the encoder is trained, and nothing else where only the decoder is.
    """
    if model.config.part == "decoder":
        return rebuilding_error(model, data)
    rows = np.arange(len(data))
    luck = np.random.default_rng(0)
    student = model.embed(data.chips(rows))
    augmented = model.embed(np.stack([seen(crop, luck) for crop in data.crops(rows)]))
    teacher = teacher_embeddings(data.targets(rows))
    figures = {}
    for name, probes in (("", student), ("augmented_", augmented)):
        figures[f"{name}teacher_cosine"] = float(np.mean(np.sum(probes * teacher, axis=1)))
        matched, unmatched = compare(student, probes, data.people)
        if len(matched) and len(unmatched):
            figures |= {
                f"{name}tar_{far:.0e}".replace("e-0", "e-"): tar_at_far(matched, unmatched, far) for far in (1e-2, 1e-3)
            }
    return figures | (rebuilding_error(model, data) if model.config.part == "both" else {})


def rebuilding_error(model: Autoencoder, data: Chips) -> dict[str, float]:
    """The mean squared error of rebuilt faces, in 0..1 at the size of the decoder's pictures, by the averaged network."""
    errors = []
    for rows in np.split(np.arange(min(REBUILT, len(data))), range(128, min(REBUILT, len(data)), 128)):
        chips = tf.cast(data.chips(rows), tf.float32)
        identity, appearance = (tf.reduce_sum(tf.cast(part, tf.float32), axis=1) for part in model.mean_encoder(chips))
        rebuilt = model.mean_decoder(tf.concat([tf.math.l2_normalize(identity, axis=-1), appearance], axis=-1))
        errors.append(len(rows) * float(losses.squared_error(tf.cast(rebuilt, tf.float32), chips / 255.0)))
    return {"reconstruction_mse": sum(errors) / min(REBUILT, len(data))}
