"""The commands: enroll and identify."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.commandline import Cli, on_terminal, one_line
from fixtures.sitters import sitter


def test_photos_are_enrolled_and_listed(cli: Cli, obama: dict[str, Any], demo_photos: Path) -> None:
    paths = [str(demo_photos / name) for name in ("obama_portrait.jpg", "obama_congress.jpg")]
    assessment = obama.pop("assessment")
    assert obama == {"id": obama["id"], "name": "Barack Obama", "templates": 2, "accepted": paths, "refused": []}
    assert assessment["metres"] > 1
    assert re.fullmatch(r"p_[0-9a-f]{16}", obama["id"])
    (person,) = cli.json("people", "list")["people"]
    assert set(person) == {"id", "name", "templates", "enrolled"}
    assert (person["id"], person["name"], person["templates"]) == (obama["id"], "Barack Obama", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", person["enrolled"])
    assert "Barack Obama" in cli("people", "list").stdout


def test_a_folder_is_enrolled_and_what_will_not_do_is_told(cli: Cli, tmp_path: Path, demo_photos: Path) -> None:
    folder = tmp_path / "anna"
    folder.mkdir()
    shutil.copy(demo_photos / "collins_portrait.jpg", folder / "good.jpg")
    (folder / "text.jpg").write_text("no picture")
    told = cli.json("enroll", "Anna", "--from", folder)
    assert told["accepted"] == [str(folder / "good.jpg")]
    ((refused),) = told["refused"]
    assert set(refused) == {"path", "reason"}
    assert refused["path"] == str(folder / "text.jpg")
    assert "1 image enrolled, 1 template in all" in cli("enroll", "Anna", "--from", folder).stdout


def test_a_folder_a_person_is_enrolled_and_who_cannot_be_is_told(cli: Cli, tmp_path: Path, demo_photos: Path) -> None:
    for name, photo in {"Anna [1]": "biden_portrait.jpg", "Barack": "obama_portrait.jpg"}.items():
        (tmp_path / "all" / name).mkdir(parents=True)
        shutil.copy(demo_photos / photo, tmp_path / "all" / name)
    (tmp_path / "all" / "Barack" / "text.jpg").write_text("no picture")
    done = cli("enroll", "--from", tmp_path / "all")
    assert "2 of 2 people enrolled" in done.stdout
    assert "1 of 2: Anna [1]" in done.stderr
    assert done.stdout.splitlines()[:2] == ["Anna [1]: 1 of 1 image, 1 template", "Barack: 1 of 2 images, 1 template"]
    assert re.search(r"^1 image refused; .*\n    1  not a JPEG", done.stderr, re.MULTILINE)
    assert [person["name"] for person in cli.json("people", "list")["people"]] == ["Anna [1]", "Barack"]
    (tmp_path / "all" / "Carl").mkdir()
    told = cli.json("enroll", "--from", tmp_path / "all", code=1)
    assert [(person["name"], person["id"] is None) for person in told["people"]] == [
        ("Anna [1]", False),
        ("Barack", False),
        ("Carl", True),
    ]
    assert "there is no folder of a person" in cli.refusal("enroll", "--from", tmp_path / "all" / "Barack")


def test_nobody_is_enrolled_when_no_photo_will_do(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    told = cli.json("enroll", "Anna", "--image", tmp_path / "text.jpg", code=1)
    assert (told["id"], told["accepted"]) == (None, [])
    assert cli.json("people", "list") == {"people": []}


def test_a_face_that_is_not_the_person_s_is_added_by_force_alone(cli: Cli, obama: dict[str, Any], demo_photos: Path) -> None:
    words = "enroll", "Barack Obama", "--image", demo_photos / "biden_portrait.jpg"
    told = cli(*words, code=1)
    assert "not like that of 'Barack Obama': score 0." in told.stderr
    assert "(needs 0.30); --force enrolls it anyway" in told.stderr
    refused = cli.json(*words, code=1)
    assert (refused["id"], refused["templates"]) == (None, 0)
    assert "(needs 0.30); force enrolls it anyway" in refused["refused"][0]["reason"]
    assert cli.json(*words, "--force")["templates"] == obama["templates"] + 1


def test_the_camera_enrolls(cli: Cli, scene: dict[str, Any]) -> None:
    cli.set(camera=scene)
    told = cli.json("enroll", "Anna", "--count", "1")
    assert told["accepted"] == ["view 1"]


def test_a_terminal_shows_one_live_line_and_then_the_verdict(cli: Cli, tmp_path: Path) -> None:
    scene = tmp_path / "sitting"
    scene.mkdir()
    for number in range(12):
        face = sitter(yaw=0.45 * (number % 2))
        assert cv2.imwrite(str(scene / f"{number:02}.png"), cv2.cvtColor(face, cv2.COLOR_RGB2BGR))
    cli.set(camera={"source": f"folder:{scene}", "hold": 2.0, "fps": 10})
    shown = on_terminal(cli, "enroll", "Anna", "--count", "2").decode()
    live, _, verdict = shown.rpartition("\x1b[2K")  # the last time that the line is cleared
    assert live.count("\n") == 1  # at its end, before it is cleared
    assert re.search("●○ .*view 1 taken", live)
    assert re.search("●○ .*turn a little", live)
    assert re.search("●● .*thank you", live)
    assert "Anna: 2 images enrolled, 2 templates in all" in verdict
    assert "-> " in verdict
    assert "taken" not in verdict


def test_a_known_face_needs_force_to_get_another_name(cli: Cli, obama: dict[str, Any], demo_photos: Path) -> None:
    photo = demo_photos / "obama_portrait.jpg"
    told = cli.json("enroll", "Berta", "--image", photo, code=1)
    assert "Barack Obama" in told["refused"][0]["reason"]
    assert cli.json("enroll", "Berta", "--image", photo, "--force")["accepted"] == [str(photo)]


def test_photos_are_identified(cli: Cli, obama: dict[str, Any], demo_photos: Path, photos: Path) -> None:
    shown = [
        demo_photos / "obama_press_room.jpg",
        demo_photos / "collins_portrait.jpg",
        photos / "obama_and_biden_blue_room.jpg",
    ]
    images = cli.json("identify", *shown)["images"]
    assert [image["path"] for image in images] == [str(path) for path in shown]
    assert [len(image["faces"]) for image in images] == [1, 1, 2]
    fields = {
        "box",
        "landmarks",
        "quality",
        "decision",
        "person_id",
        "name",
        "nearest",
        "score",
        "threshold",
        "margin",
        "probability",
        "liveness",
    }
    assert all(set(image) == {"path", "size", "faces"} for image in images)
    assert all(set(face) == fields for image in images for face in image["faces"])
    assert all(0 <= face["liveness"] <= 1 for image in images for face in image["faces"])
    known, unknown = images[0]["faces"][0], images[1]["faces"][0]
    assert (known["decision"], known["person_id"], known["name"]) == ("accept", obama["id"], "Barack Obama")
    assert known["score"] >= known["threshold"]
    assert unknown["decision"] in ("reject", "unsure")
    assert (unknown["person_id"], unknown["name"]) == (None, None)
    assert unknown["nearest"] == {"id": obama["id"], "name": "Barack Obama"}
    assert len(known["box"]) == 4
    assert np.shape(known["landmarks"]) == (5, 2)
    lines = cli("identify", *shown).stdout.splitlines()
    assert [line[:2] == "  " for line in lines] == [False, False, False, True, True]
    assert re.search(r": Barack Obama  score 0\.\d\d \(needs 0\.\d\d\), quality 0\.\d\d$", lines[0])
    assert lines[1].endswith(", nearest is Barack Obama")
    assert lines[2].endswith("obama_and_biden_blue_room.jpg: 2 faces")


def test_pictures_are_annotated_one_as_a_file_and_more_in_a_folder(
    cli: Cli, obama: dict[str, Any], demo_photos: Path, tmp_path: Path
) -> None:
    photo = demo_photos / "obama_press_room.jpg"
    cli("identify", photo, "--annotate", tmp_path / "one.png")
    drawn, before = cv2.imread(str(tmp_path / "one.png")), cv2.imread(str(photo))
    assert drawn.shape == before.shape
    assert 0 < np.mean(np.any(drawn != before, axis=2)) < 0.5
    cli("identify", photo, demo_photos / "collins_portrait.jpg", "--annotate", tmp_path / "many")
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["collins_portrait.png", "obama_press_room.png"]


def test_pictures_of_the_same_name_from_two_folders_are_both_drawn(cli: Cli, demo_photos: Path, tmp_path: Path) -> None:
    for folder, photo in (("a", "obama_portrait"), ("b", "collins_portrait")):
        (tmp_path / folder).mkdir()
        shutil.copy(demo_photos / f"{photo}.jpg", tmp_path / folder / "1.jpg")
    shutil.copy(demo_photos / "obama_portrait.jpg", tmp_path / "1-2.jpg")
    cli("identify", tmp_path / "1-2.jpg", tmp_path / "a", tmp_path / "b", "--annotate", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1-2.png", "1-3.png", "1.png"]


def test_looking_at_a_photo_says_nothing_on_standard_error(cli: Cli, demo_photos: Path) -> None:
    assert cli("identify", demo_photos / "obama_portrait.jpg").stderr == ""


def huge(path: Path) -> None:
    header = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (20000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    path.write_bytes(header + bytes(64))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (huge, "too large"),
        (lambda path: path.write_text("no picture"), "not a JPEG"),
        (lambda path: path.touch(), "empty"),
        (lambda path: None, "No such file"),
    ],
    ids=["huge", "text", "empty", "absent"],
)
def test_a_file_that_is_no_picture_is_one_line_and_the_others_are_still_looked_at(
    cli: Cli, tmp_path: Path, demo_photos: Path, make: Callable[..., None], reason: str
) -> None:
    make(tmp_path / "bad.jpg")
    good = demo_photos / "obama_portrait.jpg"
    result = cli("identify", tmp_path / "bad.jpg", good, code=1)
    assert reason in one_line(result)
    assert str(good) in result.stdout
    bad, _ = cli.json("identify", tmp_path / "bad.jpg", good, code=1)["images"]
    assert reason in bad["error"]
    assert bad["faces"] == []


def test_a_file_name_that_is_no_utf8_is_no_trouble(cli: Cli, tmp_path: Path, demo_photos: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")
    shutil.copy(demo_photos / "obama_portrait.jpg", name)
    assert len(cli.json("identify", tmp_path)["images"]) == 1


def test_no_photo_is_drawn_over(cli: Cli, tmp_path: Path, demo_photos: Path) -> None:
    shutil.copy(demo_photos / "obama_portrait.jpg", tmp_path / "own.png")
    before = (tmp_path / "own.png").read_bytes()
    for place in ("own.png", "."):
        assert "is one of the photos" in cli.refusal("identify", "own.png", "--annotate", place, code=2)
    assert (tmp_path / "own.png").read_bytes() == before
    (tmp_path / "photos").mkdir()
    for name in ("own.jpg", "own.png"):  # the drawing of the first would be the second
        shutil.copy(demo_photos / "obama_portrait.jpg", tmp_path / "photos" / name)
    assert "is one of the photos" in cli.refusal("identify", "photos", "--annotate", "photos", code=2)


def test_one_photo_is_drawn_into_a_folder_that_is_there_and_several_not_into_a_file(
    cli: Cli, tmp_path: Path, demo_photos: Path
) -> None:
    one, other = demo_photos / "obama_portrait.jpg", demo_photos / "biden_portrait.jpg"
    (tmp_path / "drawn").mkdir()
    cli("identify", one, "--annotate", "drawn")
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["obama_portrait.png"]
    (tmp_path / "file.png").touch()
    assert "give a folder" in cli.refusal("identify", one, other, "--annotate", "file.png", code=2)
    assert "suffix" in cli.refusal("identify", one, "--annotate", "drawn/x.xyz", code=2)


def test_a_name_is_shown_in_one_short_line(cli: Cli, demo_photos: Path) -> None:
    photo = demo_photos / "obama_portrait.jpg"
    told = cli.refusal("enroll", "x" * 10_000, "--image", photo)
    assert len(told) < 250
    told = cli("enroll", "--image", photo, "--", "-x").stdout
    assert "edgeface enroll -- -x adds" in told
