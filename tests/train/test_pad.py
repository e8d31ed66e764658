"""The liveness network's training on a handful of real photos: small, but every step is the real one."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs edgeface[train]")

import onnx
from onnx import TensorProto, helper
from typer.testing import CliRunner

from edgeface.errors import DataError, ModelError
from edgeface.types import Box, PassiveScore
from edgeface.vision.images import load_image
from edgeface.vision.passive_liveness import CLASSES, CROPS, SIDE, PassiveLiveness
from train.__main__ import app
from train.pad import clips, data, fit, recapture, teachers
from train.pad.prepare import Sources, attack_class, prepare
from train.quiet import LEVEL

STEPS = 2
SMALL = fit.PadConfig(views=64, batch=16, steps_an_epoch=STEPS, simulated=0.3)


def network(path: Path) -> None:
    """Write a network with a teacher's inputs and outputs, whose features are the mean colour."""
    colours = np.zeros((3, teachers.FEATURES), np.float32)
    colours[:, :3] = np.eye(3)
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "colours"], [teachers.LAST_BUT_ONE]),
        helper.make_node("MatMul", [teachers.LAST_BUT_ONE, "last"], ["y"]),
    ]
    weights = {"colours": colours, "last": np.zeros((teachers.FEATURES, 3), np.float32)}
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, teachers.SIDE, teachers.SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory, demo_photos: Path) -> Path:
    """Clips in the layout and with the names of Replay-Attack, photos, scenes and teachers."""
    root = tmp_path_factory.mktemp("sets")
    scene = load_image(demo_photos / "biden_blue_room.jpg")
    for number, photo in enumerate(sorted(demo_photos.glob("*.jpg"))[:4]):
        image = cv2.resize(load_image(photo), (320, 400))
        for kind, folder, name in (
            (None, "live", f"client{number:03}_webcam_authenticate_controlled_1"),
            ("screen", "attack", f"fixed__attack_highdef_client{number:03}_highdef_video_adverse"),
            ("print", "attack", f"hand__attack_print_client{number:03}_highdef_photo_controlled"),
        ):
            random = np.random.default_rng(number)
            frame = recapture.recapture(np.asarray(image), kind, (400, 300), [scene], random) if kind else image
            path = root / "clips" / folder / name / "00001.png"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), frame[..., ::-1])
    (root / "teachers").mkdir()
    for name in teachers.TEACHERS:
        network(root / "teachers" / name)
    (root / "scenes").mkdir()
    cv2.imwrite(str(root / "scenes" / "room.webp"), cv2.resize(scene, (320, 240)))
    return root


