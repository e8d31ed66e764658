import json
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import eventually
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeface.config.schema import CameraSettings, Config, DeviceSettings, GallerySettings
from edgeface.control import discovery
from edgeface.control import server as control_server
from edgeface.control.client import ask
from edgeface.control.discovery import socket_path
from edgeface.control.server import CLIENTS, MAX_LINE, ControlServer
from edgeface.errors import EdgefaceError
from edgeface.operations.context import Job
from edgeface.operations.jobs import JobQueue


def refuse(_request: object) -> None:
    raise EdgefaceError("not today")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Settings whose socket stands beside the gallery."""
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    return Config(gallery=GallerySettings(str(tmp_path / "gallery.db")))


@pytest.fixture
def server(here: Config) -> Iterator[ControlServer]:
    server = ControlServer(here, {"echo": lambda request: request["what"], "refuse": refuse}, JobQueue())
    yield server
    server.close()


def raw(server: ControlServer, data: bytes) -> Any:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(server.path))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    return json.loads(answer) if answer else None


def test_a_line_gets_a_line(here: Config, server: ControlServer) -> None:
    assert ask(here, "echo", what=["ä", 1]) == ["ä", 1]
    assert raw(server, b'{"verb": "echo", "what": 5}\n') == {"ok": 5}


@pytest.mark.usefixtures("here")
def test_a_gallery_may_lie_deep(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["folder"] * 20)
    deep.mkdir(parents=True)
    there = Config(gallery=GallerySettings(str(deep / "gallery.db")))
    server = ControlServer(there, {"echo": lambda request: request["what"]}, JobQueue())
    assert ask(there, "echo", what=1) == 1
    server.close()
    assert not any(deep.iterdir())
    with pytest.raises(EdgefaceError, match="no daemon"):
        ask(there, "echo", what=1)


def test_a_refusal_and_an_unknown_verb_are_errors_of_one_line(here: Config, server: ControlServer) -> None:
    with pytest.raises(EdgefaceError, match="refuses: not today"):
        ask(here, "refuse")
    with pytest.raises(EdgefaceError, match="the verbs are echo, refuse"):
        ask(here, "dance")


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_whatever_is_asked_the_next_client_is_answered(here: Config, server: ControlServer, data: bytes) -> None:
    answer = raw(server, data)
    assert answer is None or "error" in answer
    assert ask(here, "echo", what=1) == 1


@pytest.mark.parametrize("fault", [KeyError("secret"), OSError(28, "secret"), None])
def test_a_fault_of_our_own_is_one_line_for_the_client_and_the_rest_is_in_the_log(
    here: Config, caplog: pytest.LogCaptureFixture, fault: KeyError | OSError | None
) -> None:
    def broken(_request: object) -> object:
        if fault:
            raise fault
        return object()  # which is no JSON

    server = ControlServer(here, {"broken": broken, "echo": lambda request: request["what"]}, JobQueue())
    with pytest.raises(EdgefaceError, match=r"^the daemon refuses: it failed inside; the log has more$"):
        ask(here, "broken")
    assert ask(here, "echo", what=1) == 1
    server.close()
    assert "socket failed" in caplog.text


@contextmanager
def user(number: int) -> Iterator[None]:
    """Who connects in here is another user; in a folder that is theirs to enter."""
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)


class Jobs(JobQueue):
    """A queue that no loop works on; ``asked`` are the results that are waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def submit(self, job: Job[Any, Any]) -> Job[Any, Any]:
        self.asked.append(job.result)
        return job


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ControlServer, list[Any]]]:
    """Settings whose socket every user of the group may reach, and a server whose errands never end, but for people."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be several users")
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        settings = Config(gallery=GallerySettings(f"{folder}/gallery.db"))
        jobs = Jobs()
        server = ControlServer(settings, {"echo": lambda request: request["what"]}, jobs)
        yield server, jobs.asked
        server.close()


def talking(server: ControlServer, verb: str, **request: Any) -> socket.socket:
    """A client that asked for an errand, and sends nothing more."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(str(server.path))
    client.sendall(json.dumps({"verb": verb} | request).encode() + b"\n")
    return client


def refusal(client: socket.socket) -> str:
    error: str = json.loads(client.makefile("rb").readline())["error"]
    return error


def test_a_user_who_idles_leaves_the_others_their_share(shared: tuple[ControlServer, list[Any]]) -> None:
    server, asked = shared
    clients = []
    for number in range(1001, 1004):
        with user(number):
            clients.append(talking(server, "photos", name="Eve"))
            assert "does as much for user" in refusal(talking(server, "photos", name="Eve"))
            clients.append(talking(server, "enroll", name="Eve"))
            assert "does as much for user" in refusal(talking(server, "people"))
    assert eventually(lambda: len(asked) == 6)
    with user(1004):
        assert "busy" in refusal(talking(server, "photos", name="Anna"))
        client = talking(server, "people")
        assert eventually(lambda: len(asked) == 7)
        asked[-1].set_result({"people": []})
        assert json.loads(client.makefile("rb").readline()) == {"ok": {"people": []}}
    for client in clients:
        client.close()


