"""Compute the parts of the loss, each a mean over the batch, near 1 for an untrained network and 0 for a perfect one."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

SCALE, MARGIN = 32.0, 0.25
"""Of the identity margin loss: the softmax's inverse temperature, and what the own cosine is lowered by."""


def position_wise(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """Squared error of the contributions, (n, 49, 128), in units of the teacher's mean square."""
    return tf.reduce_mean(tf.square(student - teacher)) / tf.reduce_mean(tf.square(teacher))


def cosine(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """One minus the cosine of unit embeddings, (n, 128)."""
    return 1.0 - tf.reduce_mean(tf.reduce_sum(student * teacher, axis=-1))


def relational(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """Squared error between the batch's cosine matrices, in units of the teacher's off-diagonal mean square.

    After Park et al., "Relational Knowledge Distillation", CVPR 2019, with cosines in place of distances.
    """
    wanted = tf.matmul(teacher, teacher, transpose_b=True)
    error = tf.matmul(student, student, transpose_b=True) - wanted
    others = tf.linalg.set_diag(wanted, tf.zeros([tf.shape(wanted)[0]]))
    return tf.reduce_sum(tf.square(error)) / tf.reduce_sum(tf.square(others))


def reconstruction(rebuilt: tf.Tensor, chips: tf.Tensor) -> tf.Tensor:
    """Mean squared error between rebuilt pixels, 0..1, and the clean chips at their size, in units of the variance (0.06)."""
    return squared_error(rebuilt, chips) / 0.06


def squared_error(rebuilt: tf.Tensor, chips: tf.Tensor) -> tf.Tensor:
    """Mean squared error between rebuilt pixels and the chips at their size, both of 0..1."""
    target = tf.image.resize(chips, rebuilt.shape[1:3], antialias=True)
    return tf.reduce_mean(tf.square(rebuilt - target))


def features(rebuilt: Sequence[tf.Tensor], wanted: Sequence[tf.Tensor]) -> tf.Tensor:
    """Squared error of a teacher's maps of rebuilt faces, each in units of the wanted one's mean square; mean of all depths.

    After Johnson, Alahi and Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016.
    """
    pairs = [(tf.cast(one, tf.float32), tf.cast(other, tf.float32)) for one, other in zip(rebuilt, wanted, strict=True)]
    errors = [tf.reduce_mean(tf.square(one - other)) / tf.reduce_mean(tf.square(other)) for one, other in pairs]
    return tf.add_n(errors) / len(errors)


def margin(student: tf.Tensor, labels: tf.Tensor, centres: tf.Tensor, scale: float = SCALE, lead: float = MARGIN) -> tf.Tensor:
    """Cross-entropy of unit embeddings, (n, 128), over people's centres, (people, 128), in units of log(people).

    The cosine with the own centre is lowered by ``lead`` first (Wang et al., "CosFace", CVPR 2018). Rows labelled -1 do not
    count.
    """
    cosines = tf.matmul(student, tf.math.l2_normalize(centres, axis=-1), transpose_b=True)
    people = centres.shape[0]
    own = tf.one_hot(labels, people)
    errors = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(labels, 0), scale * (cosines - lead * own))
    known = tf.cast(labels >= 0, tf.float32)
    return tf.reduce_sum(errors * known) / tf.maximum(tf.reduce_sum(known), 1.0) / np.log(people)


class Encoded(NamedTuple):
    """The codes of n faces, beside the teacher's: contributions, (n, 49, 128), and unit embeddings, (n, 128)."""

    contributions: tf.Tensor
    unit: tf.Tensor
    teacher_contributions: tf.Tensor
    teacher_unit: tf.Tensor
    labels: tf.Tensor
    centres: tf.Tensor


class Rebuilt(NamedTuple):
    """Rebuilt faces of 0..1, the chips that they should be, and unit embeddings of both, (n, 128)."""

    faces: tf.Tensor
    chips: tf.Tensor
    unit: tf.Tensor
    teacher_unit: tf.Tensor


OF_ENCODER: Mapping[str, Callable[[Encoded], tf.Tensor]] = {
    "position_wise": lambda codes: position_wise(codes.contributions, codes.teacher_contributions),
    "cosine": lambda codes: cosine(codes.unit, codes.teacher_unit),
    "relational": lambda codes: relational(codes.unit, codes.teacher_unit),
    "margin": lambda codes: margin(codes.unit, codes.labels, codes.centres),
}
OF_DECODER: Mapping[str, Callable[[Rebuilt], tf.Tensor]] = {
    "reconstruction": lambda rebuilt: reconstruction(rebuilt.faces, rebuilt.chips),
    "perceptual": lambda rebuilt: cosine(rebuilt.unit, rebuilt.teacher_unit),
}
"""The parts of the loss by the names of their weights in ``TrainConfig``."""
