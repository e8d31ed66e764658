"""A backup taken back: whole, or one person of it; and the commands."""

import json
import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fixtures.backup import config, damage, flip, killed, people, sealed_at, states
from fixtures.commandline import Cli
from fixtures.galleries import units
from fixtures.optional import needed
from fixtures.reembed import House, house

from edgeface.errors import GalleryError
from edgeface.gallery import restore
from edgeface.gallery.backup import Backups
from edgeface.gallery.copies import check
from edgeface.gallery.store import Gallery
from edgeface.vision.model_card import SHIPPED, load_card

__all__ = ["house"]
OURS = load_card(SHIPPED).digest


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    return Backups(config(tmp_path))


def names(place: Path) -> list[Any]:
    with closing(Gallery(place, OURS)) as gallery:
        return [person.name for person in gallery.people()]


def change(place: Path, *, enroll: tuple[()] | list[Any] = (), forget: tuple[()] | list[Any] = ()) -> None:
    with closing(Gallery(place, OURS)) as gallery:
        for name in enroll:
            gallery.enroll(name, units(len(name)), [0.8])
        for name in forget:
            gallery.forget(name)


def test_the_gallery_is_as_it_was_and_the_one_of_before_is_kept(tmp_path: Path, place: Path, backups: Backups) -> None:
    change(place, enroll=["Anna", "Bertold"])
    backups.make()
    change(place, enroll=["Carl the Great"])
    done = restore.whole(config(tmp_path), SHIPPED, None)
    assert (done.people, done.templates) == (2, 2)
    assert names(place) == ["Anna", "Bertold"]
    assert people(backups.folder / needed(done.kept_aside), backups) == ["Anna", "Bertold", "Carl the Great"]
    assert place.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".gallery*"))
    restore.whole(config(tmp_path), SHIPPED, done.kept_aside)
    assert names(place) == ["Anna", "Bertold", "Carl the Great"]


def test_who_was_forgotten_meanwhile_stays_so_and_who_was_not_comes_back(tmp_path: Path, place: Path, backups: Backups) -> None:
    change(place, enroll=["Anna", "Bertold"])
    away = tmp_path / "away.db"
    shutil.copy(needed(backups.make()).new.copy.path, away)  # out of reach
    change(place, forget=["Anna"])
    restore.whole(config(tmp_path), SHIPPED, str(away))
    assert names(place) == ["Bertold"]
    with closing(sqlite3.connect(place)) as file:
        assert file.execute("SELECT count(*) FROM erased").fetchone()[0] == 1
    flip(place, 0)  # what the gallery knew of the forgotten is lost with it, and the copies have it too
    restore.whole(config(tmp_path), SHIPPED, str(away))
    assert names(place) == ["Bertold"]


@pytest.mark.parametrize("how", ["a record", "the header", "cut", "gone"])
def test_a_damaged_gallery_is_replaced_and_kept_as_it_is(tmp_path: Path, place: Path, backups: Backups, how: str) -> None:
    change(place, enroll=["Anna", "Bertold"])
    good = needed(backups.make()).new.copy
    if how == "a record":
        damage(place)
    elif how == "the header":
        flip(place, 3)
    elif how == "cut":
        os.truncate(place, 5000)
    else:
        place.unlink()
    before = place.read_bytes() if place.exists() else None
    done = restore.whole(config(tmp_path), SHIPPED, None)
    assert done.copy == good.path.name
    assert names(place) == ["Anna", "Bertold"]
    if before:
        assert (backups.folder / needed(done.kept_aside)).read_bytes()[100:] == before[
            100:
        ]  # the header has the mode of its log
        assert len(backups.listing()) == 2
        assert states(backups)[1] == "ok"
        assert states(backups)[0] != "ok"
    else:
        assert done.kept_aside is None


def test_a_log_that_a_killed_process_left_is_not_taken_for_that_of_the_copy(
    tmp_path: Path, place: Path, backups: Backups
) -> None:
    change(place, enroll=["Anna"])
    backups.make()

    def crash() -> None:
        gallery = Gallery(place, OURS)
        gallery.enroll("Bertold", units(7), [0.8])
        os.kill(os.getpid(), signal.SIGKILL)

    killed(crash, 60.0)
    left = place.with_name("gallery.db-wal")
    assert left.stat().st_size
    place.unlink()
    restore.whole(config(tmp_path), SHIPPED, "1")
    assert not left.exists()
    assert names(place) == ["Anna"]


