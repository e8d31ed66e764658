"""Fixtures that several test files share."""

import hashlib
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.commandline import Cli
from fixtures.disk import mounted
from hypothesis import settings

from edgeface.vision.model_card import SHIPPED, ModelCard, NetworkFile, Sameness, Threshold

# A shell's background job ignores SIGINT, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

DEMO = Path(__file__).parent.parent / "edgeface" / "demo" / "photos"
PHOTOS = Path(__file__).parent / "photos"

# The same examples on every run: a failure is then always news about the change, and slow machines do not fail.
settings.register_profile("edgeface", deadline=None, derandomize=True, max_examples=150)
settings.load_profile("edgeface")


@pytest.fixture(scope="session")
def demo_photos() -> Path:
    return DEMO


@pytest.fixture(scope="session")
def photos() -> Path:
    return PHOTOS


@pytest.fixture
def card() -> ModelCard:
    """A card whose cosine threshold is 0.1 higher for each tenth of the false-accept rate: 0.2 at 0.1, 0.5 at 0.0001."""
    return ModelCard(
        name="test",
        encoder=NetworkFile("encoder.tflite", "0" * 64, 0),
        decoder=NetworkFile("decoder.tflite", "0" * 64, 0),
        input_size=112,
        identity=128,
        appearance=32,
        alignment=[],
        thresholds=[Threshold(0.1, 0.2), Threshold(0.01, 0.3), Threshold(0.001, 0.4), Threshold(0.0001, 0.5)],
        sameness=Sameness(20.0, -5.0),
        min_norm=0.0,
        calibration={},
        metrics={},
        cost={},
        training={},
        licence="",
        commit="",
    )


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with another network, which computes the same: so that what comes of it can be compared."""
    model = tmp_path_factory.mktemp("other") / "model"
    shutil.copytree(SHIPPED, model)
    encoder, card = (model / "encoder.tflite").read_bytes() + bytes(16), json.loads((model / "model.json").read_bytes())
    (model / "encoder.tflite").write_bytes(encoder)
    card["encoder"] |= {"sha256": hashlib.sha256(encoder).hexdigest(), "bytes": len(encoder)}
    (model / "model.json").write_text(json.dumps(card))
    return model


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="DIR", help="where the browser's tests put pictures for the documentation")
    parser.addoption("--outage", type=float, default=0.0, metavar="SECONDS", help="how long a fleet is without its broker")


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    made = Cli(tmp_path)
    yield made
    for running in made.running:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(10)


@pytest.fixture
def obama(cli: Cli, demo_photos: Path) -> dict[str, Any]:
    """Enrolled; the answer of ``enroll --json``."""
    photos = [demo_photos / "obama_portrait.jpg", demo_photos / "obama_congress.jpg"]
    return cli.json("enroll", "Barack Obama", "--image", photos[0], "--image", photos[1])


@pytest.fixture
def scene(tmp_path: Path, demo_photos: Path) -> dict[str, Any]:
    """A folder camera that shows the man who is enrolled."""
    folder = tmp_path / "scene"
    folder.mkdir()
    shutil.copy(demo_photos / "obama_portrait.jpg", folder)
    return {"source": f"folder:{folder}", "name": "front", "hold": 1.0, "fps": 10}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    with mounted(tmp_path / "disk") as place:
        yield place


@pytest.fixture(scope="session")
def detector_sets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Photos as ``python -m train detector prepare`` takes them."""
    pytest.importorskip("tensorflow", reason="needs edgeface[train]")
    from fixtures.own_detector import photo_sets

    folder = tmp_path_factory.mktemp("sets")
    photo_sets(folder)
    return folder


@pytest.fixture(scope="session")
def detector_prepared(detector_sets: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from fixtures.own_detector import prepared_from

    out = tmp_path_factory.mktemp("prepared")
    prepared_from(detector_sets, out)
    return out


@pytest.fixture(scope="session")
def detector_run(detector_prepared: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a finished training run, of a few steps."""
    from fixtures.own_detector import CONFIG, SMALL

    from train.detector.fit import fit

    out = tmp_path_factory.mktemp("run")
    fit(detector_prepared, out, CONFIG, shape=SMALL)
    return out


@pytest.fixture(scope="session")
def own_detector(detector_run: Any, detector_prepared: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a detector that was trained so shortly that it finds next to nothing."""
    from train.detector.export import export

    out = tmp_path_factory.mktemp("exported")
    export(detector_run, detector_prepared, out)
    return out
