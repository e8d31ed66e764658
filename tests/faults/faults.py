"""The faults. Each is a generator: up to its ``yield`` it does harm, after it undoes it.

It yields what ``edgeface status`` must come to say meanwhile, as a pattern; "" is that all is well, ``None`` anything.
"""

import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import MOSQUITTO, OPENSSL, PASSWD, PASSWORD, USER, eventually, free_port

from .proxy import Proxy
from .rig import LEFT_AFTER, Rig

FULL = "the disk is full"
GSTREAMER = Path("/usr/bin/gst-inspect-1.0").exists() or bool(list(Path("/usr/lib").glob("*/libgstrtspserver-1.0.so.0")))


Steps = Generator[str | None]


@dataclass(frozen=True)
class Fault:
    name: str
    run: Callable[[Rig], Steps]
    lacking: str = ""
    """Why it cannot be tried here, if so."""
    alone: bool = False
    """Whether it needs the machine to itself: it takes another camera, or minutes."""


FAULTS: list[Fault] = []


def fault(name: str, *, lacking: str = "", alone: bool = False) -> Callable[[Callable[[Rig], Steps]], object]:
    def add(run: Callable[[Rig], Steps]) -> Callable[[Rig], Steps]:
        FAULTS.append(Fault(name, run, lacking, alone))
        return run

    return add


root = "" if os.geteuid() == 0 else "needs root"
tls = "" if OPENSSL else "openssl is not installed"


# The broker


@fault("broker killed")
def _(rig: Rig) -> Steps:
    rig.broker.kill()
    yield "lost the broker|cannot be reached"
    rig.broker.start()


@fault("broker paused for 5 s")
def _(rig: Rig) -> Steps:
    rig.broker.pause()
    time.sleep(5)
    yield None
    rig.broker.resume()


@fault("broker paused until the daemon gives it up")
def _(rig: Rig) -> Steps:
    rig.broker.pause()
    yield "confirms nothing|cannot be reached|lost the broker"
    time.sleep(5)
    rig.broker.resume()


@fault("broker back with another password")
def _(rig: Rig) -> Steps:
    users = rig.broker.folder / "users"
    rig.broker.stop()
    _set_password(users, "another")
    rig.broker.start()
    yield "refuses"
    rig.broker.stop()
    _set_password(users, PASSWORD)
    rig.broker.start()


def _set_password(users: Path, password: str) -> None:
    subprocess.run([PASSWD, "-b", "-c", users, USER, password], check=True, capture_output=True, timeout=20)


@fault("broker's host unreachable")
def _(rig: Rig) -> Steps:
    _reload(rig, mqtt={"host": "192.0.2.1"})  # of the block that is for documentation, and nowhere
    yield "cannot be reached"
    _reload(rig)


