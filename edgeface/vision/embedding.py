"""Turns an aligned chip into a unit vector, and codes back into a face."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeface.errors import ModelError
from edgeface.types import Embedding, Image, Vector
from edgeface.vision.alignment import CHIP_SIZE, TEMPLATE
from edgeface.vision.model_card import SHIPPED, load_card, read_network
from edgeface.vision.tflite import interpreter


class Embedder:
    """The autoencoder of one folder. It must not be used from two threads at once.

    Raises:
        ModelError: files are missing, do not have the card's digests, or hold no network of the card's shape.
    """

    def __init__(self, folder: Path = SHIPPED) -> None:
        self.card = load_card(folder)
        self._folder = folder
        self._encoder, self.runtime = interpreter(read_network(folder, self.card.encoder))
        self._decoder: Any = None
        codes = {(1, self.card.identity), (1, self.card.appearance)}
        if self.card.input_size != CHIP_SIZE or not np.allclose(self.card.alignment, TEMPLATE, atol=1e-3):
            raise ModelError(f"{folder / 'model.json'}: its faces are aligned in another way than this edgeface does it")
        if _signature(self._encoder) != [({(1, CHIP_SIZE, CHIP_SIZE, 3)}, {np.uint8}), (codes, {np.int8})]:
            raise ModelError(f"{folder / self.card.encoder.file}: not the network that model.json describes")

    def codes(self, chip: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the raw identity code, shape (identity,), and appearance code, shape (appearance,), of one chip."""
        found = invoke(self._encoder, chip[None])
        return found[self.card.identity], found[self.card.appearance]

    def embed(self, chip: Image) -> Embedding:
        """Return the embedding of one 112 x 112 chip, for a probe."""
        return _embedding(self.codes(chip)[0])

    def template(self, chip: Image) -> Embedding:
        """Return the embedding of a chip for a template, from the chip and its mirror image: steadier, in twice the time."""
        return _embedding((self.codes(chip)[0] + self.codes(np.ascontiguousarray(chip[:, ::-1]))[0]) / 2)

    def rebuild(self, chip: Image) -> Image:
        """Return the chip as the decoder rebuilds it from its two codes, uint8 RGB, smaller than the chip."""
        identity, appearance = self.codes(chip)
        return self.draw(identity / max(float(np.linalg.norm(identity)), 1e-9), appearance)

    def draw(self, identity: Vector, appearance: NDArray[np.float32] | None = None) -> Image:
        """Draw a face from a unit vector, such as a template, and an appearance code, by default the most ordinary one."""
        if self._decoder is None:
            decoder, _ = interpreter(read_network(self._folder, self.card.decoder))
            given, (outputs, drawn) = _signature(decoder)
            pictures = {shape for shape in outputs if len(shape) == 4 and shape[-1] == 3}
            code = {(1, self.card.identity + self.card.appearance)}, {np.int8}
            if given != code or (outputs, drawn) != (pictures, {np.int8}):
                raise ModelError(f"{self._folder / self.card.decoder.file}: not the network that model.json describes")
            self._decoder = decoder
        if appearance is None:
            appearance = np.zeros(self.card.appearance, np.float32)
        joined = np.concatenate([identity, appearance])
        (pixels,) = invoke(self._decoder, joined[None]).values()
        return np.asarray(np.clip(np.rint(pixels * 255.0), 0, 255), np.uint8)


def _embedding(code: NDArray[np.float32]) -> Embedding:
    norm = float(np.linalg.norm(code))
    return Embedding(code / max(norm, 1e-9), norm)


def _signature(network: Any) -> list[tuple[set[tuple[int, ...]], set[Any]]]:
    """Return the shapes and types of the inputs, and those of the outputs."""
    sides = network.get_input_details(), network.get_output_details()
    return [({tuple(map(int, tensor["shape"])) for tensor in side}, {tensor["dtype"] for tensor in side}) for side in sides]


def invoke(network: Any, values: NDArray[Any]) -> dict[int, NDArray[np.float32]]:
    """Run a quantised network; return its outputs in real units, by the length of their last axis."""
    (given,) = network.get_input_details()
    if values.dtype != given["dtype"]:
        scale, zero = given["quantization"]
        limits = np.iinfo(given["dtype"])
        values = np.asarray(np.clip(np.rint(values / scale + zero), limits.min, limits.max), given["dtype"])
    network.set_tensor(given["index"], values)
    network.invoke()
    outputs = {}
    for output in network.get_output_details():
        scale, zero = output["quantization"]
        code = network.get_tensor(output["index"])[0].astype(np.float32)  # widened first: an int8 minus a zero point wraps
        outputs[int(output["shape"][-1])] = (code - zero) * np.float32(scale)
    return outputs
