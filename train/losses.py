"""The parts of the loss. Each is a mean over the batch, near 1 for an untrained network and 0 for a perfect one."""

import tensorflow as tf


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
    """Mean squared error between rebuilt pixels, 0..1 at 56 x 56, and the clean chips, in units of their variance (0.06)."""
    target = tf.image.resize(chips, rebuilt.shape[1:3], antialias=True)
    return tf.reduce_mean(tf.square(rebuilt - target)) / 0.06
