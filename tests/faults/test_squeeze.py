"""The daemon in a control group: before a camera that gives more than it can look at, and asked for more than it can hold."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any

import cv2
import pytest
from fixtures.broker import eventually, free_port, needs_broker

from .rig import Rig

ROOT = Path("/sys/fs/cgroup")
pytestmark = pytest.mark.slow
MEMORY, SHARE = 256 * 2**20, 0.5
UNIT = 400 * 2**20, 2.0  # the memory that the unit allows
FPS = 60.0


class Group:
    """A control group of the first or the second kind, whichever this machine has for memory."""

    def __init__(self, memory: int = MEMORY, share: float = SHARE) -> None:
        name = f"edgeface-test-{os.getpid()}"
        self.second = (
            "memory" in (ROOT / "cgroup.controllers").read_text().split() if (ROOT / "cgroup.controllers").exists() else False
        )
        places = [ROOT] if self.second else [ROOT / "memory", ROOT / "cpu"]
        self.folders = [place / name for place in places]
        for folder in self.folders:
            folder.mkdir()
        if self.second:
            limits = {"memory.max": memory, "cpu.max": f"{round(share * 100_000)} 100000"}
        else:
            limits = {"memory.limit_in_bytes": memory, "cpu.cfs_quota_us": round(share * 100_000)}
        for file, limit in limits.items():
            next(folder / file for folder in self.folders if (folder / file).exists()).write_text(f"{limit}\n")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What is started here is in the group."""
        before = [folder.parent for folder in self.folders]
        self._move(self.folders)
        try:
            yield
        finally:
            self._move(before)

    @staticmethod
    def _move(folders: list[Path]) -> None:
        for folder in folders:
            (folder / "cgroup.procs").write_text(f"{os.getpid()}\n")

    @property
    def killed(self) -> int:
        """How many processes were killed for want of memory."""
        file = self.folders[0] / ("memory.events" if self.second else "memory.oom_control")
        return int(dict(line.split() for line in file.read_text().splitlines())["oom_kill"])

    @property
    def most(self) -> float:
        """The most megabytes that were in use, those of cached files too."""
        return int((self.folders[0] / ("memory.peak" if self.second else "memory.max_usage_in_bytes")).read_text()) / 1e6

    def remove(self) -> None:
        for folder in self.folders:
            eventually(lambda: not (folder / "cgroup.procs").read_text(), 10)  # noqa: B023
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def grouped(memory: int = MEMORY, share: float = SHARE) -> Iterator[Group]:
    """A control group while it lasts; the test is skipped where none can be made."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a control group")
    try:
        group = Group(memory, share)
    except (OSError, StopIteration):
        pytest.skip("no control group for memory and processor can be made here")
    try:
        yield group
    finally:
        group.remove()


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    with grouped(*getattr(request, "param", ())) as made:
        yield made


@needs_broker
def test_it_goes_on_in_256_mb_and_half_a_core_and_says_that_it_is_slowed(tmp_path: Path, group: Group) -> None:
    with group.inside():
        rig = Rig(tmp_path, fps=FPS)
        assert eventually(lambda: rig.supervisor.process)
    try:
        rig.settle()
        rig.camera.scene = "face"
        began = time.time()
        assert eventually(lambda: rig.recognized(began), 60), rig.supervisor.log()[-2000:]
        assert eventually(lambda: rig.status()["slowed"], 60), rig.status()
        told = rig.status()
        assert told["fps_limit"] < FPS
        assert told["troubles"] == []
        assert eventually(lambda: any(health.get("slowed") for health in rig.health.on("/health")))
        assert "slowed to" in rig.supervisor.log()
        rig.camera.scene = "nobody"
        time.sleep(3)
        assert rig.recognizes(60)
        rig.check()
        assert (group.killed, rig.supervisor.starts) == (0, 1)
        print(f"{group.most:.0f} MB at most; {told['fps_limit']:.1f} frames/s: {told['slowed']}")
    finally:
        rig.close()


@pytest.mark.parametrize("group", [UNIT], indirect=True)
def test_photos_of_16_megapixels_all_at_once_do_not_get_it_killed(tmp_path: Path, group: Group, demo_photos: Path) -> None:
    port, file = free_port(), tmp_path / "edgeface.toml"
    file.write_text(
        f'[gallery]\npath = "{tmp_path}/gallery.db"\n[camera]\nsource = "folder:{demo_photos}"\nhold = 60\n'
        f"[web]\nenabled = true\nport = {port}\n"
    )
    large = cv2.resize(cv2.imread(str(demo_photos / "obama_portrait.jpg")), (4000, 4000))
    photo = cv2.imencode(".jpg", large)[1].tobytes()
    environment = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "edgeface", "--config", str(file)]
    with group.inside():
        process = subprocess.Popen([*words, "run"], env=environment, stdout=subprocess.DEVNULL)

    def ask(method: str, path: str, body: bytes | None = None, **headers: Any) -> tuple[int, HTTPMessage, bytes]:
        connection = HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def served() -> bool:
        with suppress(OSError):
            return ask("GET", "/")[0] == 401
        return False

    try:
        assert eventually(served, 120)
        link = subprocess.run([*words, "web", "url"], env=environment, capture_output=True, text=True, timeout=120).stdout
        _, given, _ = ask("GET", link.strip().partition(str(port))[2])
        root, cookie = given["location"].rstrip("/"), given["set-cookie"].partition(";")[0]
        sent = {"cookie": cookie, "origin": f"http://127.0.0.1:{port}"}

        def upload(number: object) -> tuple[int, HTTPMessage, bytes]:
            return ask("POST", f"{root}/people/photo?name=Anna", photo, **sent)

        with ThreadPoolExecutor(16) as crowd:
            answers = list(crowd.map(upload, range(16)))
        statuses = Counter(status for status, _, _ in answers)
        assert set(statuses) <= {200, 422, 503}, statuses  # taken, taken already, not now
        assert statuses[503] < 16
        for status, headers, body in answers:
            if status == 503:
                assert headers["retry-after"].isdecimal()
                assert json.loads(body)["text"] == "Other photos are being looked at; try again in a moment."
        assert upload(16)[0] in (200, 422)
        assert process.poll() is None
        assert group.killed == 0
        print(f"{group.most:.0f} MB at most; {dict(statuses)}")
    finally:
        process.terminate()
        process.wait(30)
