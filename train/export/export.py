"""Turn trained weights into encoder.tflite and decoder.tflite, int8 throughout, and the card that vouches for them."""

import hashlib
import io
import json
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import keras
import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeface.errors import ModelError
from edgeface.types import Image
from edgeface.vision.alignment import TEMPLATE
from edgeface.vision.drawing import contact_sheet, save_image
from edgeface.vision.embedding import Embedder
from edgeface.vision.model_card import ModelCard, NetworkFile, Sameness, Threshold, save_card
from edgeface.vision.tflite import interpreter
from train import lda
from train.augment import LANDMARK_ERROR, shake
from train.checkpoints import history, load_weights, save_weights
from train.data import Chips, load
from train.evaluation.verification import Floats, compare, fit_calibration, tar_at_far, threshold_at_far
from train.export import qat
from train.export.bit_exact import portable
from train.model import Shape, Weights, build_decoder, build_encoder, fold, half_of, identity_codes, set_weights

CALIBRATION = 600
"""Training chips that fix the ranges of the activations."""

LABELLED, MIN_LABELLED = 20_000, 2_000
"""Training chips from which the discriminant is learnt, and how few are too few for it."""

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
POOR_SHARE = 0.05
"""Held-out portraits that the gate on the embedding's norm turns away; docs/network.md shows what it is good for."""

MIN_COSINE = 0.95
"""Lowest mean cosine between the int8 and the float embedding that is let through."""

SHOWN = 500
"""Held-out chips on which int8 is compared with float, and the decoder measured."""


def export(run: Path, folders: Sequence[Path], out: Path, name: str = "edgeface", refine: int = 0) -> ModelCard:
    """Write the networks of ``run``/weights.npz and their card into ``out``, and ``run``/rebuilt.png, faces over rebuilt ones.

    ``out``/weights.npz holds the run's weights and the discriminant that went into the networks.

    ``folders`` are prepared chips: those for training calibrate the ranges, those of held-out people the thresholds. With
    ``refine``, the encoder is fine-tuned on so many of the former to give in int8 what it gives in float.

    Raises:
        ModelError: the run holds no weights, an operation is not int8, or int8 and float disagree on real chips.
    """
    keras.mixed_precision.set_global_policy("float32")
    recipe = _recipe(run)
    shape, sources = msgspec.convert(recipe["shape"], Shape), recipe.pop("data")
    training, held_out = load(folders).split()
    if not len(held_out):
        raise ModelError("nobody is held out to set the thresholds on: prepare folders with one subfolder a person")
    weights = load_weights(run / "weights.npz")
    try:
        weights |= _learn_lda(weights, shape, training)
    except (KeyError, ValueError) as error:
        raise ModelError(f"the weights do not fit the run's recipe: {error}") from None
    unquantised, decoder, sample = _folded(weights, shape, training)
    encoder = qat.refine(unquantised, sample, training, refine) if refine else unquantised
    codes = _float_codes(encoder, sample)
    encoder_bytes = portable(convert(encoder, (chip[None].astype(np.float32) for chip in sample), tf.uint8))
    decoder_bytes = convert(decoder, (row[None] for row in codes), tf.int8)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        part = Path(folder)
        for half, data in {"encoder": encoder_bytes, "decoder": decoder_bytes}.items():
            (part / f"{half}.tflite").write_bytes(data)
        training_record = {
            "recipe": recipe,
            "refined_faces": refine,
            "data": sources,
            "date": datetime.now(UTC).date().isoformat(),
            **_progress(run),
        }
        card = _blank_card(part, name, shape, encoder, training_record)
        save_card(part, card)
        card = _measured(card, part, unquantised, held_out, run / "rebuilt.png")
        save_card(part, card)
        save_weights(weights, part / "weights.npz")
        for file in ("encoder.tflite", "decoder.tflite", "weights.npz", "model.json"):
            (part / file).replace(out / file)
    return card


def _blank_card(folder: Path, name: str, shape: Shape, encoder: keras.Model, training: dict[str, Any]) -> ModelCard:
    """A card for the networks in ``folder``, with which they can be run to measure what it lacks."""
    return ModelCard(
        name=name,
        encoder=_network(folder / "encoder.tflite"),
        decoder=_network(folder / "decoder.tflite"),
        input_size=112,
        identity=shape.identity,
        appearance=shape.appearance,
        alignment=TEMPLATE.astype(float).round(4).tolist(),
        thresholds=[Threshold(0.5, 0.0), Threshold(1e-6, 1.0)],
        sameness=Sameness(1.0, 0.0),
        min_norm=0.0,
        calibration={},
        metrics={},
        cost={"multiply_adds": multiply_adds(encoder), "parameters": encoder.count_params()},
        training=training,
        licence=_licence(training["recipe"], training["data"]),
        commit=commit(),
    )


NON_COMMERCIAL = {"celeba-train": "CelebA", "utkface": "UTKFace", "allage": "All-Age-Faces"}
"""Sets that their authors offer for non-commercial research, by the names of their folders."""


