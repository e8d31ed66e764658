"""Turn a run's weights into detector.tflite, int8 throughout, and the card that vouches for it."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeface.detectors.anchor_free import CARD, AnchorFree, DetectorCard
from edgeface.errors import ModelError
from edgeface.platform.files import write_whole
from edgeface.vision.model_card import NetworkFile
from edgeface.vision.tflite import interpreter
from train.checkpoints import history, load_weights
from train.detector.data import SIZES, batch
from train.detector.hits import ALARMS, UNSURE, look_for, threshold
from train.detector.model import Shape, build
from train.detector.pictures import Pictures
from train.detector.prepare import DEVELOPMENT, TRAINING
from train.export.export import commit, convert, multiply_adds
from train.export.qat import EXTREMES
from train.model import fold, set_weights

CALIBRATION = 300
"""Training pictures that fix the ranges of the activations."""

SHOWN = 40
"""Development photos on which int8 is compared with float."""

MIN_COSINE = 0.98
"""Lowest mean cosine between the outputs in int8 and in float that is let through."""

FILE = "detector.tflite"
RESEARCH = {
    "allage": "All-Age-Faces",
    "celeba-train": "CelebA",
    "live": "Replay-Attack",
    "wider-train": "WIDER FACE",
}
"""Sets that their authors offer for research, by the names of their folders."""


def export(run: Path, prepared: Path, out: Path, name: str = "edgeface") -> DetectorCard:
    """Write the network of ``run``/weights.npz and its card into ``out``.

    Its threshold is set on the development photos.

    Raises:
        DataError: the folder holds no finished preparation.
        ModelError: the run holds no weights, an operation is not int8, or int8 and float disagree.
    """
    keras.mixed_precision.set_global_policy("float32")
    try:
        recipe = json.loads((run / "recipe.json").read_text())
        shape, sources = msgspec.convert(recipe.pop("shape"), Shape), recipe.pop("data")
        network = build(shape, SIZES[-1], folded=True)
        set_weights(network, fold(load_weights(run / "weights.npz")))
        done = history(run)[-1]["pictures"]
    except (OSError, ValueError, KeyError, IndexError, msgspec.ValidationError) as error:
        raise ModelError(f"{run}: holds no run of train detector fit: {error}") from None
    data = convert(network, _examples(Pictures(prepared / TRAINING)), tf.int8)
    photos = [picture for picture in Pictures(prepared / DEVELOPMENT) if len(picture.boxes)]
    cosine = _agreement(network, data, [batch([photo], SIZES[-1], None)[0] for photo in photos[:SHOWN]])
    card = DetectorCard(
        name=name,
        network=NetworkFile(FILE, hashlib.sha256(data).hexdigest(), len(data)),
        min_score=UNSURE,
        metrics={"false_alarms_a_picture": ALARMS, "development_photos": len(photos), "int8_against_float_cosine": cosine},
        training={
            "recipe": recipe,
            "shape": msgspec.to_builtins(shape),
            "data": sources,
            "pictures_presented": done,
            "multiply_adds_640x480": multiply_adds(network),
            "date": datetime.now(UTC).date().isoformat(),
        },
        licence=_licence(recipe, sources),
        commit=commit(),
    )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        _write(Path(folder), card, data)
        hits = look_for(AnchorFree(Path(folder)), photos)
    card = msgspec.structs.replace(card, min_score=round(threshold(hits.alarms, len(photos)), 4))
    _write(out, card, data)
    return card


def _licence(recipe: dict[str, Any], sources: dict[str, Any]) -> str:
    """Say under which terms the weights are, as far as the preparation and the run can tell."""
    sets = sorted({RESEARCH.get(name, name) for name in sources["sources"]})
    bound = [name for name in sets if name in RESEARCH.values()]
    return "".join(
        (
            f"Apache-2.0 for the weights; trained on {', '.join(sets)}, with landmarks by YuNet (MIT)",
            f"; {', '.join(bound)}: by their authors for research" if bound else "",
            "; begun from the weights of another network, whose terms hold too" if "from" in recipe else "",
        )
    )


def _write(folder: Path, card: DetectorCard, network: bytes) -> None:
    write_whole(folder / FILE, network)
    write_whole(folder / CARD, msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")


def _examples(pictures: Pictures) -> Iterator[NDArray[np.float32]]:
    """Training pictures, and black and white: these pin the input's range, so that its scale is exactly 1."""
    random = np.random.default_rng(0)
    for row in random.permutation(len(pictures))[:CALIBRATION]:
        pieces, _ = batch([pictures[int(row)]], SIZES[-1], random)
        yield pieces.astype(np.float32)
    for value in EXTREMES:
        yield np.full_like(pieces, value, np.float32)


def _agreement(network: keras.Model, data: bytes, examples: list[NDArray[np.uint8]]) -> float:
    """The mean cosine between the outputs of the float network and of the int8 one.

    Raises:
        ModelError: it is too low.
    """
    quantized, _ = interpreter(data)
    (given,), outputs = quantized.get_input_details(), quantized.get_output_details()
    cosines = []
    for example in examples:
        quantized.set_tensor(given["index"], np.bitwise_xor(example, 128).view(np.int8))
        quantized.invoke()
        grids = sorted((_real(quantized, output) for output in outputs), key=lambda grid: -grid.size)
        floats = [np.asarray(grid).ravel() for grid in network(example.astype(np.float32))]
        one, other = np.concatenate(grids), np.concatenate(floats)
        cosines.append(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
    mean = float(np.mean(cosines))
    if mean < MIN_COSINE:
        raise ModelError(f"int8 and float disagree: mean cosine {mean:.3f} on {len(cosines)} photos, {MIN_COSINE} is needed")
    return round(mean, 4)


def _real(network: Any, output: dict[str, Any]) -> NDArray[np.float32]:
    scale, zero = output["quantization"]
    return np.asarray((network.get_tensor(output["index"]).astype(np.float32) - zero) * np.float32(scale)).ravel()
