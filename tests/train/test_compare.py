"""The comparison: its formulas on what can be counted by hand, and the whole command on a handful of real photos."""

import json
import os
import re
import shutil
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

pytest.importorskip("tensorflow", reason="needs edgeface[train]")
pytest.importorskip("matplotlib", reason="needs edgeface[train]")

from fixtures.optional import needed

from edgeface import detectors
from edgeface.config.schema import Config
from edgeface.errors import DataError, ModelError
from edgeface.measurement import baselines, evaluate
from edgeface.measurement.evaluate import people
from edgeface.recognition.matching import Matcher
from edgeface.types import Face, Image, Vector
from edgeface.vision.alignment import align
from edgeface.vision.drawing import save_image
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image
from edgeface.vision.model_card import SHIPPED
from train import augment, compare
from train.__main__ import app
from train.compare import Against, Photos, groups, page, quality, robustness, summary, visits
from train.compare.cache import Cache
from train.compare.networks import KnownFaces, of_peer, ours
from train.compare.peers import find_peers
from train.data import load
from train.prepare import is_validation
from train.teachers.sface import EDGEFACE

SECOND = os.environ.get("EDGEFACE_SECOND_TEACHER", "")


class Shrunk:
    """A peer: the chip itself, in 8 x 8 grey pixels."""

    name, runtime, bytes = "Shrunk", "numpy", 1234

    def embed(self, chip: Image) -> Vector:
        code = chip.astype(np.float32).mean(axis=2).reshape(8, 14, 8, 14).mean(axis=(1, 3)).ravel()
        code -= code.mean()
        return np.asarray(code / np.linalg.norm(code), np.float32)


@pytest.fixture(scope="module")
def chips(demo_photos: Path, photos: Path) -> list[Any]:
    detector = detectors.create()
    images = [load_image(path) for folder in (demo_photos, photos) for path in sorted(folder.glob("*.jpg"))]
    return [align(image, detector.detect(image)[0].landmarks) for image in images]


@pytest.fixture(scope="module")
def lfw(demo_photos: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos and pairs in LFW's layout, two folds."""
    folder = tmp_path_factory.mktemp("lfw")
    people = {
        "obama": [demo_photos / f"obama_{name}.jpg" for name in ("portrait", "congress", "press_room")],
        "biden": [demo_photos / "biden_portrait.jpg", demo_photos / "biden_blue_room.jpg"],
        "collins": [demo_photos / "collins_portrait.jpg"],
    }
    people["obama"].append(photos / "obama_blue_room.jpg")
    for person, files in people.items():
        for number, file in enumerate(files, 1):
            target = folder / "images" / person / f"{person}_{number:04}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    pairs = (
        "2 2\nobama 1 2\nbiden 1 2\nobama 1 biden 2\ncollins 1 obama 3\n"
        "obama 3 4\nobama 4 1\nbiden 2 obama 4\nbiden 1 collins 1\n"
    )
    (folder / "pairs.txt").write_text(pairs)
    return folder