def _licence(recipe: dict[str, Any], sources: Sequence[dict[str, Any]]) -> str:
    """What holds for the weights, as far as the preparations and the run can tell."""
    sets = sorted({NON_COMMERCIAL.get(name, name) for part in sources for name in part.get("sources", ())})
    bound = [name for name in sets if name in NON_COMMERCIAL.values()]
    second = " and EdgeFace-XS (BSD-3-Clause)" if any("second" in part for part in sources) else ""
    return "".join(
        (
            f"Apache-2.0 for the weights; trained on {' and '.join(sets)}, with SFace (Apache-2.0){second} as the teacher",
            f"; {' and '.join(bound)}: by their authors for non-commercial research" if bound else "",
            "; begun from the weights of another network, whose terms hold too" if "from" in recipe else "",
        )
    )


def convert(model: keras.Model, examples: Iterator[NDArray[np.float32]], input_type: tf.DType) -> bytes:
    """A model as int8 TFLite.

    Raises:
        ModelError: a tensor that is computed at run time is not an integer.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    shape = (1, *model.input_shape[1:])
    extremes = [np.full(shape, value, np.float32) for value in qat.EXTREMES] if input_type == tf.uint8 else []
    converter.representative_dataset = lambda: ([example] for example in chain(examples, extremes))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = input_type, tf.int8
    with redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):  # signatures, and the want of float ranges
        data = bytes(converter.convert())
    details = interpreter(data)[0].get_tensor_details()
    floating = [tensor["name"] for tensor in details if np.issubdtype(tensor["dtype"], np.floating)]
    if floating:
        raise ModelError(f"{model.name}: not int8 throughout: {floating[0]}")
    return data


def multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of one inference, convolutions and dense layers."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            total += int(np.prod(layer.output.shape[1:3])) * int(np.prod(layer.kernel.shape))
        elif isinstance(layer, keras.layers.Dense):
            total += int(np.prod(layer.kernel.shape))
    return total


def _learn_lda(weights: Weights, shape: Shape, training: Chips) -> Weights:
    """Learn the discriminant from the training chips; nothing where too few are labelled, so that an earlier one stays."""
    labels = training.labels()
    rows = np.flatnonzero(labels >= 0)
    rows = np.random.default_rng(0).permutation(rows)[:LABELLED]
    _, inverse, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
    rows = np.sort(rows[counts[inverse] > 1])
    if len(rows) < MIN_LABELLED:
        return {}
    encoder = build_encoder(shape)
    set_weights(encoder, half_of(weights, "encoder"))
    parts = np.array_split(rows, -(-len(rows) // 1024))  # few chips in memory at a time
    codes = np.concatenate([identity_codes(encoder, training.chips(part)) for part in parts])
    return {lda.NAME: lda.learn(codes, labels[rows])}


def _folded(weights: Weights, shape: Shape, training: Chips) -> tuple[keras.Model, keras.Model, NDArray[np.uint8]]:
    """Both halves ready for conversion, and the chips that calibrate them."""
    halves = {half: fold(half_of(weights, half)) for half in ("encoder", "decoder")}
    encoder, decoder = build_encoder(shape, folded=True), build_decoder(shape, folded=True)
    rows = np.random.default_rng(0).choice(len(training), min(CALIBRATION, len(training)), replace=False)
    sample = training.chips(rows)
    try:
        set_weights(encoder, halves["encoder"])
        lda.fold_into_encoder(halves["encoder"], weights)
        lda.fold_into_decoder(halves["decoder"], weights)
        scale = _appearance_scale(encoder, sample)
        for part in ("kernel", "bias"):
            halves["encoder"][f"appearance/{part}"] = halves["encoder"][f"appearance/{part}"] / scale
        grid = halves["decoder"]["grid/kernel"].copy()
        grid[shape.identity :] *= scale
        halves["decoder"]["grid/kernel"] = grid
        set_weights(encoder, halves["encoder"])
        set_weights(decoder, halves["decoder"])
    except (KeyError, ValueError) as error:
        raise ModelError(f"the weights do not fit the run's recipe: {error}") from None
    return encoder, decoder, sample


def _appearance_scale(encoder: keras.Model, sample: NDArray[np.uint8]) -> float:
    """What the appearance code is divided by (and the decoder's kernel multiplied) to spread as far as a unit identity code.

    Both enter the decoder as one int8 tensor, with one scale.
    """
    appearance = np.concatenate([encoder(chip[None].astype(np.float32))[1].numpy() for chip in sample])
    return float(np.quantile(np.abs(appearance), 0.999) * np.sqrt(encoder.output_shape[0][-1]) / 3.3)


def _float_codes(encoder: keras.Model, sample: NDArray[np.uint8]) -> NDArray[np.float32]:
    codes = []
    for chip in sample:
        identity, appearance = (code.numpy()[0] for code in encoder(chip[None].astype(np.float32)))
        codes.append(np.concatenate([identity / np.linalg.norm(identity), appearance]))
    return np.array(codes, np.float32)


def _measured(card: ModelCard, folder: Path, encoder: keras.Model, held_out: Chips, picture: Path) -> ModelCard:
    """The card with thresholds and figures from people whom the network never saw; ``picture`` shows some of them rebuilt."""
    embedder = Embedder(folder)
    both, people = held_out_views(held_out)
    chips = both[: len(held_out)]
    templates = np.stack([embedder.template(chip).vector for chip in both])
    embeddings = [embedder.embed(chip) for chip in both]
    probes = np.stack([embedding.vector for embedding in embeddings])
    norms = np.array([embedding.norm for embedding in embeddings])
    min_norm = round(float(np.quantile(norms[: len(chips)], POOR_SHARE)), 2)
    agreement = _agreement(encoder, chips[:SHOWN], probes)
    error = _reconstruction(embedder, chips[:SHOWN], picture)
    matched, _ = compare(templates[: len(chips)], probes[: len(chips)], held_out.people)
    _, unmatched = compare(templates, probes, people, norms >= min_norm)  # as on the device, where poorer views do not count
    usable = thresholds(unmatched)
    return msgspec.structs.replace(
        card,
        thresholds=usable,
        sameness=Sameness(*(round(value, 4) for value in fit_calibration(matched, unmatched))),
        min_norm=min_norm,
        calibration={
            "data": "held-out people of the training data, aligned and with shaken landmarks; no probes under min_norm",
            "people": len(set(held_out.people)),
            "chips": len(both),
            "unmatched_comparisons": len(unmatched),
        },
        metrics={
            "validation": {f"tar_{t.far:g}": round(tar_at_far(matched, unmatched, t.far), 4) for t in usable},
            "int8_against_float_cosine": agreement,
            "reconstruction_mse": error,
        },
    )


def held_out_views(held_out: Chips) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """The chips of held-out people as they are, then with shaken landmarks; and whose they are.

    Landmarks are less exact on a device than on portraits, and four times the comparisons steady the low rates.
    """
    rows, random = np.arange(len(held_out)), np.random.default_rng(0)
    shaken = np.stack([shake(crop, LANDMARK_ERROR, random) for crop in held_out.crops(rows)])
    return np.concatenate([held_out.chips(rows), shaken]), np.tile(held_out.people, 2)


def thresholds(unmatched: Floats) -> list[Threshold]:
    """The thresholds at the rates for which there are enough comparisons of different people.

    Raises:
        ModelError: there are too few for two.
    """
    usable = [far for far in FARS if far * len(unmatched) >= 10]
    if len(usable) < 2:
        raise ModelError(f"{len(unmatched)} comparisons of held-out people are too few to set thresholds on")
    return [Threshold(far, round(threshold_at_far(unmatched, far), 4)) for far in usable]


def _agreement(encoder: keras.Model, chips: NDArray[np.uint8], probes: NDArray[np.float32]) -> dict[str, float]:
    """The cosines between the float encoder's codes of these chips and the int8 encoder's, the first of ``probes``.

    Raises:
        ModelError: they are too low.
    """
    floats = np.stack([encoder(chip[None].astype(np.float32))[0].numpy()[0] for chip in chips])
    cosines = np.sum(probes[: len(floats)] * floats, axis=1) / np.linalg.norm(floats, axis=1)
    if cosines.mean() < MIN_COSINE:
        raise ModelError(
            f"int8 and float disagree: mean cosine {cosines.mean():.3f} on {len(cosines)} chips, {MIN_COSINE} is needed"
        )
    figures = {"mean": cosines.mean(), "p01": np.quantile(cosines, 0.01), "min": cosines.min()}
    return {name: round(float(value), 4) for name, value in figures.items()} | {"chips": len(cosines)}


def _reconstruction(embedder: Embedder, chips: NDArray[np.uint8], picture: Path) -> float:
    """The mean squared error of rebuilt chips; ``picture`` shows some of them over the rebuilt ones."""
    rebuilt = np.stack([embedder.rebuild(chip) for chip in chips])
    small = np.stack([cv2.resize(chip, rebuilt.shape[1:3], interpolation=cv2.INTER_AREA) for chip in chips])
    save_image(
        picture,
        contact_sheet([("Held-out faces", _tiles(small)), ("As the int8 decoder rebuilds them", _tiles(rebuilt))], (112, 112)),
    )
    return round(float(np.mean(np.square((rebuilt.astype(float) - small) / 255.0))), 5)


def _tiles(faces: NDArray[np.uint8]) -> list[tuple[str, Image]]:
    return [("", face) for face in faces[:100:10]]


def _network(path: Path) -> NetworkFile:
    data = path.read_bytes()
    return NetworkFile(path.name, hashlib.sha256(data).hexdigest(), len(data))


def _recipe(run: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((run / "recipe.json").read_text()))
    except (OSError, ValueError) as error:
        raise ModelError(f"{run}: holds no run of fit: {error}") from None


def _progress(run: Path) -> dict[str, Any]:
    """How far the run had come, from the last line of its history."""
    lines = history(run)
    if not lines:
        raise ModelError(f"{run}: has no history of fit")
    return {"faces_presented": lines[-1]["faces"]}


def commit() -> str:
    """The git commit of the training code, with a + where the tree was changed, or "unknown" outside a repository."""
    here = Path(__file__).parent.parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "*.py"], cwd=here, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")