def test_a_kill_at_any_moment_leaves_the_gallery_or_the_copy(tmp_path: Path, place: Path, backups: Backups) -> None:
    change(place, enroll=["Anna"])
    backups.make()
    change(place, enroll=["Bertold"])
    began = time.monotonic()
    restore.whole(config(tmp_path), SHIPPED, "1")
    took = time.monotonic() - began
    change(place, enroll=["Bertold"])
    seen = set()
    for seed in range(30):
        killed(lambda: restore.whole(config(tmp_path), SHIPPED, "1"), random.Random(seed).uniform(0.0, 4 * took))
        there = tuple(names(place))
        seen.add(there)
        assert there in {("Anna",), ("Anna", "Bertold")}
        assert check(backups.find()[0].path, backups.key()).people == 1
        change(place, enroll=["Bertold"])
    assert ("Anna",) in seen


@pytest.mark.parametrize("reference", ["7", "gallery-absent.db", "/absent/gallery.db", ""])
def test_a_copy_that_is_not_there_is_told(tmp_path: Path, place: Path, backups: Backups, reference: str) -> None:
    change(place, enroll=["Anna"])
    backups.make()
    with pytest.raises(GalleryError, match="there is no backup"):
        restore.whole(config(tmp_path), SHIPPED, reference)


def test_the_newest_good_copy_is_taken_and_a_damaged_one_refused(tmp_path: Path, place: Path, backups: Backups) -> None:
    change(place, enroll=["Anna"])
    backups.make()
    change(place, enroll=["Bertold"])
    bad = needed(backups.make()).new.copy
    flip(bad.path, sealed_at(bad.path))
    with pytest.raises(GalleryError, match=r"damaged.*edgeface gallery backups"):
        restore.whole(config(tmp_path), SHIPPED, "2")
    assert names(place) == ["Anna", "Bertold"]
    assert restore.whole(config(tmp_path), SHIPPED, None).copy == backups.find()[0].path.name
    assert names(place) == ["Anna"]


def test_while_another_process_has_the_gallery_open_it_is_not_replaced(tmp_path: Path, place: Path, backups: Backups) -> None:
    change(place, enroll=["Anna"])
    backups.make()
    with closing(Gallery(place, OURS)) as other:
        other.enroll("Bertold", units(7), [0.8])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("edgeface.gallery.sqlite.LOCK_TIMEOUT_S", 0.1)
            with pytest.raises(GalleryError, match="another process has the gallery open"):
                restore.whole(config(tmp_path), SHIPPED, None)
        assert [person.name for person in other.people()] == ["Anna", "Bertold"]
    assert names(place) == ["Anna", "Bertold"]


def test_on_a_full_disk_nothing_is_restored_and_nothing_lost(disk: Path, place: Path) -> None:
    place = disk / "gallery.db"
    with closing(Gallery(place, OURS)) as gallery:
        for number in range(20):
            gallery.enroll(f"P{number}", units(*range(20)), [0.8] * 20)
    backups = Backups(config(disk))
    backups.make()
    change(place, enroll=["Anna"])
    with (disk / "fill").open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free))
    with pytest.raises(GalleryError, match=r"full|space"):
        restore.whole(config(disk), SHIPPED, None)
    assert len(names(place)) == 21
    assert states(backups) == ["ok"]
    assert not list(disk.glob(".gallery*"))


@pytest.mark.parametrize("keep_faces", [True, False])
def test_a_copy_of_another_model_is_taken_over_by_its_faces_or_it_is_told_what_to_do(
    house: House, other_model: Path, keep_faces: bool
) -> None:
    house.keep_faces = keep_faces
    joe = house.enroll("Joe", "biden_portrait")
    backups = Backups(house.settings)
    name = needed(backups.make()).new.copy.path.name
    house.path.unlink()
    with house.open(other_model) as gallery, pytest.raises(GalleryError, match=r"is of the model .* restore it whole"):
        restore.person(backups, load_card(other_model), "1", "Joe")
    if keep_faces:
        assert restore.whole(house.settings, other_model, "1").people == 1
        with house.open(other_model) as gallery:
            assert gallery.people() == [joe]
        return
    with pytest.raises(GalleryError, match=f"{name}: is of the model .* restore it with the version"):
        restore.whole(house.settings, other_model, "1")
    with house.open(other_model) as gallery:
        assert gallery.people() == []
    assert restore.whole(house.settings, SHIPPED, "1").people == 1


