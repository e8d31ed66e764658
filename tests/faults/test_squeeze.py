"""The daemon in a control group of 256 MB and half a core, before a camera that gives more than it can look at."""

import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from broker import eventually, needs_broker

from .rig import Rig

ROOT = Path("/sys/fs/cgroup")
MEMORY, SHARE = 256 * 2**20, 0.5
FPS = 60.0


class Group:
    """A control group of the first or the second kind, whichever this machine has for memory."""

    def __init__(self, memory=MEMORY, share=SHARE):
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
    def inside(self):
        """What is started here is in the group."""
        before = [folder.parent for folder in self.folders]
        self._move(self.folders)
        try:
            yield
        finally:
            self._move(before)

    @staticmethod
    def _move(folders):
        for folder in folders:
            (folder / "cgroup.procs").write_text(f"{os.getpid()}\n")

    @property
    def killed(self):
        """How many processes were killed for want of memory."""
        file = self.folders[0] / ("memory.events" if self.second else "memory.oom_control")
        return int(dict(line.split() for line in file.read_text().splitlines())["oom_kill"])

    @property
    def most(self):
        """The most megabytes that were in use, those of cached files too."""
        return int((self.folders[0] / ("memory.peak" if self.second else "memory.max_usage_in_bytes")).read_text()) / 1e6

    def remove(self):
        for folder in self.folders:
            eventually(lambda folder=folder: not (folder / "cgroup.procs").read_text(), 10)
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def grouped(**limits):
    """A control group while it lasts; the test is skipped where none can be made."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a control group")
    try:
        group = Group(**limits)
    except (OSError, StopIteration):
        pytest.skip("no control group for memory and processor can be made here")
    try:
        yield group
    finally:
        group.remove()


@pytest.fixture
def group():
    with grouped() as made:
        yield made


@needs_broker
def test_it_goes_on_in_256_mb_and_half_a_core_and_says_that_it_is_slowed(tmp_path, group):
    with group.inside():
        rig = Rig(tmp_path, fps=FPS)
        assert eventually(lambda: rig.supervisor.process, 20)
    try:
        rig.settle()
        rig.camera.scene = "face"
        began = time.time()
        assert eventually(lambda: rig.recognised(began), 60), rig.supervisor.log()[-2000:]
        assert eventually(lambda: rig.status()["slowed"], 60), rig.status()
        told = rig.status()
        assert told["fps_limit"] < FPS
        assert told["troubles"] == []
        assert eventually(lambda: any(health.get("slowed") for health in rig.health.on("/health")), 40)
        assert "slowed to" in rig.supervisor.log()
        rig.camera.scene = "nobody"
        time.sleep(3)
        assert rig.recognises(60)
        rig.check()
        assert (group.killed, rig.supervisor.starts) == (0, 1)
        print(f"{group.most:.0f} MB at most; {told['fps_limit']:.1f} frames/s: {told['slowed']}")
    finally:
        rig.close()
