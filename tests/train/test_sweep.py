"""The road from the article's autoencoder, with real photos and every experiment, each as small as it can be."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tensorflow", reason="needs edgeface[train]")

from fixtures.optional import needed

from edgeface.errors import DataError
from edgeface.types import Image
from train import prepare
from train.augment import MARGIN
from train.compare.plots import demo_chips
from train.evaluation.pairs import NO_FACE, read_pairs
from train.experiments import dense_baseline, encoders, report, report_plots, sweep, sweep_results
from train.experiments.pair_benchmark import open_benchmark
from train.model import Shape

ROOT = Path(__file__).parent.parent.parent
PHOTOS = ROOT / "edgeface/demo/photos"
PEOPLE = {
    "Obama": ("obama_portrait", "obama_press_room", "obama_congress"),
    "Biden": ("biden_portrait", "biden_blue_room"),
    "Collins": ("collins_portrait",),
}
TINY = sweep.Budget(
    epochs=2,
    folds=2,
    hidden=(2, 4),
    overfit_faces=8,
    overfit_hidden=8,
    overfit_epochs=3,
    overfit_batch=4,
    sides=(48,),
    timings=3,
    faces=128,
    fit_faces=32,
    fit_batch=16,
)


@pytest.fixture(scope="module")
def faces() -> Image:
    """48 copies of the demo's faces, no two alike, (48, 112, 112, 3)."""
    chips = np.tile(demo_chips(), (8, 1, 1, 1))
    noise = np.random.default_rng(0).normal(0, 12, chips.shape)
    shades = np.linspace(0.6, 1.1, len(chips))[:, None, None, None]
    return np.asarray(np.clip(chips * shades + noise, 0, 255), np.uint8)


