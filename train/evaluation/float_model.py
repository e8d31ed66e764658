"""Run the network before quantisation as an ``Embedder``, to measure what int8 costs."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeface.errors import ModelError
from edgeface.types import Image
from edgeface.vision.embedding import Embedder
from train import lda
from train.checkpoints import load_weights
from train.grow import shape_of
from train.model import build_encoder, fold, half_of, set_weights


class FloatEmbedder(Embedder):
    """The float encoder of ``weights``, a weights.npz, in place of ``folder``'s int8 one; the card is ``folder``'s.

    Raises:
        ModelError: the weights cannot be read, or are not those of such a network.
    """

    def __init__(self, folder: Path, weights: Path) -> None:
        super().__init__(folder)
        loaded = load_weights(weights)
        try:
            encoder = build_encoder(shape_of(loaded), folded=True)
            half = fold(half_of(loaded, "encoder"))
            lda.fold_into_encoder(half, loaded)
            set_weights(encoder, half)
        except (KeyError, ValueError) as error:
            raise ModelError(f"{weights}: not the weights of such a network: {error}") from None
        self._float = tf.function(encoder, input_signature=[tf.TensorSpec((1, 112, 112, 3), tf.float32)])

    def codes(self, chip: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The raw identity code and appearance code of one chip, in the units of before quantisation."""
        identity, appearance = self._float(chip[None].astype(np.float32))
        return identity.numpy()[0], appearance.numpy()[0]
