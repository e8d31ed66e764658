"""The daemon's backups: in a thread beside the loop, and what it tells of them."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixtures.backup import config, crowd, damage, no_credentials, people
from fixtures.broker import eventually
from fixtures.commandline import Cli
from fixtures.galleries import MODEL, units
from fixtures.operations import talk
from fixtures.optional import needed
from fixtures.status import HEALTH, alive
from msgspec.structs import replace as changed
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edgeface.config.load import load
from edgeface.config.schema import BackupSettings, CameraSettings
from edgeface.daemon import backup_task
from edgeface.daemon.assembly import assemble
from edgeface.daemon.backup_task import BackupTask
from edgeface.daemon.metrics import HealthCollector
from edgeface.daemon.status import describe
from edgeface.errors import EdgefaceError
from edgeface.gallery.backup import Backups, Gentle
from edgeface.gallery.store import Gallery
from edgeface.health import BackupStatus
from edgeface.platform.text import local

__all__ = ["no_credentials"]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_task, "SETTLE", 0.0)
    monkeypatch.setattr(backup_task, "LOOK", 0.05)


class Loop:
    """The task with a loop that tells it what is known."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.settings = config(folder, **sections)
        self.gallery = Gallery(folder / "gallery.db", MODEL)
        self.backups = Backups(self.settings)
        self.task = BackupTask(self.settings)
        self.templates, self.version = self.gallery.templates(), self.gallery.version

    def until(self, true: Callable[..., bool | list[Path]], seconds: float = 20) -> Any:
        def turn() -> bool | list[Path]:
            if self.gallery.version != self.version:
                self.templates, self.version = self.gallery.templates(), self.gallery.version
            self.task.update(self.templates)
            return true(self.task.state)

        return eventually(turn, seconds)

    def close(self) -> None:
        self.task.close()
        self.gallery.close()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Callable[..., Loop]]:
    crowd(tmp_path).close()
    started = []

    def start(**sections: Any) -> Loop:
        started.append(Loop(tmp_path, **sections))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_the_daemon_makes_a_copy_and_no_second_one_that_day(loop: Callable[..., Loop], tmp_path: Path) -> None:
    one = loop()
    assert one.until(lambda state: state.latest)
    assert not one.until(lambda state: state.copies > 1, 0.5)
    (copy,) = one.backups.find()
    assert one.task.state == BackupStatus(True, 1, copy.wall, None)
    entry = json.loads((tmp_path / "audit.jsonl").read_text().splitlines()[-1])
    assert (entry["action"], entry["copy"], entry["people"]) == ("backup", copy.path.name, 30)
    one.close()
    again = loop()
    assert not again.until(lambda state: state.copies > 1, 0.5)
    assert again.task.state.latest == copy.wall


def test_who_is_forgotten_goes_from_the_copies_at_once_by_whatever_way(loop: Callable[..., Loop], tmp_path: Path) -> None:
    one = loop()
    assert one.until(lambda state: state.copies == 1)
    (copy,) = one.backups.find()
    one.gallery.forget("P1")
    assert one.until(lambda _: "P1" not in people(copy.path, one.backups))
    with closing(Gallery(tmp_path / "gallery.db", MODEL)) as other:
        other.forget("P2")
    assert one.until(lambda _: "P2" not in people(copy.path, one.backups))
    assert len(people(copy.path, one.backups)) == 28


def test_without_backups_wanted_none_is_made_and_the_forgotten_go_from_those_that_are_there(
    loop: Callable[..., Loop], tmp_path: Path
) -> None:
    Backups(config(tmp_path)).make()
    one = loop(backup={"keep": 0})
    one.gallery.forget("P1")
    (copy,) = one.backups.find()
    assert one.until(lambda _: "P1" not in people(copy.path, one.backups))
    assert len(one.backups.find()) == 1
    assert not one.task.state.wanted


def test_what_is_wrong_is_told_once_and_is_over_when_it_is_mended(
    loop: Callable[..., Loop], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_task, "RETRY", 0.0)
    stick = tmp_path / "stick"
    one = loop(backup={"folder": str(stick)})
    assert one.until(lambda state: state.trouble == f"no backup: {stick} is not there: mount or make it, or set backup.folder")
    time.sleep(0.3)
    assert caplog.text.count("is not there") == 1
    stick.mkdir()
    assert one.until(lambda state: state.copies == 1 and state.trouble is None)


