import stat
from pathlib import Path

import pytest
from fixtures.optional import needed
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from edgeface.errors import ConfigError, GalleryError
from edgeface.gallery.encryption import Key, Sealer, find_key
from edgeface.platform.secret_files import credential

MODEL = "sha256:a"
KEY = Key(bytes(range(32)), "here")
BOUND = st.lists(st.text(max_size=5), max_size=3).map(tuple)


class Note(Struct, frozen=True, array_like=True):
    text: str
    data: bytes


class Other(Struct, frozen=True, array_like=True):
    number: int


@given(text=st.text(), data=st.binary(), bound=BOUND)
def test_what_is_sealed_is_read_back_where_it_belongs(text: str, data: bytes, bound: tuple[str, ...]) -> None:
    note = Note(text, data)
    assert Sealer(KEY, MODEL).unseal(Sealer(KEY, MODEL).seal(note, *bound), Note, *bound) == note


@given(bound=BOUND, other=BOUND)
def test_what_is_sealed_for_one_place_opens_in_no_other(bound: tuple[str, ...], other: tuple[str, ...]) -> None:
    sealed = Sealer(KEY, MODEL).seal(Note("", b""), *bound)
    if bound != other:
        with pytest.raises(ValueError, match="does not belong"):
            Sealer(KEY, MODEL).unseal(sealed, Note, *other)
    for sealer in (Sealer(KEY, "sha256:b"), Sealer(Key(bytes(32), ""), MODEL)):
        with pytest.raises(ValueError, match="does not belong"):
            sealer.unseal(sealed, Note, *bound)


@given(at=st.integers(0, 60), bit=st.integers(0, 7))
def test_no_bit_can_be_changed(at: int, bit: int) -> None:
    sealed = bytearray(Sealer(KEY, MODEL).seal(Note("Anna", b"0123456789"), "x"))
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(ValueError, match="does not belong"):
        Sealer(KEY, MODEL).unseal(bytes(sealed), Note, "x")


@given(data=st.binary(max_size=80) | st.text(max_size=80) | st.none() | st.integers())
def test_what_was_never_sealed_does_not_open(data: bytes | str | int | None) -> None:
    with pytest.raises(ValueError, match="does not belong"):
        Sealer(KEY, MODEL).unseal(data, Note, "x")  # type: ignore[arg-type]  # whatever a file holds


def test_a_record_of_another_kind_does_not_open() -> None:
    with pytest.raises(ValueError, match="does not belong"):
        Sealer(KEY, MODEL).unseal(Sealer(KEY, MODEL).seal(Note("", b"")), Other)


def test_the_same_twice_is_sealed_into_different_bytes() -> None:
    sealer = Sealer(KEY, MODEL)
    assert len({sealer.seal(Note("Anna", b"x")) for _ in range(100)}) == 100


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "gallery.key"
    assert find_key(path, create=False) is None
    assert not path.exists()
    made = find_key(path, create=True)
    assert (len(needed(made).secret), needed(made).origin) == (32, str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert needed(find_key(path, create=True)).secret == needed(find_key(path, create=False)).secret == needed(made).secret
    assert list(path.parent.iterdir()) == [path]
    assert needed(find_key(tmp_path / "other.key", create=True)).secret != needed(made).secret


def test_a_key_is_not_shown(tmp_path: Path) -> None:
    key = find_key(tmp_path / "gallery.key", create=True)
    assert needed(key).secret.hex() not in repr(key)
    assert repr(needed(key).secret) not in repr(key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "gallery.key"
    find_key(path, create=True)
    path.chmod(mode)
    with pytest.raises(GalleryError, match=rf"others may read the gallery's key \({mode:04o}\); chmod 0600"):
        find_key(path, create=False)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_what_is_no_key_is_refused_and_kept(tmp_path: Path, size: int) -> None:
    path = tmp_path / "gallery.key"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(GalleryError, match=f"{size} bytes, not 32"):
        find_key(path, create=True)
    assert path.stat().st_size == size


@pytest.mark.parametrize("name", ["file/gallery.key", "."])
def test_a_key_that_cannot_be_made_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"gallery\.key_file: ") as caught:
        find_key(tmp_path / name, create=True)
    assert len(str(caught.value).splitlines()) == 1


def test_a_credential_goes_before_a_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = find_key(tmp_path / "gallery.key", create=True)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert credential("gallery-key") is None
    assert find_key(tmp_path / "gallery.key", create=False) == ours
    (tmp_path / "credentials").mkdir()
    given = tmp_path / "credentials" / "gallery-key"
    given.write_bytes(bytes(range(32)))
    given.chmod(0o440)  # as systemd's access list shows
    assert credential("gallery-key") == given
    assert find_key(tmp_path / "absent.key", create=True) == Key(bytes(range(32)), str(given))
    assert not (tmp_path / "absent.key").exists()


def test_what_older_versions_sealed_opens() -> None:
    sealed = bytes.fromhex("3ef87c3d938d54fe781d1c0a1968720a2c6f02fe3105779fcff2e64b24b89b4956f1af51b81f8ff7")
    assert Sealer(KEY, MODEL).unseal(sealed, Note, "x", "y") == Note("Anna", b"0123")
