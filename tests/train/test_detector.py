"""The detector's training on a handful of real photos: small, but every step is the real one."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs edgeface[train]")

from typing import Any

from fixtures.optional import needed
from fixtures.own_detector import CONFIG, SMALL, prepared_from

from edgeface.detectors.anchor_free import CARD, LOGIT, NUMBERS, STRIDES, AnchorFree, rows_of
from edgeface.detectors.yunet import YuNet
from edgeface.errors import DataError, ModelError
from edgeface.vision.model_card import SHIPPED
from train.checkpoints import history
from train.detector import data, losses
from train.detector.compose import MOST, compose
from train.detector.config import DetectorConfig
from train.detector.evaluate import evaluate
from train.detector.export import export
from train.detector.fit import fit
from train.detector.hits import look_for, threshold
from train.detector.model import build
from train.detector.patterns import pattern
from train.detector.pictures import UNKNOWN, Pictures, labelled, without_faces, write_shard
from train.detector.prepare import Amounts, Sources, prepare

ROOT = Path(__file__).parent.parent.parent


def faces_of(picture: Any) -> Any:
    return zip(picture.boxes, picture.landmarks, strict=True)


def test_prepare_keeps_an_event_and_a_third_of_the_scenes_from_training(detector_sets: Any, detector_prepared: Any) -> None:
    manifest = json.loads((detector_prepared / "manifest.json").read_text())
    assert manifest["development"] == {"pictures": 2 + 2, "faces": 2}
    # Four photos, four scenes, what YuNet agrees upon in two frames, six composites and three patterns.
    assert 4 + 4 + 6 + 3 <= manifest["training"]["pictures"] <= 4 + 4 + 2 + 6 + 3
    assert 1 <= manifest["portraits"]["faces"] <= 4
    for picture in Pictures(detector_prepared / "development"):
        assert all(0.2 < quality < 2 for quality in picture.qualities)


def test_prepare_goes_on_where_it_was(detector_sets: Any, detector_prepared: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in detector_prepared.rglob("shard-*")}
    prepared_from(detector_sets, detector_prepared)
    assert {path: path.stat().st_mtime_ns for path in detector_prepared.rglob("shard-*")} == before


def test_prepare_does_not_mix_two_preparations(detector_sets: Any, detector_prepared: Any) -> None:
    people = detector_sets / "people"
    with pytest.raises(DataError, match="was begun with"):
        prepare(Sources(detector_sets / "wider", detector_sets / "scenes", [people]), detector_prepared, Amounts(4, 6, 0))


def test_prepare_says_what_is_missing(detector_sets: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.json"):
        prepare(
            Sources(detector_sets / "people", detector_sets / "scenes", [detector_sets / "people"]), tmp_path, Amounts(1, 1, 0)
        )
    with pytest.raises(DataError, match="run python -m train detector prepare first"):
        Pictures(tmp_path)


def test_faces_of_a_composite_are_where_its_labels_say(detector_prepared: Any) -> None:
    """A detector of somebody else's finds the large ones, upright enough for it, at the places that are known."""
    portraits = Pictures(detector_prepared / "portraits")
    scenes = [picture.image for picture in Pictures(detector_prepared / "training") if not len(picture.boxes)]
    found = []
    for number in range(12):
        picture = compose(portraits, scenes, np.random.default_rng(number))
        assert picture.image.shape in {(480, 640, 3), (640, 480, 3)}
        assert len(picture.boxes) <= MOST
        seen = [face.landmarks for face in YuNet().detect(picture.image)]
        for box, points in faces_of(picture):
            if seen and box[3] > 60:
                found.append(min(np.abs(other - points).max() for other in seen) / box[3])
    assert len(found) >= 5
    assert np.mean(np.array(found) < 0.1) > 0.5


def test_patterns_are_alike_for_one_seed_and_show_no_face_to_yunet() -> None:
    drawn = [pattern(np.random.default_rng(number)) for number in range(14)]
    assert np.array_equal(drawn[3], pattern(np.random.default_rng(3)))
    assert len({image.tobytes() for image in drawn}) == len(drawn)
    assert all(image.std() > 1 for image in drawn)
    assert not any(YuNet().detect(image) for image in drawn)