@pytest.fixture(scope="module")
def prepared(sets: Path, demo_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    sources = Sources(sets / "clips", [demo_photos], [sets / "scenes"], sets / "teachers")
    manifest = prepare(sources, out, 4, 3, 1)
    assert manifest["views"]["frames"]["live"] == 4
    assert 1 <= manifest["views"]["frames"]["screen"] <= 4
    assert manifest["views"]["photos"]["live"] == 4
    assert sum(manifest["views"]["recaptured frames"].values()) > 4
    return out


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    figures = fit.fit(prepared, out, SMALL)
    assert {"loss", "logits_loss", "taught_loss"} <= set(figures)
    return out


def test_the_whole_road_from_clips_to_figures(
    sets: Path, prepared: Path, run: Path, demo_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEVEL, "3")  # or the command would take standard error from this process
    words = ["pad", "export", str(prepared), "--run", str(run), "--development", str(sets / "clips"), "--out", str(tmp_path)]
    told = CliRunner().invoke(app, [*words, "--photos", str(demo_photos)])
    assert told.exit_code == 0, told.output
    network = PassiveLiveness(tmp_path)
    assert network.card.network.bytes < 600_000
    assert network.card.training["multiply_adds"] < 50_000_000
    assert network.attack_at <= network.live_at
    assert set(network.card.metrics["development"]) == set(CLASSES)
    assert "Replay-Attack" in network.card.licence
    words = ["pad", "evaluate", "--development", str(sets / "clips"), "--test", str(sets / "clips"), "--model", str(tmp_path)]
    told = CliRunner().invoke(app, [*words, "--teachers", str(sets / "teachers"), "--json"])
    assert told.exit_code == 0, told.output
    answer = json.loads(told.stdout)
    assert {"edgeface", "edgeface at its card's thresholds", *teachers.TEACHERS} == set(answer["clips"])
    # The teachers made for this test give every face the same score, so that every attack passes with every live face.
    assert answer["clips"]["minifasnet_v2.onnx"]["APCER by kind"]["print"]["share"] == 1.0
    assert answer["clips"]["minifasnet_v2.onnx"]["BPCER"]["live"]["share"] == 0.0


def test_visits_name_live_people_and_with_refuse_no_picture_of_them(
    demo_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEVEL, "3")
    scene = load_image(demo_photos / "collins_portrait.jpg")
    shown = load_image(demo_photos / "obama_press_room.jpg")
    frames = {
        "live/client001_session01_webcam_authenticate_controlled_1": load_image(demo_photos / "obama_portrait.jpg"),
        "live/client001_session01_webcam_authenticate_adverse_1": shown,
        "attack/fixed__attack_mobile_client001_photo_controlled": recapture.recapture(
            shown, "screen", (640, 480), [scene], np.random.default_rng(1)
        ),
    }
    for name, frame in frames.items():
        path = tmp_path / name / "00001.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), frame[..., ::-1])
    told = CliRunner().invoke(app, ["pad", "visits", str(tmp_path), "--json"])
    assert told.exit_code == 0, told.output
    table = json.loads(told.stdout)
    assert [table["live"][mode]["share"] for mode in ("off", "refuse")] == [1.0, 1.0]
    assert [table["screen"][mode]["share"] for mode in ("off", "refuse")] == [1.0, 0.0]
    assert table["live"]["later"] < 1
    next(tmp_path.glob("attack/*/00001.png")).unlink()
    next(tmp_path.glob("live/*controlled_1/00001.png")).unlink()
    alone = CliRunner().invoke(app, ["pad", "visits", str(tmp_path)])
    assert alone.exit_code != 0
    assert "nobody of its clips can be enrolled" in str(alone.exception or alone.output)


def test_a_run_that_is_done_is_not_trained_again(prepared: Path, run: Path, tmp_path: Path) -> None:
    again = tmp_path / "run"
    shutil.copytree(run, again)
    lines = (again / "history.csv").read_text().splitlines()
    assert len(lines) == 1 + SMALL.epochs
    with pytest.raises(ModelError, match="begun with another simulated"):
        fit.fit(prepared, again, fit.PadConfig(views=64, batch=16, steps_an_epoch=STEPS, simulated=0.0))
    (again / "recipe.json").write_text("{")
    with pytest.raises(ModelError, match="cannot go on"):
        fit.fit(prepared, again, SMALL)


def test_finished_shards_are_kept(sets: Path, prepared: Path, demo_photos: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in prepared.glob("shard-*")}
    prepare(Sources(sets / "clips", [demo_photos], [sets / "scenes"], sets / "teachers"), prepared, 4, 3, 1)
    assert {path: path.stat().st_mtime_ns for path in prepared.glob("shard-*")} == before


def test_simulation_can_be_left_out(prepared: Path) -> None:
    views = data.load_views(prepared)
    assert np.abs(views.features.mean(axis=0)).max() < 0.01
    simulated = views.origins >= 2
    assert simulated.any()
    for share, some in ((0.0, False), (0.5, True)):
        batches = data.Batches(views, 64, 1, share, 1)
        pixels, wanted = batches[0]
        assert pixels.shape == (64, SIDE, SIDE, 3 * len(CROPS))
        drawn = {tuple(row) for row in wanted["taught"]}
        assert bool(drawn & {tuple(row) for row in views.features[simulated]}) == some


@pytest.mark.parametrize("kind", ["screen", "print"])
def test_an_attack_keeps_the_face_and_changes_the_picture(kind: str, demo_photos: Path) -> None:
    photo = np.full((120, 160, 3), 128, np.uint8)
    frames = [recapture.recapture(photo, kind, (320, 240), [photo], np.random.default_rng(seed)) for seed in range(8)]
    assert all(frame.shape == (240, 320, 3) for frame in frames)
    assert all(frame.std() > 1 for frame in frames)  # of an even grey: dots, pixels, an edge, glare
    assert len({frame.tobytes() for frame in frames}) == len(frames)


def test_a_teacher_sees_what_its_authors_cut_out() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[:, :150] = 255
    middle = teachers.around(image, Box(140, 90, 20, 20), 2.7)
    assert middle.shape == (80, 80, 3)
    assert 0.4 < (middle > 127).mean() < 0.6
    assert (teachers.around(image, Box(0, 0, 20, 20), 2.7) == 255).all()  # moved into the frame, not filled
    assert (teachers.around(image, Box(-10, -10, 900, 900), 4.0) >= 0).all()


def test_what_is_missing_is_said(tmp_path: Path, sets: Path) -> None:
    with pytest.raises(DataError, match="run python -m train pad prepare first"):
        fit.fit(tmp_path, tmp_path / "run", SMALL)
    with pytest.raises(DataError, match="no clips with faces"):
        clips.score_clips(tmp_path, lambda *_: PassiveScore(1.0, 0.0, 0.0))
    with pytest.raises(ModelError, match=r"minifasnet_v2\.onnx"):
        teachers.Teachers(tmp_path)
    with pytest.raises(DataError, match="fewer than an epoch"):
        fit.fit(tmp_path, tmp_path, fit.PadConfig(views=1))


def test_errors_are_counted_by_person() -> None:
    def clip(person: str, live: float) -> Any:
        score = PassiveScore(live, 1 - live, 0.0)
        return clips.Clip(person, "live", "live", "person", "person", "adverse", score)

    some = [clip("a", 0.9), clip("a", 0.8), clip("b", 0.1), clip("b", 0.2)]
    found = clips.share(some, lambda each: each.score.live > 0.5)
    assert (found.share, found.low, found.high, found.clips) == (0.5, 0.0, 1.0, 4)
    assert attack_class("test__attack__hand__attack_print_client009_highdef_photo") == "print"
    assert attack_class("test__attack__hand__attack_mobile_client009_mobile_photo") == "screen"
