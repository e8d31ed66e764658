"""The environment is read in one place, and as systemd and the shell mean it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import edgeface
from edgeface.config.load import find
from edgeface.config.paths import secret_path
from edgeface.config.schema import Config
from edgeface.control.discovery import folders
from edgeface.platform import environment

PACKAGE = Path(edgeface.__file__).parent


def test_no_other_module_reads_or_sets_a_variable() -> None:
    named = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if re.search(r"\b(environb?|getenvb?|putenv|unsetenv)\b", file.read_text())
    }
    assert named == {"platform/environment.py"}


@pytest.mark.parametrize(
    ("name", "value", "told", "expected"),
    [
        ("STATE_DIRECTORY", "/a:/b", lambda: Config().gallery_path, Path("/a/gallery.db")),
        ("RUNTIME_DIRECTORY", "/run/a:/run/b", lambda: folders(Config())[0], Path("/run/a")),
        ("CREDENTIALS_DIRECTORY", "/run/c", lambda: secret_path("key", "x"), Path("/run/c/key")),
        ("CREDENTIALS_DIRECTORY", "", lambda: secret_path("key", "x"), Path("key")),
        ("CREDENTIALS_DIRECTORY", "/run/c", lambda: secret_path("/key", "x"), Path("/key")),
        ("EDGEFACE_CONFIG", "/a:b.toml", lambda: find(None), Path("/a:b.toml")),
    ],
)
def test_a_variable_is_read_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: Callable[[], Path | None], expected: Path
) -> None:
    monkeypatch.setenv(name, value)
    assert told() == expected


def test_the_sockets_folder_is_the_services_then_the_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert environment.runtime_folders() == [Path("/run/user/1")]
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/edgeface")
    assert environment.runtime_folders() == [Path("/run/edgeface"), Path("/run/user/1")]


def test_what_the_user_has_set_for_a_library_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    environment.advise(OPENBLAS_NUM_THREADS="1")
    assert not environment.force("OPENBLAS_NUM_THREADS", "4")
    assert environment.force("OPENBLAS_NUM_THREADS", "1")