@pytest.fixture(scope="module")
def prepared(chips: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What prepare writes: held-out people with a few photos each, and two groups named by age and gender."""
    folder = tmp_path_factory.mktemp("prepared")
    names = [name for name in (f"people/p{i}" for i in range(400)) if is_validation(name)][:6]
    rows, kept = [], []
    for i, name in enumerate(names):
        for copy in range(3):
            rows.append(augment.light(chips[i], np.array([1 - 0.2 * copy]), 1.0))
            kept.append([f"photos/{i}-{copy}.jpg", name])
    random = np.random.default_rng(1)
    for age, gender in ((4, 0), (25, 0), (25, 1), (44, 1)):
        for i in range(32):
            moved = np.roll(chips[i % len(chips)], random.integers(-25, 25, 2), axis=(0, 1))
            rows.append(augment.turn(moved, random.uniform(-40, 40)))
            kept.append([f"faces/{age}_{gender}_2_20170116{i:09}.jpg.chip.webp", ""])
    edge = augment.MARGIN
    crops = np.pad(np.stack(rows), ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    small = np.stack([row[::16, ::16].reshape(49, 3) for row in rows]).astype(np.float32) / 128 - 1
    parts = small @ random.normal(0, 0.1, (3, 128))
    (folder / "shard-00000.json").write_text(json.dumps({"photos": kept, "kept": kept, "dropped": []}))
    np.save(folder / "shard-00000.crops.npy", crops)
    np.save(folder / "shard-00000.positions.npy", np.broadcast_to(parts[:, None], (len(rows), 2, 49, 128)).astype("f2"))
    (folder / "manifest.json").write_text('{"sources": ["utkface"]}')
    return folder


@pytest.fixture(autouse=True)
def no_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever pip and npm have installed here."""
    monkeypatch.setattr(compare, "find_peers", lambda folder: [])


ALONE = Against()


def write(
    prepared: Path, lfw: Path, out: Path, cache: Path | None = None, pairs: str = "pairs.txt", against: Against = ALONE
) -> str:
    page.write(*compare.compare([prepared], Photos(lfw / "images", lfw / pairs), SHIPPED, against, cache), out)
    return out.read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("error:invalid value", "error:Mean of empty slice", "error:divide by zero")
def test_the_page_is_whole_without_peers(prepared: Path, lfw: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/accuracy.md").write_text(f"Before.\n\n{summary.ENDS[0]}\n\nOld.\n\n{summary.ENDS[1]}\n\nAfter.\n")
    page = write(prepared, lfw, tmp_path / "docs/network.md", against=Against(earlier=SHIPPED))
    figures = json.loads((tmp_path / "docs/network/figures.json").read_text())
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert len(pictures) == 5
    assert figures["groups"]["learnt_from"] == ["utkface"]
    assert "learnt from these very photos (utkface)" in page
    for picture in pictures:
        assert load_image(tmp_path / "docs" / picture).std() > 5
    assert not re.search(r"\b(nan|inf(inity)?)\b", (page + json.dumps(figures)).lower())
    assert figures["bytes"].keys() == {"edgeface", compare.EARLIER}
    verified = figures["verification"]["networks"]
    assert verified["edgeface"] == verified[compare.EARLIER]
    assert 0 <= abs(verified["edgeface"]["accuracy"] - verified["edgeface, float"]["accuracy"]) < 0.3
    assert figures["decoders"]["edgeface"]["mse"] < 0.05
    assert "Left out" in page
    assert all(what in page for what in ("- SFace: its file is not there", "- Visits: "))
    glance = "\n".join(summary.glance(figures))
    assert f"Before.\n\n{summary.ENDS[0]}\n\n[network.md]" in (tmp_path / "docs/accuracy.md").read_text()
    assert glance in page
    assert glance + f"\n\n{summary.ENDS[1]}\n\nAfter.\n" in (tmp_path / "docs/accuracy.md").read_text()
    conditions = figures["robustness"]["conditions"]
    assert len(conditions) == len(robustness.EFFECTS) + 1
    assert all(f"\n| {condition} | " in page for condition in conditions)
    assert figures["robustness"]["taken_back"] > 10
    assert conditions["clean"]["edgeface"]["tar"] >= figures["robustness"]["rebuilt"]["edgeface"]["tar"] > 0.5
    assert re.search(r"edgeface accepts \d+\.\d % of them", page)
    assert {(row["gender"], row["ages"]) for row in figures["groups"]["groups"]} == {
        ("male", "3-5"),
        ("male", "20-29"),
        ("female", "20-29"),
        ("female", "40-49"),
    }
    assert "| 20-29 | " in page
    told = figures["quality"]
    assert told["chosen"] in told["reported"]["curves"]
    assert f"**{told['chosen']}**" in page
    assert told["gates"]["both"]["worn_away"] >= max(told["gates"][name]["worn_away"] for name in ("present", "chosen"))


@pytest.mark.slow
def test_peers_stand_in_the_table_and_nothing_is_computed_twice(
    prepared: Path, lfw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "find_peers", lambda folder: [Shrunk()])
    first = write(prepared, lfw, tmp_path / "a/network.md", tmp_path / "cache")
    assert "| probe | edgeface, accuracy | Shrunk, accuracy | edgeface, TAR | Shrunk, TAR |" in first
    assert "| two adults share | edgeface at 1 % | Shrunk at 1 % | edgeface at 0.1 % | Shrunk at 0.1 % |" in first
    assert re.search(r"\n\|  \| edgeface \| Shrunk \|\n", first)
    assert "Shrunk less edgeface" in first
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    monkeypatch.setattr(Shrunk, "embed", None)
    monkeypatch.setattr("edgeface.vision.embedding.Embedder.embed", None)
    monkeypatch.setattr("edgeface.vision.embedding.Embedder.template", None)
    assert write(prepared, lfw, tmp_path / "a/network.md", tmp_path / "cache") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == files


@pytest.mark.slow
def test_faces_without_ages_make_no_groups(prepared: Path, lfw: Path, tmp_path: Path) -> None:
    plain = tmp_path / "prepared"
    shutil.copytree(prepared, plain)
    index = json.loads((plain / "shard-00000.json").read_text())
    index["kept"] = [[f"{i}.jpg", person] for i, (_, person) in enumerate(index["kept"])]
    (plain / "shard-00000.json").write_text(json.dumps(index))
    page = write(plain, lfw, tmp_path / "network.md", cache=tmp_path / "cache")
    assert "## Age and gender" not in page
    assert "## Quality" in page
    assert not (tmp_path / "network/groups.png").exists()


def test_a_part_is_measured_alone(prepared: Path, lfw: Path, tmp_path: Path) -> None:
    out = tmp_path / "network.md"
    only = ["--only", "verification", "--only", "groups"]
    done = CliRunner().invoke(
        app,
        [
            "compare",
            str(prepared),
            "--images",
            str(lfw / "images"),
            "--pairs",
            str(lfw / "pairs.txt"),
            "--out",
            str(out),
            *only,
        ],
    )
    assert done.exit_code == 0, done.output
    page = out.read_text()
    assert re.findall("^## (.*)", page, re.MULTILINE) == ["Verification", "Cost", "Age and gender"]
    assert "- Visits: not asked for.\n- Robustness: not asked for.\n- Quality: not asked for." in page
    assert {path.name for path in (tmp_path / "network").iterdir()} == {"figures.json", "groups.png"}
    assert "| accuracy on pairs.txt, % | " in page


def test_what_is_missing_is_told_in_one_line(prepared: Path, lfw: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run python -m train prepare first"):
        write(tmp_path, lfw, tmp_path / "network.md")
    with pytest.raises(DataError, match="LFW"):
        write(prepared, lfw, tmp_path / "network.md", pairs="nothing.txt")
    nobody = tmp_path / "nobody"
    shutil.copytree(prepared, nobody)
    index = json.loads((nobody / "shard-00000.json").read_text())
    index["kept"] = [[path, ""] for path, _ in index["kept"]]
    (nobody / "shard-00000.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="nobody is held out"):
        write(nobody, lfw, tmp_path / "network.md")
    blank = tmp_path / "blank"
    for photo in (lfw / "images").rglob("*.jpg"):
        (blank / "images" / photo.parent.name).mkdir(parents=True, exist_ok=True)
        save_image(blank / "images" / photo.parent.name / photo.name, np.full((90, 90, 3), 90, np.uint8))
    with pytest.raises(DataError, match="no face in any of"):
        compare.compare([prepared], Photos(blank / "images", lfw / "pairs.txt"), SHIPPED, ALONE, None)


def test_a_folder_without_peers_is_told(prepared: Path, lfw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "find_peers", find_peers)
    with pytest.raises(ModelError, match=f"no peer is below {lfw}: "):
        compare.compare([prepared], Photos(lfw / "images", lfw / "pairs.txt"), SHIPPED, Against(peers=lfw), None)
    assert not (tmp_path / "network.md").exists()


def test_edgeface_xs_is_a_peer_where_its_file_is(chips: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "find_peers", lambda folder: [])
    file = tmp_path / "deep" / EDGEFACE
    file.parent.mkdir()
    file.write_bytes(b"something else")
    with pytest.raises(ModelError, match="not the file"):
        find_peers(tmp_path)
    if SECOND:
        shutil.copy(SECOND, file)
        (peer,) = find_peers(tmp_path)
        assert (peer.name, peer.bytes) == ("EdgeFace-XS", file.stat().st_size)
        assert np.linalg.norm(peer.embed(chips[0])) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_the_command_writes_where_it_is_told(prepared: Path, lfw: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.md"
    options = ["--images", lfw / "images", "--pairs", lfw / "pairs.txt", "--out", out]
    done = CliRunner().invoke(app, ["compare", str(prepared), *map(str, options)])
    assert (done.exit_code, done.stdout) == (0, f"{out}, with plots in {tmp_path / 'page'}\n")
    assert out.read_text().startswith("# ")


def test_the_cache_knows_networks_and_chips(tmp_path: Path) -> None:
    calls = []

    def compute(chip: Image) -> NDArray[Any]:
        calls.append(1)
        return chip[:2, 0, 0].astype(float)

    some = np.arange(3 * 8 * 8 * 3, dtype=np.uint8).reshape(3, 8, 8, 3)
    cache = Cache(tmp_path / "new")
    first = cache.keep("a", compute)(some)
    assert np.array_equal(first, some[:, :2, 0, 0])
    assert np.array_equal(cache.keep("a", compute)(some.copy()), first)
    assert len(calls) == 3
    cache.keep("b", compute)(some)
    assert len(calls) == 6
    cache.keep("a", compute)(some + np.uint8(1))
    assert len(calls) == 9
    Cache().keep("a", compute)(some)
    assert len(calls) == 12


def test_a_damaged_cache_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(DataError, match="delete it"):
        Cache(tmp_path)


def test_a_picture_without_faces_is_looked_at_once(tmp_path: Path) -> None:
    class Blind:
        looks = 0

        def detect(self, image: Image) -> list[Face]:
            self.looks += 1
            return []

    blind = Blind()
    detector = KnownFaces(blind, Cache(tmp_path))
    for _ in range(2):
        assert detector.detect(np.zeros((40, 40, 3), np.uint8)) == []
    assert blind.looks == 1


def test_known_faces_are_those_that_were_found(demo_photos: Path) -> None:
    plain = detectors.create()
    known = KnownFaces(plain, Cache())
    photo = load_image(demo_photos / "obama_portrait.jpg")
    for face, kept, again in zip(plain.detect(photo), known.detect(photo), known.detect(photo), strict=True):
        assert np.allclose(astuple(face.box), astuple(kept.box))
        assert np.array_equal(face.landmarks, kept.landmarks)
        assert (kept.box, kept.score) == (again.box, again.score)


@pytest.fixture(scope="module")
def made(demo_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Visits of four people, two of whom are enrolled; a person's later photos are the first ones in other light."""
    folder = tmp_path_factory.mktemp("visits")
    files = [demo_photos / f"{name}.jpg" for name in ("obama_portrait", "biden_portrait", "collins_portrait", "obama_congress")]
    for number, file in enumerate(files):
        for copy in range(4):
            target = folder / "images" / "abcd"[number] / f"{'abcd'[number]}_{copy:04}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            save_image(target, augment.light(load_image(file), np.array([1 - 0.1 * copy]), 1.0))
    visits.make(people(folder / "images"), folder / "made")
    return folder / "made"


@pytest.mark.slow
def test_every_network_makes_the_same_visits_in_the_devices_own_pipeline(
    made: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "SIZES", (1, 2, 3))
    cache = Cache(tmp_path)
    held_out = load([prepared]).split()[1]
    own = ours("edgeface", Embedder(), cache)
    peer = of_peer(Shrunk(), own.card, held_out, cache)
    detector = KnownFaces(detectors.create(), cache)
    figures = visits.measure(made, [own, peer], detector, cache)
    assert (figures["people"], figures["strangers"], figures["enrolled"], figures["visits"]) == (2, 2, 2, 4)
    assert figures["sizes"].keys() == {"1", "2"}
    told = figures["sizes"]["2"]
    assert (told["mated"], told["non_mated"], told["people"]) == (2, 2, 2)
    assert told["networks"]["edgeface"][-1]["fnir"] == 0
    assert told["networks"]["edgeface"][-1]["fpir"] == 0
    assert told["networks"]["Shrunk"][-1]["fnir"] >= 0
    monkeypatch.setattr(detector.detector, "detect", None)
    monkeypatch.setattr(Shrunk, "embed", None)
    assert visits.measure(made, [own, peer], detector, cache) == figures
    assert "2 enrolled: 2 visits of 2 enrolled people, 2 of strangers." in list(summary.missed_visits(figures))


@pytest.mark.slow
def test_what_a_visit_reaches_is_where_it_is_announced_last(made: Path) -> None:
    network = ours("edgeface", Embedder(), Cache())
    templates, seen = visits._watch(made, network, detectors.create())
    settings = Config()
    matcher = Matcher(templates, network.card, settings.matching)
    names = {person.name for person in templates.people}
    for visit in (evaluate.rematch(visit, matcher) for visit in seen):
        mated = visit.person in names
        score = visits.reached(visit, matcher, settings, network, visits.NEVER, mated)
        for threshold, announced in ((score, True), (float(np.nextafter(np.float32(score), np.float32(2))), False)):
            matcher.accept = threshold
            outcome = evaluate.play(visit, settings, network.card, matcher)
            assert (outcome.right_after is not None if mated else outcome.named) == announced


def test_the_threshold_is_where_strangers_pass_as_often_as_stated_by_hand() -> None:
    reached = np.array([0.9, 0.8, 0.7, 0.3, 0.5, 0.75, 0.2, 0.1], np.float32)
    mated = np.array([True, True, True, True, False, False, False, False])
    scores = visits.Scores(np.array(list("aabbcdef")), mated, reached)
    even = np.ones(8)
    for fpir, passing, missed in ((0.0, 0.0, 2), (0.25, 0.25, 1), (0.5, 0.5, 0), (0.6, 0.5, 0)):
        threshold, found, fnir = visits.at_fpir(scores, even, fpir)
        assert (found, fnir) == (passing, missed / 4)
        assert np.mean(reached[~mated] >= threshold) == passing
    heavy = np.where(reached == np.float32(0.75), 3, 1)
    assert visits.at_fpir(scores, heavy, 0.25)[1:] == (0.0, 0.5)
    told = visits.rates({"ours": scores, "theirs": replace(scores, reached=np.where(mated, 0, reached))})
    assert told["networks"]["ours"][-1]["ratio"] == 1
    assert told["networks"]["theirs"][-1] | {"threshold": 0} == {
        "threshold": 0,
        "fpir": 0.0,
        "fnir": 1.0,
        "interval": [1.0, 1.0],
        "ratio": 0.5,
        "ratio_interval": told["networks"]["ours"][-1]["interval"],
    }


@pytest.mark.slow
def test_visits_that_were_made_in_part_are_made_anew(made: Path, tmp_path: Path) -> None:
    (tmp_path / "made-part/gallery").mkdir(parents=True)
    visits.make(people(made.parent / "images"), tmp_path / "made")
    assert {path.name for path in tmp_path.iterdir()} == {"made"}
    before = (tmp_path / "made").stat().st_mtime_ns
    visits.make(people(made.parent / "images"), tmp_path / "made")
    assert (tmp_path / "made").stat().st_mtime_ns == before


def test_a_page_without_marks_stays_as_it_was() -> None:
    assert summary.replaced("A page.\n", ["new"]) == "A page.\n"


def test_error_versus_reject_of_a_perfect_a_useless_and_a_wrong_measure() -> None:
    missed = np.arange(100) < 20
    assert np.allclose(quality.error_versus_reject(missed, np.arange(100.0)), quality.ideal(0.2))
    assert quality.ideal(0.2)[0] == 0.2
    assert np.all(quality.ideal(0.2)[20:] == 0)
    assert np.isclose(quality.error_versus_reject(missed, -np.arange(100.0))[50], 0.4)
    alternating = np.arange(100) % 2 == 0
    assert np.allclose(quality.error_versus_reject(alternating, np.arange(100.0)), 0.5, atol=0.01)


def test_the_gain_is_one_for_an_ideal_measure_and_none_for_one_that_tells_nothing() -> None:
    people = np.repeat(np.arange(50).astype(str), 2)
    corners = np.eye(50, dtype=np.float32).repeat(2, axis=0)
    lost = np.arange(100) % 10 < 2
    probes = np.where(lost[:, None], np.roll(corners, 1, axis=1), corners)
    fine = np.ones(100, bool)
    measures = {"telling": np.where(lost, 0.0, 1.0), "silent": np.zeros(100), "lying": np.where(lost, 1.0, 0.0)}
    look = quality.Looks(probes, fine, measures)
    told = quality.curves(quality.Sample(people, corners, look, look), [0.5, 0.5])
    assert told["fnmr"] == [0.2, 0.2]
    assert told["comparisons"] == 100
    assert np.isclose(told["gain"]["telling"][0], 1.0)
    assert abs(told["gain"]["silent"][0]) < 0.1
    assert told["gain"]["lying"][0] < -0.4


def test_false_match_rate_and_its_error_by_hand() -> None:
    faces = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    rate, error = groups.false_match(faces, faces, 0.5)
    assert np.isclose(rate, 1 / 3)
    assert np.isclose(error, 2 * np.std([0.5, 0.5, 0.0], ddof=1) / np.sqrt(3))
    # templates and probes differ: only (0, 1) and (1, 0) of the six comparisons can pass, and one of them no longer does
    assert np.isclose(groups.false_match(faces, faces * [[1], [0], [1]], 0.5)[0], 1 / 6)


def test_what_adults_have_in_common_by_hand() -> None:
    young, twenties, thirties = (groups.group_of(f"{age}_0_0_20170116174525125.jpg") for age in (4, 25, 35))
    woman = groups.group_of("25_1_0_20170116174525125.jpg")
    faces = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    rates = groups.in_common(faces, faces, np.array([young, twenties, twenties, thirties, woman]), 0.5)
    assert rates == {"gender and age band": 1.0, "gender": 0.0, "age band": 1.0, "neither": 0.0}


def test_groups_are_read_from_names() -> None:
    def told(name: str) -> tuple[str, str] | None:
        group = groups.group_of(name)
        return None if group < 0 else (groups.GENDERS[group // len(groups.BANDS)], groups.band_name(group % len(groups.BANDS)))

    assert told("9_1_0_20170116174525125.jpg.chip.jpg") == ("female", "6-9")
    assert told("10_0_4_20170116174525125.webp") == ("male", "10-12")
    assert told("61_1_20170109142408075.jpg") == ("female", "50-64")
    assert told("116_1_2_20170112213500903.jpg") == ("female", "65+")
    assert told("0002.webp") is None
    assert told("25_3_0_20170116174525125.jpg") is None


def test_a_picture_that_is_there_twice_is_noticed(chips: list[Any]) -> None:
    shown = np.stack([chips[0], chips[1], augment.jpeg(chips[0], 40), augment.light(chips[1], np.array([0.8]), 1.0), chips[2]])
    assert groups.repeated(shown).tolist() == [False, False, True, True, False]


def test_alignment_takes_a_turn_back_in_a_large_photo(lfw: Path) -> None:
    detector = detectors.create()
    straight, askew = (robustness.portraits(lfw / "images", ["obama/obama_0001"], detector, angle)[0] for angle in (0.0, 15.0))
    assert abs(needed(askew).roll - needed(straight).roll - 15) < 5
    inner = np.s_[30:90, 30:82]
    left = np.abs(needed(askew).chip[inner].astype(float) - needed(straight).chip[inner]).mean()
    assert (
        left
        < np.abs(augment.turn(needed(straight).chip, 15.0)[inner].astype(float) - needed(straight).chip[inner]).mean() / 1.2
    )


def test_conditions_repeat_and_leave_a_missing_face_missing(chips: list[Any]) -> None:
    for condition in robustness.EFFECTS:
        first, second = (robustness.worn([chips[0], None, chips[1]], condition) for _ in range(2))
        assert first[1] is None
        assert np.array_equal(needed(first[0]), needed(second[0]))
        assert np.array_equal(needed(first[0]), chips[0]) == (condition == "clean")
