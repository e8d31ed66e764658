"""Whole evaluations of composed visits, and the arithmetic of them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.frames import frame, photo
from typer.testing import CliRunner, Result

from edgeface import cli
from edgeface.config import schema
from edgeface.errors import ConfigError
from edgeface.gallery.contents import Templates
from edgeface.measurement.det_plot import BOTTOM, COLOURS, HEIGHT, LEFT, draw_det
from edgeface.measurement.evaluate import Trials, Visit, evaluate, galleries, measure, wilson
from edgeface.recognition.matching import Matcher
from edgeface.types import Box, Embedding, Face, Frame, Observation, Person
from edgeface.vision.model_card import SHIPPED, ModelCard

SHOWN: dict[str, list[str | None]] = {
    "visits/Obama/1": ["obama_press_room.jpg"] * 8,
    "visits/Biden/1": ["biden_portrait.jpg"] * 8,
    "visits/Biden/hidden": [None] * 8,
    "strangers/Collins/1": ["collins_portrait.jpg"] * 12,
}
ENROLLED = {"Obama": ["obama_portrait.jpg", "obama_congress.jpg"], "Biden": ["biden_blue_room.jpg"]}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with gallery, visits and strangers."""
    folder = tmp_path_factory.mktemp("sets")
    for person, photos in ENROLLED.items():
        (folder / "gallery" / person).mkdir(parents=True)
        for name in photos:
            (folder / "gallery" / person / name).write_bytes(photo(name).read_bytes())
    for visit, names in SHOWN.items():
        (folder / visit).mkdir(parents=True)
        for number, who in enumerate(names):
            picture = frame(*([] if who is None else [(who, 100 + 10 * number, 100)]))
            cv2.imwrite(str(folder / visit / f"{number:03}.jpg"), picture[..., ::-1])
    return folder


def run(sets: Path, *arguments: str | Path | int) -> Result:
    options = ["--gallery", sets / "gallery", "--visits", sets / "visits", "--strangers", sets / "strangers", *arguments]
    return CliRunner().invoke(cli.app, ["evaluate", *map(str, options)])


@pytest.fixture(scope="module")
def report(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    plot = tmp_path_factory.mktemp("plot") / "det.png"
    result = run(sets, "--json", "--plot", plot, "--people", 2, "--people", 1)
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told | {"plot": cv2.imread(str(plot))}


def test_every_visit_counts_once(report: dict[str, Any]) -> None:
    two, one = report["figures"]
    assert (report["enrolled"], report["refused"]) == (2, [])
    assert (two["people"], two["galleries"], one["people"], one["galleries"]) == (2, 1, 1, 2)
    assert (two["fpir"]["count"], two["fpir"]["of"]) == (0, 1)
    assert (two["fnir"]["count"], two["fnir"]["of"]) == (1, 3)
    assert (two["wrong"]["count"], two["unknown"]["count"], two["corrected"]) == (0, 1, 0)


def test_who_is_not_in_a_gallery_is_a_stranger_to_it(report: dict[str, Any]) -> None:
    one = report["figures"][1]
    assert (one["fnir"]["count"], one["fnir"]["of"]) == (1, 3)
    assert (one["fpir"]["count"], one["fpir"]["of"]) == (0, 5)


def test_time_to_recognition_is_in_frames_and_by_the_cameras_rate(report: dict[str, Any]) -> None:
    two = report["figures"][0]
    assert two["frames"] == [3, 3]
    assert two["seconds"] == pytest.approx([0.3, 0.3])


def test_the_curve_goes_from_loose_to_strict(report: dict[str, Any]) -> None:
    for curve in report["curves"]:
        assert [point["target_fpir"] for point in curve] == sorted((p["target_fpir"] for p in curve), reverse=True)
        fpir, fnir = ([point[kind]["rate"] for point in curve] for kind in ("fpir", "fnir"))
        assert fpir == sorted(fpir, reverse=True)
        assert fnir == sorted(fnir)
    assert report["plot"].shape == (540, 720, 3)


def test_the_table_is_for_people(sets: Path) -> None:
    result = run(sets)
    assert result.exit_code == 0
    assert "enrolled  2" in result.stdout
    assert "1 of 3 visits" in result.stdout
    assert "0.3 s, 0.3 s" in result.stdout


def test_the_target_of_the_settings_counts(sets: Path, tmp_path: Path) -> None:
    settings = schema.Config(matching=schema.MatchingSettings(target_fpir=1e-30))
    report = evaluate(settings, SHIPPED, sets / "gallery", [sets / "visits"], Trials(most=1), tell=lambda _: None)
    assert (report.figures[0].target_fpir, report.figures[0].fnir.rate) == (1e-30, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gallery": "nowhere"}, "nowhere: No such file or directory"),
        ({"gallery": "gallery/Obama"}, "there is no folder of a person in it"),
        ({"visits": "gallery"}, "gallery/Biden: there is no folder of a person in it"),
    ],
)
def test_folders_of_no_use_are_told_in_one_line(sets: Path, change: dict[str, str], message: str) -> None:
    folders = {"gallery": "gallery", "visits": "visits"} | change
    with pytest.raises(ConfigError, match=message):
        evaluate(
            schema.Config(),
            SHIPPED,
            sets / folders["gallery"],
            [sets / folders["visits"]],
            Trials(most=1),
            tell=lambda _: None,
        )


