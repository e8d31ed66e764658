"""Files are written whole, and where nobody else leads us."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fixtures.optional import needed

from edgeface.gallery.encryption import find_key
from edgeface.platform.files import clear_away, write_new, write_whole

NOBODY = 65534
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")


def there(folder: Path) -> list[Any]:
    return sorted(file.name for file in folder.iterdir())


def planted(path: Path, target: Path) -> Path:
    path.symlink_to(target)
    os.lchown(path, NOBODY, NOBODY)
    return path


@root
def test_another_user_s_link_is_not_followed_and_what_it_points_to_stays(tmp_path: Path) -> None:
    precious = tmp_path / "gallery.db"
    precious.write_bytes(b"precious")
    link = planted(tmp_path / "people.sealed", precious)
    with pytest.raises(PermissionError, match="another user's link"):
        write_whole(link, b"export")
    (tmp_path / "ours").symlink_to(link)
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "ours", b"export")
    folder = planted(tmp_path / "folder", tmp_path)
    with pytest.raises(PermissionError):
        write_whole(folder / "gallery.db", b"export")
    assert precious.read_bytes() == b"precious"
    assert there(tmp_path) == ["folder", "gallery.db", "ours", "people.sealed"]


@root
def test_nothing_is_written_into_another_user_s_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.chown(tmp_path / "pipe", NOBODY, NOBODY)
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "pipe", b"export")
    assert os.read(reader, 10) == b""
    os.close(reader)


def test_a_link_of_ours_stays_one_and_a_loop_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", b"1")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"1"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(tmp_path / "loop", b"1")


@pytest.mark.parametrize("nameless", [True, False])
def test_a_new_file_is_written_once_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    if not nameless:
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)  # which cannot be written, as where there is none
    path = tmp_path / "new"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: write_new(path, bytes([number]) * 32, 0o600), range(8)))
    assert len(set(path.read_bytes())) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert there(tmp_path) == ["new"]


def test_no_second_copy_of_the_key_is_ever_under_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill may come at any moment: what the folder holds just before and after each link is all that can be left."""
    seen: list[list[str]] = []
    link = os.link

    def watched(*words: Any, **more: Any) -> None:
        seen.append(there(tmp_path))
        link(*words, **more)
        seen.append(there(tmp_path))

    monkeypatch.setattr(os, "link", watched)
    find_key(tmp_path / "gallery.key", create=True)
    assert seen == [[], ["gallery.key"]]


def test_a_copy_of_the_key_that_an_earlier_kill_left_is_removed(tmp_path: Path) -> None:
    key = find_key(tmp_path / "gallery.key", create=True)
    (tmp_path / ".gallery.key.f30489b3.new").write_bytes(needed(key).secret)
    others = [".gallery.key.new", ".gallery.key.f30489b3.old", ".other.key.f30489b3.new"]
    for name in others:
        (tmp_path / name).touch()
    assert find_key(tmp_path / "gallery.key", create=False) == key
    assert there(tmp_path) == sorted(["gallery.key", *others])
    clear_away(tmp_path / "gallery.key")