@pytest.fixture(scope="module")
def fer(faces: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fer") / "fer.npz"
    small = sweep.shrink(faces)[..., 0]
    np.savez(path, x_train=small[:24], x_validation=small[24:36], x_test=small[36:])
    return path


@pytest.fixture(scope="module")
def prepared(faces: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people with four chips each, three of them held out, with targets at random."""
    folder = tmp_path_factory.mktemp("prepared")
    names = [f"people/p{i}" for i in range(200)]
    people = [name for name in names if not prepare.is_validation(name)][:9]
    people += [name for name in names if prepare.is_validation(name)][:3]
    positions = np.random.default_rng(0).normal(0, 0.08, (len(faces), 2, 49, 128)).astype(np.float16)
    edge = MARGIN
    np.save(folder / "shard-00000.crops.npy", np.pad(faces, ((0, 0), (edge, edge), (edge, edge), (0, 0))))
    np.save(folder / "shard-00000.positions.npy", positions)
    (folder / "shard-00000.json").write_text(json.dumps({"kept": [[f"{i}.jpg", people[i % 12]] for i in range(len(faces))]}))
    (folder / "manifest.json").write_text(json.dumps({"sources": ["people"], "chips": len(faces)}))
    return folder


@pytest.fixture(scope="module")
def lfw(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Photos and pairs in LFW's layout; in the last photo is nobody."""
    folder = tmp_path_factory.mktemp("lfw")
    for name, photos in PEOPLE.items():
        (folder / name).mkdir()
        for number, photo in enumerate(photos, 1):
            shutil.copy(PHOTOS / f"{photo}.jpg", folder / name / f"{name}_{number:04}.jpg")
    cv2.imwrite(str(folder / "Collins/Collins_0002.png"), np.full((100, 100, 3), 90, np.uint8))
    pairs = folder / "pairs.txt"
    pairs.write_text(
        "2\t2\nObama\t1\t2\nBiden\t1\t2\nObama\t1\tBiden\t1\nObama\t2\tCollins\t1\n"
        "Obama\t1\t3\nObama\t2\t3\nObama\t3\tBiden\t2\nBiden\t1\tCollins\t2\n"
    )
    return folder, pairs


@pytest.fixture(scope="module")
def go(fer: Path, prepared: Path, lfw: tuple[Path, Path]) -> Iterator[Callable[..., None]]:
    """Runs the whole sweep into a folder."""

    def run(out: Path, budget: sweep.Budget = TINY) -> None:
        sweep.Sweep(fer, [prepared], *lfw, out, budget).run()

    with pytest.MonkeyPatch.context() as patch:
        # The other parts of the loss take the same way, and each takes as long.
        parts = sweep.PARTS[:2]
        for module in (sweep, sweep_results, report):
            patch.setattr(module, "PARTS", parts)
        for module in (sweep, report):
            patch.setattr(module, "SHAPE", Shape((8, 8, 16, 16), (0, 0, 0, 0), 16, 4, 8, (8, 8, 8, 8), 128))
        yield run


@pytest.fixture(scope="module")
def finished(go: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sweep")
    go(out)
    return out


@pytest.mark.slow
def test_the_page_has_every_figure_and_every_picture(finished: Path, tmp_path: Path) -> None:
    page = report.report(finished, tmp_path / "docs")
    text = page.read_text()
    links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(links) == len(report_plots.PLOTS) + len(report_plots.SHEETS)
    for link in links:
        picture = cv2.imread(str(page.parent / link))
        assert picture is not None
        assert picture.std() > 5
    assert not re.search(r"\bnan\b|\binf\b|[{}]", text)
    for row in (*sweep_results.ROWS.values(), *(sweep_results.PART_NAMES[part] for part in sweep.PARTS), *dense_baseline.CURES):
        assert f"\n| {row} |" in text
    errors = {size: np.mean(json.loads((finished / f"grid-{size}.json").read_text())["mse"]) for size in TINY.hidden}
    assert f"| held-out MSE | {min(errors, key=lambda size: errors[size])} |" in text
    accuracy = json.loads((finished / "shipped.json").read_text())["accuracy"]
    assert f"| {100 * accuracy:.1f} ± " in text
    assert (finished / "article-faces.png").stat().st_size > 0


@pytest.mark.slow
def test_a_finished_experiment_is_kept_and_a_missing_one_done(finished: Path, go: Callable[..., None]) -> None:
    def written() -> dict[Any, Any]:
        return {path.name: path.stat().st_mtime_ns for path in finished.glob("*.json") if path.name != "verification.json"}

    before = written()
    (finished / "grid-2.json").unlink()
    shipped = finished / "shipped.json"
    shipped.write_text(shipped.read_text().replace("sha256:", "sha256:0"))  # another network ships by now
    go(finished)
    assert {name for name, time in written().items() if time != before[name]} == {"grid-2.json", "shipped.json"}


@pytest.mark.slow
def test_another_sweep_needs_another_folder(finished: Path, go: Callable[..., None]) -> None:
    with pytest.raises(DataError, match="begun with another budget; give another --out"):
        go(finished, sweep.Budget())


@pytest.mark.slow
def test_a_stopped_fit_is_not_taken_for_a_finished_one(
    finished: Path, go: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (finished / "loss-2.json").unlink()
    handler = signal.getsignal(signal.SIGINT)

    def stopped(_folders: object, run: Path, _recipe: object, **_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        (run / "history.jsonl").write_text('{"step": 1}\n')

    history = (finished / "loss-2/history.jsonl").read_text()
    monkeypatch.setattr(sweep, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        go(finished)
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (finished / "loss-2.json").exists()
    with pytest.raises(DataError, match=r"loss-2\.json: no result; run python -m train sweep"):
        report.report(finished, finished / "docs")
    monkeypatch.undo()
    (finished / "loss-2/history.jsonl").write_text(history)
    go(finished)
    assert (finished / "loss-2.json").exists()


def test_a_photo_without_a_face_never_matches(lfw: tuple[Path, Path], tmp_path: Path) -> None:
    images, file = lfw
    for _ in range(2):  # the second time from what the first kept
        trial = open_benchmark(images, read_pairs(file), tmp_path / "chips.npz")
        vectors = np.ones((len(trial.chips), 4), np.float32) / 2
        assert trial.scores(vectors, vectors).tolist() == [1.0] * 7 + [NO_FACE]
        assert trial.people.tolist()[:3] == [[2, 2], [0, 0], [2, 0]]
    # On the second fold all matched pairs are right, and of the others that without a face.
    assert trial.right_ones(trial.scores(vectors, vectors))[4:].tolist() == [True, True, False, True]


def test_the_articles_network_is_what_the_article_says(fer: Path) -> None:
    parts = dense_baseline.read_faces(fer)
    model, history = dense_baseline.train(parts["train"], parts["validation"], epochs=3)
    code, rebuilt = model.get_layer("code"), model.get_layer("rebuilt")
    assert (code.units, code.activation.__name__, rebuilt.units, rebuilt.activation.__name__) == (64, "relu", 2304, "sigmoid")
    assert model.count_params() == 2304 * 64 + 64 + 64 * 2304 + 2304
    assert (dense_baseline.EPOCHS, dense_baseline.BATCH, type(model.optimizer).__name__, model.loss) == (50, 256, "Adam", "mse")
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    assert len(history["loss"]) == len(history["val_loss"]) == 3
    assert history["loss"][-1] < history["loss"][0]
    assert dense_baseline.apply(dense_baseline.encoder(model), parts["test"]).shape == (len(parts["test"]), 64)


def test_each_face_is_held_out_once() -> None:
    pairs = list(dense_baseline.folds(23, 5))
    assert sorted(row for _, held_out in pairs for row in held_out) == list(range(23))
    assert all(sorted([*rows, *held_out]) == list(range(23)) for rows, held_out in pairs)


def test_cures_see_faces_of_the_same_kind_and_early_stop_stops(fer: Path) -> None:
    parts = dense_baseline.read_faces(fer)
    changed = dense_baseline.augment(parts["train"], np.random.default_rng(0))
    assert changed.shape == parts["train"].shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not np.array_equal(changed, parts["train"])
    # Validation on negatives: what is learnt of faces makes it worse from the start.
    curve = dense_baseline.overfit(parts["train"], 1 - parts["train"], dense_baseline.Cure(patience=2), 16, 40, 4)
    best = min(range(len(curve)), key=lambda at: curve[at][1])
    assert len(curve) == best + 3 < 40


def test_eigenfaces_rebuild_what_lies_among_them() -> None:
    random = np.random.default_rng(0)
    few = random.integers(0, 256, (3, 12, 12, 1)).astype(np.uint8)
    code = encoders.Eigenfaces(np.concatenate([few, few]), 2)
    assert np.abs(code.rebuild(few) * 255 - few).max() < 0.1
    assert code.codes(few).shape == (3, 2)
    assert np.abs(encoders.Eigenfaces(few, 1).rebuild(few) * 255 - few).max() > 10


@pytest.mark.slow
def test_each_part_of_the_loss_teaches_the_small_encoders_what_it_says(faces: Image) -> None:
    small = sweep.shrink(faces[:24])
    labels = np.arange(24, dtype=np.int32) % 6
    data = encoders.Training(small, labels, np.eye(6, 128, dtype=np.float32)[labels])
    variance = np.var(small / 255.0, axis=0).mean()
    for kind in (encoders.KINDS["dense"], encoders.KINDS["convolutional"]):
        rebuilt = needed(encoders.train(kind, data, 4_500).rebuild(small))
        assert np.mean(np.square(rebuilt - small / 255.0)) < 0.7 * variance
    for kind in (encoders.KINDS["classification"], encoders.Kind(relational=1.0)):
        codes = encoders.train(kind, data, 4_500).codes(small)
        codes /= np.linalg.norm(codes, axis=1, keepdims=True)
        same = labels[:, None] == labels[None]
        cosines = codes @ codes.T
        assert cosines[same].mean() > cosines[~same].mean() + 0.5


@pytest.mark.parametrize(
    "parts",
    [
        {"x_train": np.zeros((4, 48, 48), np.uint8)},
        {f"x_{part}": np.zeros((4, 32, 32), np.uint8) for part in ("train", "validation", "test")},
        {f"x_{part}": np.zeros((4, 48, 48), np.float32) for part in ("train", "validation", "test")},
        {f"x_{part}": np.array([{}, {}]) for part in ("train", "validation", "test")},
        None,
    ],
)
def test_another_npz_is_refused(parts: dict[str, NDArray[Any]] | dict[str, Image] | None, tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    if parts is None:
        path.write_bytes(b"no npz")
    else:
        np.savez(path, **parts)
    with pytest.raises(DataError, match=r"other\.npz: not FER2013 as npz: ") as caught:
        dense_baseline.read_faces(path)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "fer.npz").write_bytes(b"no npz")
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared/manifest.json").write_text("{}")
    command = [sys.executable, "-m", "train", "sweep", "fer.npz", "prepared", "--images", ".", "--pairs", "p", "--out", "out"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("train: fer.npz: not FER2013 as npz: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