def test_a_damaged_gallery_is_trouble_with_its_cure(
    loop: Callable[..., Loop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_task, "RETRY", 0.0)
    damage(tmp_path / "gallery.db")
    settings = config(tmp_path)
    task = BackupTask(settings)
    task.update(None)  # type: ignore[arg-type]  # a damaged gallery has none
    assert eventually(lambda: task.state.trouble)
    task.close()
    assert "damaged" in needed(task.state.trouble)
    assert needed(task.state.trouble).endswith("edgeface gallery restore")


def test_a_copy_that_rots_is_told_until_it_is_deleted(loop: Callable[..., Loop], tmp_path: Path) -> None:
    made = needed(Backups(config(tmp_path)).make()).new.copy.path
    os.truncate(made, made.stat().st_size // 2)
    old = made.with_name(made.name.replace(made.name[24:40], "20200101T000000Z"))
    made.rename(old)
    one = loop()
    assert one.until(lambda state: state.trouble == f"a backup cannot be read to its end: delete {old.name}")
    assert one.task.state.copies == 1
    old.unlink()
    assert one.until(lambda state: state.trouble is None)


def test_a_fault_of_ours_does_not_end_the_backups(loop: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_task, "RETRY", 0.0)
    make = Backups.make
    monkeypatch.setattr(Backups, "make", lambda *_: 1 / 0)
    one = loop()
    assert one.until(lambda state: state.trouble == "no backup: it failed inside; the log has more")
    monkeypatch.setattr(Backups, "make", make)
    assert one.until(lambda state: state.copies == 1 and state.trouble is None)


def test_the_end_of_the_daemon_gives_up_a_copy_that_is_being_made(
    loop: Callable[..., Loop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gentle, "LONGEST", 0.01)
    monkeypatch.setattr(Gentle, "WORK", -1.0)
    one = loop()
    assert one.until(lambda _: list(one.backups.folder.glob(".gallery-*")))
    one.close()
    assert not needed(one.task._thread).is_alive()
    assert not list(one.backups.folder.glob("*gallery-*"))


def test_status_metrics_and_health_tell_of_backups() -> None:
    trouble = "no backup: the disk is full"
    told = alive(backed=BackupStatus(True, 3, 1.7e9, trouble))
    assert told["troubles"] == [trouble]
    assert told["backup"] == {"copies": 3, "latest": "2023-11-14T22:13:20.000Z", "trouble": trouble}
    assert f"3, the latest of {local('2023-11-14T22:13:20.000Z')}" in describe(told)
    assert "none yet" in describe(alive(backed=BackupStatus(True)))
    assert "backup" not in alive()
    registry = CollectorRegistry()
    registry.register(HealthCollector(lambda: replace(HEALTH, backed=BackupStatus(True, 3, 1.7e9, trouble))))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    values = {sample.name: sample.value for family in families for sample in family.samples if "backup" in sample.name}
    assert values == {"edgeface_backup_copies": 3, "edgeface_backup_latest_timestamp_seconds": 1.7e9, "edgeface_backup_up": 0}


def test_a_running_daemon_is_asked_for_backups_and_for_one_person_and_refuses_a_whole_restore(
    cli: Cli, obama: dict[str, Any], scene: dict[str, Any]
) -> None:
    cli.set(camera=scene | {"hold": 60.0})
    daemon = cli.start("run")
    daemon.line()
    settings = load(cli.file)

    def ask(verb: str, **request: Any) -> Any:
        return list(talk(settings, verb, **request))[-1]

    made = ask("backup")["backup"]
    assert (made["people"], made["state"]) == (1, "ok")
    assert ask("backups")["backups"] == [made]
    assert ask("restore", copy="1", person="Barack Obama")["added"] == 0
    for wrong in ("/etc/passwd", "../gallery.db", "9"):
        with pytest.raises(EdgefaceError, match=r"malformed|there is no backup"):
            ask("restore", copy=wrong, person="Barack Obama")
    assert "stop it" in cli.refusal("gallery", "restore")
    ask("forget", person="Barack Obama")
    assert eventually(lambda: ask("backups")["backups"][0]["people"] == 0)
    assert cli("status").stdout.count("backups")
    assert cli.json("status")["backup"]["copies"] == 1
    assert daemon.stop() == 0


def test_other_settings_for_backups_take_effect_with_a_reload(tmp_path: Path, demo_photos: Path) -> None:
    settings = changed(config(tmp_path), camera=CameraSettings(source=f"folder:{demo_photos}"))
    old = assemble(settings)
    old.gallery.enroll("Anna", units(1), [0.8])
    old.backup.update(old.pipeline.templates)
    (tmp_path / "stick").mkdir()
    now = changed(settings, backup=BackupSettings(folder=str(tmp_path / "stick")))
    new = assemble(now, old)
    assert not needed(old.backup._thread).is_alive()
    new.backup.update(new.pipeline.templates)
    assert eventually(lambda: new.backup.state.copies == 1)
    assert new.reporter._gallery.backup is new.backup
    assert [copy.path.parent for copy in Backups(now).find()] == [tmp_path / "stick"]
    new.backup.close()
    new.gallery.close()
