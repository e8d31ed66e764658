import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fixtures.disk import fill

from edgeface.errors import GalleryError
from edgeface.gallery import database_file
from edgeface.gallery.sqlite import connect
from edgeface.gallery.store import Gallery

MODEL = "sha256:1f"
ANNA = np.eye(128, dtype=np.float32)[0]
ENROLL = f"""
import os, sys
import numpy as np
from pathlib import Path
from edgeface.gallery.store import Gallery
gallery = Gallery(Path(sys.argv[1]), {MODEL!r})
gallery.enroll("Anna", [np.eye(128, dtype=np.float32)[0]], [0.9])
gallery.close() if sys.argv[2] == "closed" else os._exit(0)
"""


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_people_are_known_on_a_read_only_file_system_and_nothing_changes(
    disk: Path, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    subprocess.run([sys.executable, "-c", ENROLL, disk / "gallery.db", end], check=True, timeout=60)
    assert (disk / "gallery.db-wal").exists() == (end == "killed")
    remount(disk, "ro")
    gallery = Gallery(disk / "gallery.db", MODEL)
    assert "read-only" in caplog.text
    assert [person.name for person in gallery.templates().people] == ["Anna"]
    assert gallery.version == gallery.version
    changes: tuple[Callable[[], object], ...] = (
        lambda: gallery.enroll("Bert", [ANNA], [0.9]),
        lambda: gallery.forget("Anna"),
    )
    for change in changes:
        with pytest.raises(GalleryError, match=r"gallery\.db"):
            change()
    assert [person.name for person in gallery.people()] == ["Anna"]
    gallery.close()
    remount(disk, "rw")
    gallery = Gallery(disk / "gallery.db", MODEL)
    assert gallery.enroll("Bert", [ANNA], [0.9]).name == "Bert"
    gallery.close()


def test_on_a_read_only_file_system_no_gallery_can_begin(disk: Path) -> None:
    remount(disk, "ro")
    with pytest.raises(OSError, match="Read-only"):
        connect(disk / "gallery.db")


def test_on_a_full_disk_a_change_is_refused_whole(disk: Path) -> None:
    gallery = Gallery(disk / "gallery.db", MODEL)
    gallery.enroll("Anna", [ANNA], [0.9])
    free = os.statvfs(disk)
    (disk / "fill").write_bytes(bytes((free.f_bavail - 100) * free.f_bsize))
    many = np.linalg.qr(np.random.default_rng(0).normal(size=(128, 128)))[0].astype(np.float32)

    def enroll_without_end() -> None:
        for number in range(100):
            gallery.enroll(f"Bert {number}", list(many), [0.9] * 128)

    with pytest.raises(GalleryError, match=r"gallery\.db: .*full"):
        enroll_without_end()
    people = [(person.name, person.templates) for person in gallery.people()]
    assert {count for name, count in people if name != "Anna"} <= {128}
    (disk / "fill").unlink()
    assert gallery.enroll("Carl", [ANNA], [0.9]).name == "Carl"
    gallery.close()


def test_two_connections_of_one_process_lose_no_lock(tmp_path: Path) -> None:
    """Else another process that comes and goes removes the log under our feet, and what is written then is lost."""
    first = Gallery(tmp_path / "gallery.db", MODEL)
    second = Gallery(tmp_path / "gallery.db", MODEL)
    subprocess.run([sys.executable, "-c", ENROLL, tmp_path / "gallery.db", "closed"], check=True, timeout=60)
    assert (tmp_path / "gallery.db-wal").exists()
    second.rename("Anna", "Berta")
    other = "import sys; from pathlib import Path; from edgeface.gallery.store import Gallery\n"
    other += f"print(Gallery(Path(sys.argv[1]), {MODEL!r}).people()[0].name)"
    done = subprocess.run([sys.executable, "-c", other, tmp_path / "gallery.db"], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "Berta"
    assert [person.name for person in first.people()] == ["Berta"]
    first.close()
    second.close()


def crowd(gallery: Gallery) -> None:
    for number in range(200):
        gallery.enroll(f"Bert {number}", [ANNA], [0.9])


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_people_are_known_on_a_full_disk_and_change_once_there_is_room(
    disk: Path, end: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_file, "ROOM_EVERY_S", 0.0)
    subprocess.run([sys.executable, "-c", ENROLL, disk / "gallery.db", end], check=True, timeout=60)
    fill(disk)
    gallery = Gallery(disk / "gallery.db", MODEL)
    assert ("disk is full" in caplog.text) == (end == "closed")  # a killed process left its log, with room in it
    before = gallery.version
    assert [person.name for person in gallery.templates().people] == ["Anna"]
    with pytest.raises(GalleryError, match=r"gallery\.db"):
        crowd(gallery)
    assert "Anna" in [person.name for person in gallery.people()]
    assert gallery.version[0] == before[0]
    (disk / "fill").unlink()
    other = Gallery(disk / "gallery.db", MODEL)
    other.enroll("Carl", [ANNA], [0.9])
    assert gallery.version != before
    assert "Carl" in [person.name for person in gallery.people()]
    gallery.enroll("Dora", [ANNA], [0.9])
    assert "Dora" in [person.name for person in other.people()]
    other.close()
    gallery.close()