def test_more_people_than_there_are_is_told_in_one_line(sets: Path) -> None:
    result = run(sets, "--people", 3)
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(result.exception) == "a gallery of 3 people cannot be had: 2 are enrolled"


def test_galleries_of_some_share_nobody_and_keep_everybodys_templates() -> None:
    people = tuple(Person(f"p_{number}", f"Person {number}", 2, 0.0) for number in range(10))
    owners = np.repeat(np.arange(10), 2)
    vectors = np.eye(20, 128, dtype=np.float32)
    parts = list(galleries(Templates(people, owners, vectors), 3, 20))
    assert len(parts) == 3
    assert len({person.id for part in parts for person in part.people}) == 9
    for part in parts:
        for owner, vector in zip(part.owners, part.vectors, strict=True):
            assert people[owners[int(vector.argmax())]] == part.people[owner]
        assert len(part.owners) == 6
    assert len(list(galleries(Templates(people, owners, vectors), 3, 2))) == 2
    with pytest.raises(ConfigError, match="11 people cannot be had: 10 are enrolled"):
        list(galleries(Templates(people, owners, vectors), 11, 1))


def test_a_gallery_of_some_is_one_that_the_others_were_never_in(card: ModelCard) -> None:
    """Bert looks like Anna: enrolled alone she is announced in his place, though with both enrolled his views are his."""
    people = tuple(Person(f"p_{name}", name, 1, 0.0) for name in ("Anna", "Bert"))
    vectors = np.eye(2, 128, dtype=np.float32)
    vectors[1] = 0.8 * vectors[0] + 0.6 * vectors[1]
    both = Matcher(Templates(people, np.arange(2), vectors), card, schema.MatchingSettings())
    face = Face(Box(0, 0, 100, 100), np.zeros((5, 2), np.float32), 0.9)
    view = Observation(face, 0.8, Embedding(vectors[1], 1.0), both.match(vectors[1]))
    visit = Visit("Bert", tuple((Frame(np.zeros((8, 8, 3), np.uint8), n / 10, 1e9 + n / 10), (view,)) for n in range(5)))
    templates = Templates(people, np.arange(2), vectors)
    alone, together = (
        measure([visit], list(galleries(templates, size, 2)), schema.Config(), card, curve=False, tell=lambda _: None)[0.001]
        for size in (1, 2)
    )
    assert (alone.fpir.count, alone.fpir.of, alone.fnir.count, alone.fnir.of) == (1, 1, 0, 1)
    assert (together.fpir.of, together.fnir.count, together.fnir.of) == (0, 0, 1)


def test_wilsons_interval() -> None:
    """Values of R's prop.test(correct = FALSE)."""
    ten = wilson(10, 100)
    assert ten.rate == 0.1
    assert (ten.low, ten.high) == pytest.approx((0.05522914, 0.17436566), abs=1e-6)
    none = wilson(0, 1000)
    assert none.low == 0.0
    assert none.high == pytest.approx(0.00382673, abs=1e-6)
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_a_plot_begins_where_its_curves_do_and_names_each_at_its_end() -> None:
    curves = {"one": [(0.01, 0.5), (1.0, 0.5)], "another": [(0.01, 0.6), (0.1, 0.6)]}
    drawn, without = draw_det(curves), draw_det({name[:1]: curve for name, curve in curves.items()})
    assert tuple(drawn[HEIGHT - BOTTOM, LEFT + 200]) == COLOURS[0]  # 1 % and 50 % are the corner
    named = np.argwhere((drawn != without).any(axis=2))
    assert named[:, 1].min() > LEFT + 300  # right of 10 %, where the second curve ends
    assert draw_det({"above": [(0.02, 0.02)] * 5}).shape == (HEIGHT, 720, 3)


def test_a_plot_shows_its_curves() -> None:
    empty = draw_det({})
    drawn = draw_det({"10 enrolled": [(0.0, 0.5), (0.01, 0.1)], "100 enrolled": [(0.001, 1.0), (1.0, 0.0)]})
    assert empty.shape == drawn.shape == (540, 720, 3)
    changed = np.argwhere((empty != drawn).any(axis=2))
    assert len(changed) > 1000