@fault("broker's certificate expired", lacking=tls)
def _(rig: Rig) -> Steps:
    yield from _other_certificate(rig, "ca.pem", "ca.key", ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"])


@fault("broker's certificate of a foreign authority", lacking=tls)
def _(rig: Rig) -> Steps:
    yield from _other_certificate(rig, "foreign.pem", "foreign.key", ["-days", "30"])


def _other_certificate(rig: Rig, authority: str, key: str, validity: list[str]) -> Steps:
    assert rig.tls
    folder = rig.tls
    kept = {name: (folder / name).read_bytes() for name in ("server.pem", "server.key")}
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    if not (folder / authority).exists():
        _openssl(folder, "req", "-x509", *new, "-days", "30", "-keyout", key, "-out", authority, "-subj", "/CN=foreign")
    _openssl(
        folder,
        *("req", "-x509", *new, *validity, "-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=127.0.0.1"),
        *("-CA", authority, "-CAkey", key, "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
    )
    rig.broker.stop()
    rig.broker.start()
    yield "certificate"
    for name, data in kept.items():
        (folder / name).write_bytes(data)
    rig.broker.stop()
    rig.broker.start()


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run([OPENSSL, *words], cwd=folder, check=True, capture_output=True, timeout=60)


# The camera


@fault("camera off the network")
def _(rig: Rig) -> Steps:
    rig.camera.close()
    yield "camera front is lost"
    rig.camera.open()


@fault("camera's device file gone", alone=True)
def _(rig: Rig) -> Steps:
    _reload(rig, camera={"source": "v4l2:/dev/video-gone"})
    yield "camera front is lost"
    _reload(rig)


@fault("camera stalls")
def _(rig: Rig) -> Steps:
    rig.camera.fault = "stall"
    yield "camera front is lost"
    rig.camera.fault = ""


@fault("camera blocks for ever in a read", alone=True)
def _(rig: Rig) -> Steps:
    kills = rig.supervisor.watchdog_kills
    (rig.supervisor.worn / "blocked").touch()
    yield "camera front is lost|no daemon"
    assert eventually(lambda: rig.supervisor.watchdog_kills > kills, 150), rig.supervisor.log()[-2000:]
    (rig.supervisor.worn / "blocked").unlink()


class _rtsp:  # noqa: N801
    """An RTSP camera that somebody passes, in the place of the other; ``proxy`` goes between it and the daemon."""

    def __init__(self, rig: Rig, proxy: Proxy | None = None) -> None:
        self.rig, self.port, self.proxy = rig, free_port(), proxy

    def start(self) -> None:
        self.server = subprocess.Popen(
            ["/usr/bin/python3", Path(__file__).with_name("rtsp.py"), str(self.port), f"{self.pictures}/%05d.jpg", "10"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> "_rtsp":
        rig, self.pictures = self.rig, self.rig.folder / "pictures"
        shutil.rmtree(self.pictures, ignore_errors=True)
        self.pictures.mkdir()
        show = [*(rig.camera.scenes["face"] * 4)[:30], *(rig.camera.scenes["nobody"] * 4)[:30]]
        for number, data in enumerate(show):
            (self.pictures / f"{number:05d}.jpg").write_bytes(data)
        self.start()
        port = self.proxy.open(self.port) if self.proxy else self.port
        # Over TCP, so that what a proxy damages is the stream itself.
        _reload(rig, camera={"source": f"rtsp://127.0.0.1:{port}/camera"})
        began = time.time()
        assert eventually(lambda: rig.recognized(began), 60), (rig.troubles(), rig.supervisor.log()[-2000:])
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill()
        self.server.wait(10)
        if self.proxy:
            self.proxy.close()
        _reload(self.rig)


rtsp = "" if GSTREAMER else "gstreamer's RTSP server is not installed"


@fault("RTSP camera freezes", lacking=rtsp, alone=True)
def _(rig: Rig) -> Steps:
    with _rtsp(rig) as camera:
        camera.server.send_signal(signal.SIGSTOP)
        yield "camera front is lost"
        camera.server.send_signal(signal.SIGCONT)
        yield None


@fault("RTSP camera killed, and back", lacking=rtsp, alone=True)
def _(rig: Rig) -> Steps:
    with _rtsp(rig) as camera:
        camera.server.kill()
        camera.server.wait(10)
        yield "camera front is lost"
        camera.start()
        yield None


@fault("RTSP camera sends garbage", lacking=rtsp, alone=True)
def _(rig: Rig) -> Steps:
    proxy = Proxy()
    with _rtsp(rig, proxy):
        proxy.damage = 0.02
        time.sleep(8)
        yield None
        proxy.damage = 0.0
        yield None


@fault("camera sends broken JPEGs")
def _(rig: Rig) -> Steps:
    rig.camera.fault = "corrupt"
    time.sleep(3)
    yield None
    rig.camera.fault = ""


@fault("frames change size")
def _(rig: Rig) -> Steps:
    rig.camera.instead = "sizes"
    time.sleep(3)
    yield None
    rig.camera.instead = None


@fault("black frames, then white ones")
def _(rig: Rig) -> Steps:
    rig.camera.instead = "black"
    time.sleep(3)
    rig.camera.instead = "white"
    yield ""
    rig.camera.instead = None


# Disk and gallery


@fault("disk full", lacking=root, alone=True)
def _(rig: Rig) -> Steps:
    with _small_disk(rig) as disk:
        _fill(disk)
        yield FULL
        (disk / "fill").unlink()
        yield None


@fault("disk full, and the daemon killed", lacking=root, alone=True)
def _(rig: Rig) -> Steps:
    with _small_disk(rig) as disk:
        _fill(disk)
        rig.supervisor.signal(signal.SIGKILL)
        time.sleep(1)
        rig.settle(but=FULL)
        yield FULL
        (disk / "fill").unlink()
        yield None


@fault("disk full, and the daemon restarted", lacking=root, alone=True)
def _(rig: Rig) -> Steps:
    with _small_disk(rig) as disk:
        rig.supervisor.stop()
        _fill(disk)
        rig.supervisor.start()
        rig.settle(but=FULL)
        assert FULL in rig.supervisor.log()
        yield FULL
        (disk / "fill").unlink()
        yield None


@fault("file system read-only, and the daemon restarted", lacking=root, alone=True)
def _(rig: Rig) -> Steps:
    with _small_disk(rig) as disk:
        rig.supervisor.stop()
        _mount(disk, "remount,ro")
        rig.supervisor.start()
        rig.settle(but="read-only")
        yield "read-only"
        rig.supervisor.stop()
        _mount(disk, "remount,rw")
        rig.supervisor.start()
        yield None


class _small_disk:  # noqa: N801
    """The gallery on a file system of its own, of 2 MB."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.folder = rig, rig.gallery.parent

    def __enter__(self) -> Path:
        self._move("mount")
        return self.folder

    def __exit__(self, *_: object) -> None:
        self._move("umount")

    def _move(self, what: str) -> None:
        self.rig.supervisor.stop()
        kept = self.rig.folder / "kept"
        shutil.copytree(self.folder, kept, ignore=shutil.ignore_patterns("*.sock", "fill"))
        if what == "mount":
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "none", self.folder], check=True, timeout=20)
        else:
            subprocess.run(["umount", self.folder], check=True, timeout=20)
        shutil.copytree(kept, self.folder, dirs_exist_ok=True)
        shutil.rmtree(kept)
        self.rig.supervisor.start()
        self.rig.settle()


def _mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", options, folder], check=True, timeout=20)


def _fill(folder: Path) -> None:
    with (folder / "fill").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


@fault("gallery locked by another process")
def _(rig: Rig) -> Steps:
    with closing(sqlite3.connect(rig.gallery, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield None
        other.execute("ROLLBACK")


@fault("gallery locked, and the daemon killed", alone=True)
def _(rig: Rig) -> Steps:
    with closing(sqlite3.connect(rig.gallery, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        rig.supervisor.signal(signal.SIGKILL)
        time.sleep(1)
        rig.settle(but="events are not kept")
        yield None
        other.execute("ROLLBACK")


# Time, signals, settings


@fault("clock 6 h forward, and back")
def _(rig: Rig) -> Steps:
    rig.step_clock(6 * 3600.0)
    yield ""
    rig.step_clock(0.0)


@fault("clock 6 h back, and forward")
def _(rig: Rig) -> Steps:
    rig.step_clock(-6 * 3600.0)
    yield ""
    rig.step_clock(0.0)


@fault("SIGTERM")
def _(rig: Rig) -> Steps:
    heard, connected = len(rig.availability.messages), not rig.troubles()
    began = time.monotonic()
    code, _ = rig.supervisor.stop()
    if connected:
        assert code == 0, rig.supervisor.log()[-2000:]
        assert eventually(lambda: "offline" in rig.availability.on("/availability")[heard:]), rig.supervisor.log()[-2000:]
        assert rig.availability.messages[-1].timestamp - began < 2.0
    yield "no daemon"
    rig.supervisor.start()


@fault("SIGTERM, then kill -9, while it starts", alone=True)
def _(rig: Rig) -> Steps:
    dice = random.Random(0)
    for number in (signal.SIGTERM, signal.SIGKILL):
        rig.supervisor.stop()
        starts = rig.supervisor.starts
        rig.supervisor.start()
        assert eventually(lambda: rig.supervisor.starts > starts)  # noqa: B023
        time.sleep(dice.uniform(0.2, 4))
        if number == signal.SIGTERM:
            assert rig.supervisor.stop()[0] in (0, -signal.SIGTERM)
            assert eventually(lambda: rig.availability.on("/availability")[-1] == "offline")
            rig.supervisor.start()
        else:
            rig.supervisor.signal(number)
    yield None


@fault("kill -9")
def _(rig: Rig) -> Steps:
    rig.supervisor.signal(signal.SIGKILL)
    yield None


@fault("settings made wrong, SIGHUP")
def _(rig: Rig) -> Steps:
    kept = rig.file.read_bytes()
    rig.file.write_text("[camera\n")
    rig.supervisor.signal(signal.SIGHUP)
    yield "settings read last were not taken"
    rig.file.write_bytes(kept)
    rig.supervisor.signal(signal.SIGHUP)


@fault("settings changed, SIGHUP")
def _(rig: Rig) -> Steps:
    _reload(rig, presence={"left_after": LEFT_AFTER / 2}, detector={"max_side": 480}, mqtt={"keepalive": 30})
    yield ""
    _reload(rig)


def _reload(rig: Rig, **sections: Any) -> None:
    rig.write(**sections)
    rig.supervisor.signal(signal.SIGHUP)


# Running them


@dataclass(frozen=True)
class Outcome:
    """``lost`` faces that passed during the fault were not told of; ``seconds`` it took after it until one was again."""

    name: str
    lost: int
    seconds: float


def run(rig: Rig, *faults: Fault) -> Outcome:
    """Do the harm, let somebody pass, see that the truth is told, undo the harm, and see that all is well again.

    Several faults overlap, and then only the end is judged.

    Raises:
        AssertionError: the daemon did not survive, lied, told old news, or hurt the gallery.
    """
    rig.settle()
    began, running = time.time(), [one.run(rig) for one in faults]
    truths: list[str | None] = []
    try:
        for steps in running:
            truths.append(next(steps))
        rig.visit()
        if len(faults) == 1 and truths[0] is not None:
            told = eventually(lambda: _says(truths[0], rig.troubles()), 60)
            assert told, f"{faults[0].name}: status says {rig.troubles()}\n{rig.supervisor.log()[-2000:]}"
            if truths[0].startswith("camera front is lost"):
                assert eventually(lambda: rig.camera_state() == "lost"), rig.camera_state()
        for steps in reversed(running):
            next(steps, None)
        cured = time.time()
        seconds = rig.recognizes()
        lost = int(not rig.recognized(began, cured))
    finally:
        for steps in running:  # some have to put things back
            next(steps, None)
            steps.close()
    rig.settle()
    rig.check()
    return Outcome(" + ".join(one.name for one in faults), lost, seconds)


def _says(truth: str | None, troubles: list[str]) -> bool:
    return any(re.search(truth, trouble) for trouble in troubles) if truth else not troubles


needed = "" if MOSQUITTO and PASSWD else "mosquitto is not installed"
lacking = pytest.mark.skipif(bool(needed), reason=needed)