def test_pictures_are_read_as_they_were_written(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    write_shard(tmp_path, 0, [without_faces(image[:20]), labelled(image, [[1, 2, 3, 4]], [np.arange(10)], [0.5])])
    write_shard(tmp_path, 1, [])
    empty, face = Pictures(tmp_path)
    assert np.array_equal(empty.image, image[:20])
    assert len(empty.boxes) == 0
    assert np.array_equal(face.image, image)
    assert face.boxes.tolist() == [[1, 2, 3, 4]]
    assert face.landmarks.ravel().tolist() == list(range(10))
    (tmp_path / "shard-00000.npy").unlink()
    with pytest.raises(DataError, match="damaged"):
        Pictures(tmp_path)


def marked(width: Any, height: Any, points: Any) -> Any:
    """A black picture with a white square about each landmark."""
    image = np.zeros((height, width, 3), np.uint8)
    for x, y in points:
        image[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4] = 255
    return image


def test_a_view_moves_landmarks_with_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_degraded", lambda image, _: image)
    points = np.array([[100, 80], [160, 80], [130, 110], [105, 150], [155, 150]], np.float32)
    picture = labelled(marked(400, 300, points), [[80, 50, 100, 130]], [points], [1.0])
    seen = 0
    for number in range(40):
        view = data.view(picture, data.Size(320, 256), np.random.default_rng(number))
        assert view.image.shape == (256, 320, 3)
        for box, landmarks in faces_of(view):
            if landmarks.min() >= 0 and (landmarks < (320, 256)).all():
                seen += 1
                assert all(view.image[int(y + 0.5), int(x + 0.5)].max() > 100 for x, y in landmarks)
                right_eye, left_eye, nose, *mouth = landmarks
                assert right_eye[0] < left_eye[0]
                assert right_eye[1] < nose[1] < mouth[0][1]
                assert (box[:2] < landmarks.min(axis=0)).all()
                assert (box[:2] + box[2:] > landmarks.max(axis=0)).all()
    assert seen > 10


def test_a_face_that_is_cut_off_is_made_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_degraded", lambda image, _: image)
    picture = labelled(
        np.zeros((256, 320, 3), np.uint8), [[-80, 50, 100, 100], [200, 50, 50, 60]], list(np.zeros((2, 5, 2))), [1, 1]
    )
    (image, *_), truth = data.batch([picture], data.Size(320, 256), None)
    assert truth.boxes.tolist() == [[225, 80, 50, 60]]
    assert image.reshape(256, 320, 3)[100, 10].tolist() == [128] * 3
    assert image.reshape(256, 320, 3)[100, 100].tolist() == [0] * 3


def test_batches_resume_where_they_were(detector_prepared: Any) -> None:
    pictures = Pictures(detector_prepared / "training")
    steady = data.batches(pictures, 4, 0, 7)
    batches = [next(steady) for _ in range(3)]
    images, truth = next(data.batches(pictures, 4, 2, 7))
    assert np.array_equal(images, batches[2][0])
    assert all(np.array_equal(*each) for each in zip(truth, batches[2][1], strict=True))
    assert not np.array_equal(batches[0][0], batches[1][0])


FACE = np.array([100.0, 90.0, 40.0, 50.0], np.float32)
POINTS = np.array([90, 80, 110, 80, 100, 90, 92, 105, 108, 105], np.float32)


def told(truth_box: Any, truth_points: Any, shift: Any = 0.0) -> Any:
    """What a network gives that knows a face, for 128 x 160 pixels: at every cell the same box, and the score of none."""
    cells = losses.cells_of(tf.constant(128), tf.constant(160))
    rows = np.zeros((len(cells.strides), NUMBERS), np.float32)
    stride = cells.strides.numpy()[:, None]
    rows[:, 0] = -2.0 - 1e-3 * np.arange(len(rows))  # no two cells cost the same
    rows[:, 2:4] = (truth_box[:2] + shift - cells.middles.numpy()) / stride
    rows[:, 4:6] = np.log(truth_box[2:] / stride)
    rows[:, 6:] = (truth_points - np.tile(cells.middles.numpy(), 5)) / stride
    grids, at = [], 0
    for each in STRIDES:
        height, width = 128 // each, 160 // each
        grids.append(rows[at : at + height * width].reshape(1, height, width, NUMBERS))
        at += height * width
    return grids, cells


def truth_of(box: Any, points: Any, quality: Any = UNKNOWN) -> Any:
    numbers = (np.zeros(1, np.int32), box[None], points[None], np.array([quality], np.float32))
    return losses.Truth(*map(tf.constant, numbers))


def test_a_face_gets_cells_in_its_middle_on_grids_for_its_size() -> None:
    grids, cells = told(FACE, POINTS)
    found = losses.found_in(list(map(tf.constant, grids)), cells)
    face, counts = losses.assign(found, truth_of(FACE, POINTS), cells)
    mine = face.numpy()[0] >= 0
    assert 1 <= mine.sum() <= losses.CANDIDATES
    assert counts.numpy().all()
    middles, strides = cells.middles.numpy()[mine], cells.strides.numpy()[mine]
    assert (np.abs(middles - FACE[:2]).max(axis=1) < losses.REACH * strides).all()
    assert set(strides) <= {8.0, 16.0}


def test_what_is_too_small_to_be_learnt_is_no_background_either() -> None:
    tiny = np.array([100, 90, 6, 6], np.float32)
    grids, cells = told(FACE, POINTS)
    found = losses.found_in(list(map(tf.constant, grids)), cells)
    face, counts = losses.assign(found, truth_of(tiny, POINTS), cells)
    assert (face.numpy() < 0).all()
    ignored = ~counts.numpy()[0]
    assert (np.abs(cells.middles.numpy()[ignored] - tiny[:2]) < 3).all()


def test_the_loss_of_who_knows_is_none_and_grows_with_the_error() -> None:
    truth = truth_of(FACE, POINTS, quality=0.0)
    by_shift = []
    for shift in (0.0, 4.0, 8.0):
        grids, cells = told(FACE, POINTS + shift, shift)
        by_shift.append({name: float(part) for name, part in losses.parts(list(map(tf.constant, grids)), truth, cells).items()})
    assert all(by_shift[0][name] < 1e-3 for name in ("box", "landmarks", "quality"))
    for name in ("box", "landmarks"):
        assert by_shift[0][name] < by_shift[1][name] < by_shift[2][name]


def test_faces_of_one_picture_take_no_cells_of_anothers() -> None:
    grids, cells = told(FACE, POINTS)
    both = [tf.constant(np.repeat(grid, 2, axis=0)) for grid in grids]
    truth = losses.Truth(*(tf.repeat(each, 2, axis=0) for each in truth_of(FACE, POINTS)))
    apart = truth._replace(pictures=tf.constant([1, 1], tf.int32))
    face, _ = losses.assign(losses.found_in(both, cells), apart, cells)
    assert (face.numpy()[0] < 0).all()
    assert (face.numpy()[1] >= 0).any()


def test_a_picture_without_faces_can_be_learnt_from() -> None:
    grids, cells = told(FACE, POINTS)
    nobody = losses.Truth(*(each[:0] for each in truth_of(FACE, POINTS)))
    parts = losses.parts(list(map(tf.constant, grids)), nobody, cells)
    assert float(parts["score"]) > 0
    assert float(parts["box"]) == float(parts["landmarks"]) == float(parts["quality"]) == 0


def test_device_and_training_decode_alike() -> None:
    random = np.random.default_rng(0)
    grids = [random.normal(0, 0.5, (1, 128 // stride, 160 // stride, NUMBERS)).astype(np.float32) for stride in STRIDES]
    cells = losses.cells_of(tf.constant(128), tf.constant(160))
    found = losses.found_in(list(map(tf.constant, grids)), cells)
    rows = np.concatenate(
        [
            rows_of(grid[0].reshape(-1, NUMBERS), np.arange(grid[0].size // NUMBERS), 160 // stride, stride)
            for grid, stride in zip(grids, STRIDES, strict=True)
        ]
    )
    boxes = found.boxes.numpy()[0]
    assert rows[:, :2] + rows[:, 2:4] / 2 == pytest.approx(boxes[:, :2], abs=1e-3)
    assert rows[:, 2:4] == pytest.approx(boxes[:, 2:], rel=1e-4)
    assert rows[:, 4:14] == pytest.approx(found.landmarks.numpy()[0], abs=1e-3)
    assert rows[:, 14] == pytest.approx(tf.sigmoid(found.scores).numpy()[0], abs=1e-5)
    assert np.allclose(found.scores.numpy()[0], LOGIT * np.concatenate([grid[0].reshape(-1, NUMBERS)[:, 0] for grid in grids]))


@pytest.mark.slow
def test_the_folded_network_gives_what_the_trained_one_gives(detector_run: Any) -> None:
    from train.checkpoints import load_weights
    from train.model import fold, set_weights

    weights = load_weights(detector_run / "weights.npz")
    trained, folded = build(SMALL), build(SMALL, (96, 64), folded=True)
    set_weights(trained, weights)
    set_weights(folded, fold(weights))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 24, 12)).astype(np.float32)
    for one, other in zip(trained(pixels, training=False), folded(pixels), strict=True):
        assert np.asarray(other) == pytest.approx(np.asarray(one), abs=2e-3)


@pytest.mark.slow
def test_fit_learns_and_goes_on_where_it_was(detector_run: Any, detector_prepared: Any, tmp_path: Path) -> None:
    lines = history(detector_run)
    assert lines[-1]["step"] == CONFIG.steps
    losses_seen = {name for name in lines[-1] if name.startswith("development_")}
    assert losses_seen == {"development_score", "development_box", "development_landmarks", "development_quality"}
    recipe = json.loads((detector_run / "recipe.json").read_text())
    assert (recipe["shape"]["widths"], recipe["batch"]) == (list(SMALL.widths), 4)
    again = fit(detector_prepared, detector_run, CONFIG, shape=SMALL)
    assert again == lines[-1]
    with pytest.raises(ModelError, match="was begun with seed"):
        fit(detector_prepared, detector_run, DetectorConfig(**asdict(CONFIG) | {"seed": 2}), shape=SMALL)
    with pytest.raises(ModelError, match="another network"):
        fit(detector_prepared, tmp_path, CONFIG, start=detector_run / "weights.npz")


@pytest.mark.slow
def test_a_face_is_learnt_by_heart(detector_prepared: Any) -> None:
    """The parts of the loss fall on one batch that is shown again and again."""
    from train.detector.fit import Trainee

    tf.keras.utils.set_random_seed(0)
    trainee = Trainee(SMALL, CONFIG)
    images, truth = next(data.batches(Pictures(detector_prepared / "training"), 4, 0, 1))
    batch = tf.constant(images), losses.Truth(*map(tf.constant, truth)), tf.constant(0.9)
    first = {name: float(part) for name, part in trainee.step(*batch).items()}
    trainee.optimizer.learning_rate.assign(1e-2)
    for _ in range(60):
        last = {name: float(part) for name, part in trainee.step(*batch).items()}
    assert last["score"] < 0.7 * first["score"]
    assert last["box"] < 0.7 * first["box"]
    assert last["landmarks"] < 0.7 * first["landmarks"]


@pytest.mark.slow
def test_export_writes_a_detector_and_a_card_that_vouches_for_it(own_detector: Any, detector_prepared: Any) -> None:
    card = AnchorFree(own_detector).card
    assert card.network.bytes == (own_detector / card.network.file).stat().st_size < 400_000
    assert 0.1 <= card.min_score <= 1
    assert card.metrics["int8_against_float_cosine"] > 0.98
    assert card.training["pictures_presented"] == CONFIG.pictures
    assert card.training["shape"]["widths"] == list(SMALL.widths)
    assert "WIDER" not in card.licence  # the photos' folder has another name
    with pytest.raises(ModelError, match="holds no run"):
        export(own_detector, detector_prepared, own_detector)


@pytest.mark.slow
def test_evaluate_measures_detectors_side_by_side(
    own_detector: Any, detector_prepared: Any, detector_sets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.detector.evaluate.is_validation", bool)
    found = evaluate(own_detector, detector_prepared, detector_sets / "people", 6)
    assert list(found) == ["yunet", "yunet_refined", "ours", "conditions"]
    for name in ("yunet", "yunet_refined"):
        assert found[name]["recall_16_and_up"] == 1.0  # its own labels
        assert found[name]["scenes_with_alarms_per_hundred"] == 0.0
    assert found["yunet"]["landmark_error_16_and_up"] < 0.02
    assert found["yunet_refined"]["degrees_left_of_15"] < 3
    assert found["ours"]["faces_16_and_up"] == 2
    assert "quality_correlation" in found["ours"]
    assert found["yunet"]["tar_at_0.01"] > 0.5


def test_a_box_beside_the_face_is_a_false_alarm(detector_prepared: Any) -> None:
    class Wrong:
        def detect(self, image: Any) -> Any:
            return [face.__class__(face.box.__class__(0, 0, 9, 9), face.landmarks, 0.8) for face in YuNet().detect(image)]

    pictures = [picture for picture in Pictures(detector_prepared / "development") if len(picture.boxes)]
    hits = look_for(Wrong(), pictures)
    assert (hits.scores == -1).all()
    assert (hits.alarms == 0.8).all()
    assert len(hits.alarms) == 2


def test_the_threshold_allows_one_false_alarm_in_ten_pictures() -> None:
    assert threshold(np.array([0.2, 0.9, 0.5, 0.4]), 20) == pytest.approx(0.4)
    assert threshold(np.array([0.2, 0.9, 0.5, 0.4]), 20) > 0.4
    assert threshold(np.array([0.9]), 20) == 0.1


@pytest.mark.slow
def test_the_command_saves_and_stops_when_asked_and_goes_on(detector_prepared: Any, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "train", "detector", "fit", detector_prepared, "--out", tmp_path / "run", "--pictures", "96"),
        *("--batch", "2", "--precision", "float32"),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        while "pictures to train on" not in (needed(process.stdout).readline() or "pictures to train on"):
            pass
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "the same command goes on" in errors
    done = history(tmp_path / "run")[-1]["step"]
    assert 1 <= done < 48
    subprocess.run(command, cwd=ROOT, check=True, timeout=600, env=os.environ)
    assert history(tmp_path / "run")[-1]["step"] == 48


def test_the_command_cuts_yunet_in_two(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "train", "detector", "yunet", "--out", tmp_path], cwd=ROOT, check=True, timeout=300)
    for half in ("yunet_stem.onnx", "yunet_heads.onnx"):
        assert (tmp_path / half).read_bytes() == (SHIPPED / half).read_bytes()


def test_a_folder_without_a_card_is_no_detector(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=CARD):
        AnchorFree(tmp_path)
