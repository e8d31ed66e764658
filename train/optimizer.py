"""Train the convolutions' kernels with Muon, and everything else with AdamW."""

import re
from typing import Any

import keras
import tensorflow as tf


class ConvolutionMuon(keras.optimizers.Muon):  # type: ignore[misc]
    """Keras's Muon, which leaves all but plain matrices to AdamW, with convolutions' kernels taken as matrices too.

    A kernel (h, w, in, out) is the matrix (h w in, out), as in Jordan et al., "Muon", 2024 (github.com/KellerJordan/Muon).
    A step changes all directions of a kernel alike, where Adam's follows the few that most gradients share.
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 4 or any(re.search(name, variable.path) for name in self.exclude_layers)

    def _muon_update_step(self, gradient: tf.Tensor, variable: Any, lr: tf.Tensor, m: Any) -> None:
        m.assign(self.momentum * m + gradient)
        matrix = tf.reshape(gradient + self.momentum * m, [-1, variable.shape[-1]])
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        variable.assign_sub(tf.reshape(update, variable.shape))
