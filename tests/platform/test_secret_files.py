"""Every reader of a secret file keeps the same rules: real files, pipes, devices and credentials."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.optional import needed

from edgeface.config.schema import Config, GallerySettings, MqttSettings, SyncSettings
from edgeface.errors import EdgefaceError
from edgeface.gallery.encryption import find_key
from edgeface.gallery.portable import read_passphrase
from edgeface.mqtt.client import read_password
from edgeface.sync.messages import make_key, read_key
from edgeface.web.token import Token


def configured(path: Path) -> Config:
    return Config(gallery=GallerySettings(path=str(path.with_name("gallery.db"))), sync=SyncSettings(key_file=str(path)))


READERS: dict[str, Callable[[Path], object]] = {
    "gallery key": lambda path: needed(find_key(path, create=False)).secret,
    "sync key": lambda path: read_key(configured(path)),
    "token": lambda path: Token(path).text(),
    "passphrase": read_passphrase,
    "password": lambda path: read_password(MqttSettings("broker", username="me", password_file=str(path))),
}
SECRET = b"0123456789abcdef0123456789ABCDEF"
GOOD = dict.fromkeys(READERS, SECRET) | {"sync key": 2 * SECRET}
PRIVATE = sorted(READERS.keys() - {"password"})


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path, reader: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    path = tmp_path / "secret"
    path.write_bytes(GOOD[reader])
    path.chmod(0o600)
    return path


def refusal(reader: str, path: Path) -> str:
    with pytest.raises(EdgefaceError) as caught:
        READERS[reader](path)
    told = str(caught.value)
    assert str(path) in told
    assert len(told.splitlines()) == 1
    return told


def test_a_private_file_is_read(reader: str, path: Path) -> None:
    assert READERS[reader](path)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_what_others_may_read_is_told(reader: str, path: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    path.chmod(mode)
    if reader in PRIVATE:
        assert f"({mode:04o}); chmod 0600 {path}" in refusal(reader, path)
    else:  # the group's, and a broker's password does not keep a device from its work
        assert READERS[reader](path)
        assert [record.message for record in caplog.records] == (
            [f"mqtt.password_file {path}: others may read the password (0604); chmod o= {path}"] if mode & 0o007 else []
        )


def test_a_credential_is_guarded_by_systemd(
    reader: str, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path.chmod(0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    assert READERS[reader](path)
    assert not caplog.records


@pytest.mark.parametrize("kind", ["folder", "device", "large"])
def test_what_is_no_small_file_is_refused(reader: str, path: Path, kind: str) -> None:
    if kind == "large":
        os.truncate(path, 5 * 2**20)
        assert "larger than 4 MB" in refusal(reader, path)
        return
    path.unlink()
    path.mkdir() if kind == "folder" else path.symlink_to("/dev/zero")
    refusal(reader, path)


def test_a_pipe_is_waited_for_on_the_command_line_alone(reader: str, path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)
    if reader == "passphrase":
        writer = threading.Thread(target=path.write_bytes, args=(SECRET,))
        writer.start()
        assert READERS[reader](path) == SECRET.decode()
        writer.join()
    else:
        refusal(reader, path)


def test_a_key_is_made_by_one_of_many_and_read_by_all(tmp_path: Path) -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; from edgeface.web.token import Token; from pathlib import Path; "
    code += f"print(Token(Path({str(tmp_path / 'folder' / 'web.token')!r})).text())"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({process.communicate()[0] for process in started}) == 1
    assert make_key(configured(tmp_path / "new" / "sync.key"))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