def test_one_person_is_taken_back_by_name_or_id_and_merged(place: Path, backups: Backups) -> None:
    change(place, enroll=["Anna", "Bertold"])
    with closing(Gallery(place, OURS)) as gallery:
        anna = gallery.find("Anna")
        backups.make()
        gallery.enroll("Anna", units(99), [0.8])
        for reference in ("Anna", anna.id):
            copy, document = restore.person(backups, load_card(SHIPPED), None, reference)
            (done,) = gallery.import_(document)
            assert (copy, done.person.id, done.new, done.added) == (backups.find()[0].path.name, anna.id, False, 0)
        with closing(sqlite3.connect(place)) as file:  # lost, not forgotten
            file.execute("PRAGMA foreign_keys=ON")
            file.execute("DELETE FROM people WHERE id = ?", (anna.id,))
            file.commit()
        (done,) = gallery.import_(restore.person(backups, load_card(SHIPPED), "1", "Anna")[1])
        assert (done.person.id, done.new, done.added) == (anna.id, True, 1)
        assert done.person.enrolled == anna.enrolled
    with pytest.raises(GalleryError, match="nobody called 'Dora' is in this backup"):
        restore.person(backups, load_card(SHIPPED), "1", "Dora")


def test_the_commands_make_list_and_restore(cli: Cli, obama: dict[str, Any]) -> None:
    assert "no backup" in cli("gallery", "backups").stderr
    made = cli.json("gallery", "backup")
    assert made["backup"]["people"] == 1
    assert made["backup"]["state"] == "ok"
    assert cli.json("gallery", "backups")["backups"] == [made["backup"]]
    line = cli("gallery", "backups").stdout
    assert made["backup"]["file"] in line
    assert "1 person" in line
    cli("people", "rename", "Barack Obama", "Barry")
    done = cli.json("gallery", "restore")
    assert (done["copy"], done["people"]) == (made["backup"]["file"], 1)
    assert "Barack Obama" in cli("people", "list").stdout
    assert cli.json("gallery", "restore", "1", "--person", "Barack Obama")["added"] == 0
    assert "this backup" in cli.refusal("gallery", "restore", "2", "--person", "Barack Obama")
    assert "there already" in cli("gallery", "restore", "--person", "Barack Obama").stdout
    assert "Nobody" in cli.refusal("gallery", "restore", "--person", "Nobody")
    cli("people", "forget", "Barack Obama")
    assert [one["people"] for one in cli.json("gallery", "backups")["backups"]] == [0, 0]
    assert "nobody is enrolled" in cli("gallery", "backup").stderr
    audit = [json.loads(line) for line in cli.gallery.with_name("audit.jsonl").read_text().splitlines()]
    told = [(entry["action"], entry.get("copy")) for entry in audit if entry["action"] in ("backup", "restore")]
    name = made["backup"]["file"]
    assert told == [("backup", name), ("restore", name), ("restore", name), ("restore", name)]
    assert "Barack" not in cli.gallery.with_name("audit.jsonl").read_text()


def test_the_list_can_be_read_when_the_gallery_cannot_and_tells_what_is_damaged(cli: Cli, obama: dict[str, Any]) -> None:
    made = cli.json("gallery", "backup")["backup"]
    cli.gallery.write_bytes(b"no database")
    assert made["file"] in cli("gallery", "backups").stdout
    path = cli.gallery.parent / "backups" / made["file"]
    flip(path, sealed_at(path))
    assert "damaged" in cli("gallery", "backups", code=1).stdout
    (check,) = cli.json("doctor", "--only", "backup", code=1)["checks"]
    assert made["file"] in check["found"]
    assert "no good backup" in cli.refusal("gallery", "restore")


def test_the_doctor_sees_whether_there_are_good_backups(cli: Cli, obama: dict[str, Any], tmp_path: Path) -> None:
    def doctor(**how: Any) -> Any:
        return cli.json("doctor", "--only", "backup", **how)["checks"][0]

    assert "none yet" in doctor()["found"]
    made = cli.json("gallery", "backup")["backup"]["file"]
    assert "is good" in doctor()["found"]
    folder = cli.gallery.parent / "backups"
    old = folder / made.replace(made[24:40], "20200101T000000Z")
    (folder / made).rename(old)
    assert "days ago" in doctor(code=1)["found"]
    old.rename(folder / made)
    (folder / made).chmod(0o644)
    assert "chmod 0600" in doctor(code=1)["found"]
    cli.set(backup={"folder": str(tmp_path / "stick")})
    assert "is not there" in doctor(code=1)["found"]
    cli.set(backup={"keep": 0})
    assert "none wanted" in doctor()["found"]


def test_who_is_forgotten_while_the_copies_are_away_is_told_to_be_in_them(
    cli: Cli, obama: dict[str, Any], tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    cli.set(backup={"folder": str(stick)})
    cli("gallery", "backup")
    stick.rename(tmp_path / "away")
    done = cli("people", "forget", "Barack Obama")
    assert f"may still be in backups that cannot be changed now: {stick};" in done.stderr
    (tmp_path / "away").rename(stick)
    cli("gallery", "backup")
    assert cli.json("gallery", "backups")["backups"][0]["people"] == 0