def test_a_user_who_fills_the_line_leaves_the_others_room(shared: tuple[ControlServer, list[Any]]) -> None:
    server, _ = shared
    with user(1001):
        silent = []
        for _ in range(3 * CLIENTS[1]):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(server.path))
            silent.append(client)
    with user(1002):
        assert json.loads(talking(server, "echo", what=1).makefile("rb").readline()) == {"ok": 1}
    for client in silent:
        client.close()


def test_photos_that_do_not_come_end_the_talk_with_a_line(
    shared: tuple[ControlServer, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_server, "PHOTO_TIMEOUT", 0.5)
    server, asked = shared
    assert refusal(talking(server, "photos", name="Eve")) == "no photo came for 0 s; nothing was kept"
    assert eventually(asked[0].cancelled)


def test_deep_and_endless_lines_are_refused(here: Config, server: ControlServer) -> None:
    assert "error" in raw(server, b'{"verb": ' + b"[" * 30_000 + b"\n")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.path))
        with pytest.raises(OSError):  # noqa: PT011
            client.sendall(b" " * MAX_LINE * 100)
    assert ask(here, "echo", what=1) == 1


def test_silent_clients_hold_nobody_up_and_are_cut_off(
    here: Config, server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_server, "TIMEOUT", 2.0)
    silent = []
    for _ in range(CLIENTS[1] - 1):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(str(server.path))
        silent.append(client)
    assert ask(here, "echo", what=1) == 1
    assert [client.recv(1) for client in silent] == [b""] * len(silent)
    for client in silent:
        client.close()


def test_the_socket_is_for_the_daemons_user_and_group_and_goes_with_it(server: ControlServer) -> None:
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o660
    server.close()
    assert not server.path.exists()


def test_a_socket_that_a_killed_daemon_left_is_taken_over(here: Config) -> None:
    path = socket_path(here)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    server = ControlServer(here, {"echo": lambda request: request["what"]}, JobQueue())
    assert ask(here, "echo", what=1) == 1
    server.close()


def test_two_daemons_with_the_same_settings_are_one_too_many(here: Config, server: ControlServer) -> None:
    with pytest.raises(EdgefaceError, match="another daemon"):
        ControlServer(here, {}, JobQueue())
    assert server.path.exists()


@pytest.mark.parametrize("variable", ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"])
def test_a_second_daemon_is_refused_though_its_own_socket_would_be_elsewhere(
    here: Config, server: ControlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(EdgefaceError, match=f"another daemon .* answers at {server.path}"):
        ControlServer(here, {}, JobQueue())
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert ask(here, "echo", what=1) == 1


def test_a_file_of_another_kind_is_left_alone(here: Config) -> None:
    socket_path(here).write_text("mine")
    with pytest.raises(OSError):  # noqa: PT011
        ControlServer(here, {}, JobQueue())
    assert socket_path(here).read_text() == "mine"


def test_where_nobody_is_the_error_says_what_to_do(here: Config) -> None:
    with pytest.raises(EdgefaceError, match="no daemon with these settings is running"):
        ask(here, "status")


def test_one_that_never_answers_is_given_up(here: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "TIMEOUT", -0.9)
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(socket_path(here)))
        hung.listen()
        with pytest.raises(EdgefaceError, match="does not answer"):
            ask(here, "status")


def test_daemons_on_one_machine_do_not_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}:/elsewhere")
    gallery = GallerySettings("/g/gallery.db")
    several = [
        Config(),
        Config(device=DeviceSettings("door")),
        Config(camera=CameraSettings(name="back")),
        Config(gallery=gallery),
        Config(gallery=GallerySettings("/h/gallery.db")),
    ]
    paths = {socket_path(config) for config in several}
    assert len(paths) == len(several)
    assert {path.parent for path in paths} == {tmp_path}
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert str(socket_path(several[0])).startswith("/run/user/1000/edgeface-")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert str(socket_path(several[3])).startswith("/g/edgeface-")


def test_a_client_without_systemds_words_finds_the_services_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Config(gallery=GallerySettings(str(tmp_path / "gallery.db")))
    monkeypatch.setattr(discovery, "SERVICE_FOLDER", tmp_path / "run")
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    server = ControlServer(here, {"echo": lambda request: request["what"]}, JobQueue())
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "of the user"))
    assert ask(here, "echo", what=1) == 1
    server.close()
