"""The daemon's figures on this machine: how fast, how large, how idle. ``python -m tests.figures --help``.

It runs ``edgeface run`` as a process, with the dependencies that a device has and nothing else (a venv of its own, made by
pip from deploy/constraints/device.txt: shared or hard-linked libraries would distort memory), plays pictures of 640 x 480
before it, and listens at a real mosquitto, or where there is none to the lines that it prints. On a machine that is busy
with other things, ``chrt --fifo 1 python -m tests.figures``, as root, measures as if it were not.
"""

import argparse
import hashlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import msgspec
from faults.camera import HEIGHT, WIDTH, jpegs, view
from fixtures.broker import MOSQUITTO, PASSWD, Broker, eventually
from fixtures.frames import HEAD, head
from fixtures.optional import needed

from edgeface.config.load import load
from edgeface.enrollment.enroller import Enroller, read_images
from edgeface.gallery.open import open_gallery
from edgeface.measurement.bench import processor
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import Image
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image

ROOT = Path(__file__).parent.parent
PHOTOS = ROOT / "edgeface" / "demo" / "photos"
LEFT_AFTER = 0.5
VIEWS, PAUSE = 4, 1.0
"""Frames with a face in a visit, and seconds without one after it."""
RATES = (5.0, 15.0)
SIZES = ((640, 480), (1280, 720))
CROWD = ("obama_press_room.jpg", "biden_portrait.jpg", "collins_portrait.jpg", "biden_blue_room.jpg")
CROWD_RATE = 5.0
IDLE_RATE = 5.0
FULL_SPEED = 120.0
WARM_UP = 15.0
HOUR = 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.figures", description=__doc__)
    parser.add_argument("--python", type=Path, help="measure with this one's packages, not with a device's")
    parser.add_argument("--visits", type=int, default=100, help="how often somebody comes, at each rate and size")
    parser.add_argument("--minutes", type=float, default=5.0, help="of nobody, for processor and disk")
    parser.add_argument("--starts", type=int, default=5, help="how often it is started, and killed")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=".figures-", dir=ROOT) as folder:  # /tmp may be memory, which hides writes
        found = measure(Path(folder), given.python or device_python(), given.visits, given.minutes, given.starts)
    print(json.dumps(found, indent=2) if given.json else table(found))


def device_python() -> Path:
    """The Python of a venv with the device's locked packages, made where there is none yet."""
    wanted = ROOT / "deploy" / "constraints" / "device.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()[:12]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    venv = caches / "edgeface" / f"device-{version}-{digest}"
    if not (venv / "whole").exists():
        print(f"installing the device's packages into {venv}", file=sys.stderr)
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "-q", "-r", wanted], check=True)
        (venv / "whole").touch()
    return venv / "bin" / "python"


class Daemon:
    """One ``edgeface run``, from its start until it is ready."""

    def __init__(self, python: Path, file: Path) -> None:
        place = file.parent / "notify"
        place.unlink(missing_ok=True)
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ear.bind(str(place))
        ear.settimeout(60)
        hidden = ("EDGEFACE_CONFIG", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "PYTHONPATH")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment |= {"PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": str(place), "RUNTIME_DIRECTORY": str(file.parent)}
        began = time.monotonic()
        self.log = (file.parent / "log").open("ab")
        self.process = subprocess.Popen(
            [python, "-P", "-m", "edgeface", "--config", file, "run"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        self.lines: list[tuple[float, dict[str, Any]]] = []
        Thread(target=self._read, daemon=True).start()
        while b"READY=1" not in ear.recv(4096):
            pass
        self.seconds, self.start_cpu = time.monotonic() - began, self.cpu()
        self._ear = ear

    def _read(self) -> None:
        for line in needed(self.process.stdout):
            self.lines.append((time.time(), msgspec.json.decode(line)))

    def proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text()

    def memory(self) -> list[float]:
        """Megabytes of memory: all, and what belongs to it alone and to no file."""
        fields = dict(line.split(":") for line in self.proc("status").splitlines())
        return [int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "RssAnon")]

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return sum(map(int, self.proc("stat").rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def written(self) -> int:
        """Bytes that it has caused to be written to a disk."""
        return int(dict(line.split(": ") for line in self.proc("io").splitlines())["write_bytes"])

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(30)
        needed(self.process.stdout).close()
        self._ear.close()
        self.log.close()


class Scenes:
    """Folders of pictures that a camera would give: somebody who comes and goes, somebody who stays, nobody."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        photo = load_image(PHOTOS / "obama_press_room.jpg")
        dice = np.random.default_rng(0)
        room = np.repeat(np.repeat(dice.normal(110, 30, (HEIGHT // 16, WIDTH // 16, 3)), 16, 0), 16, 1)
        light = np.sin(np.arange(64) / 64 * 2 * np.pi) * 6
        noise = ((room + shift + dice.normal(0, 4, room.shape)).clip(0, 255).astype(np.uint8) for shift in light)
        self._face, self._nobody = jpegs([view(photo, phase / 8) for phase in range(8)]), jpegs(noise)

    def visits(self, number: int, fps: float) -> str:
        return self._write(f"visits-{fps}", self._coming(number, fps))

    def crowds(self, number: int, fps: float, size: tuple[int, int], faces: int) -> str:
        """Visits of several at once, in pictures of ``size``."""
        pictures = {"face": [crowd(size, CROWD[:faces], shift) for shift in range(8)], "nobody": [crowd(size, (), 0)]}
        return self._write("crowds", self._coming(number, fps), {kind: jpegs(each) for kind, each in pictures.items()})

    @staticmethod
    def _coming(number: int, fps: float) -> list[str]:
        return (["face"] * VIEWS + ["nobody"] * math.ceil(PAUSE * fps)) * number

    def nobody(self, frames: int) -> str:
        return self._write("nobody", ["nobody"] * frames)

    def somebody(self, frames: int) -> str:
        return self._write("somebody", ["face"] * frames)

    def _write(self, name: str, kinds: list[str], kept: dict[str, list[bytes]] | None = None) -> str:
        place = self._folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        kept = kept or {"face": self._face, "nobody": self._nobody}
        for kind, pictures in kept.items():
            for number, data in enumerate(pictures):
                (self._folder / f"{kind}-{number}.jpg").write_bytes(data)
        for number, kind in enumerate(kinds):
            (place / f"{number:07d}.jpg").symlink_to(f"../{kind}-{number % len(kept[kind])}.jpg")
        for path in place.iterdir():
            path.readlink()  # its time of access is written now, and not on the daemon's account
        return f"folder:{place}"


def crowd(size: tuple[int, int], names: tuple[str, ...], shift: int) -> Image:
    """A picture of ``size`` with these heads, ``shift`` pixels from where they stand."""
    width, height = size
    picture = np.full((height, width, 3), 110, np.uint8)
    for number, name in enumerate(names):
        row, column = divmod(number, 2)
        top, left = (height // 2 - HEAD) // 2 + row * height // 2, (width // 2 - HEAD) // 2 + column * width // 2 + shift
        picture[top : top + HEAD, left : left + HEAD] = head(name)
    return picture


class Bench:
    """What is measured with: settings, a gallery with one person, pictures, a broker if there is one."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder, self.python, self.scenes = folder, python, Scenes(folder)
        self.broker = Broker(folder / "broker").start() if MOSQUITTO and PASSWD else None
        self.listener = self.broker and self.broker.listen("edgeface/+/event")
        settings = load(self.write("folder:.", 1.0))
        embedder = Embedder()
        gallery = open_gallery(settings, embedder.card)
        photos = read_images([PHOTOS / "obama_portrait.jpg", PHOTOS / "obama_congress.jpg"])
        assert Enroller(Pipeline(settings, embedder, gallery), gallery).enroll("Barack Obama", photos).person
        gallery.close()

    def write(self, source: str, fps: float) -> Path:
        sections: dict[str, dict[str, Any]] = {
            "camera": {"source": source, "fps": fps, "hold": 0.0},
            "gallery": {"path": str(self.folder / "data" / "gallery.db")},
            "presence": {"left_after": LEFT_AFTER},
        }
        if self.broker:
            sections["mqtt"] = self.broker.settings()
        file = self.folder / "edgeface.toml"
        lines = []
        for section, values in sections.items():
            lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
        file.write_text("\n".join(lines) + "\n")
        return file

    def start(self, source: str, fps: float) -> Daemon:
        if self.listener:
            self.listener.messages.clear()
        return Daemon(self.python, self.write(source, fps))

    def events(self, daemon: Daemon) -> list[tuple[dict[str, Any], float]]:
        """The events received, each with the seconds from its picture to its arrival."""
        if self.listener:
            ahead = time.time() - time.monotonic()
            given = [(each.timestamp + ahead, json.loads(each.payload)) for each in tuple(self.listener.messages)]
        else:
            given = list(daemon.lines)
        return [(event, arrived - datetime.fromisoformat(event["ts"]).timestamp()) for arrived, event in given]

    def close(self) -> None:
        if self.broker:
            self.broker.close()


def measure(folder: Path, python: Path, visits: int, minutes: float, starts: int) -> dict[str, Any]:
    """Every figure, in seconds, megabytes, bytes and shares of one core."""
    bench = Bench(folder, python)
    try:
        found: dict[str, Any] = {
            "machine": machine(python),
            "broker": bool(bench.broker),
            "first": os.sched_getscheduler(0) == os.SCHED_FIFO,
        }
        found["rates"] = [rate(bench, bench.scenes.visits(more(visits), fps), visits, fps) for fps in RATES]
        found["crowds"] = [
            {"size": size, "faces": faces}
            | rate(bench, bench.scenes.crowds(more(visits), CROWD_RATE, size, faces), visits, CROWD_RATE, faces)
            for size in SIZES
            for faces in (1, len(CROWD))
        ]
        found |= full_speed(bench, max(3.0, min(30.0, visits / 3)))
        found |= idle(bench, minutes * 60)
        found |= restarts(bench, starts)
        found["load"] = os.getloadavg()[1]
    finally:
        bench.close()
    return found


def machine(python: Path) -> dict[str, Any]:
    """What was measured on, and with."""
    ask = (
        "import json, platform, importlib.metadata as m\n"
        "has = {d.metadata['Name']: d.version for d in m.distributions()}\n"
        "names = ('tflite-runtime', 'ai-edge-litert', 'opencv-python-headless', 'numpy')\n"
        "print(json.dumps({'python': platform.python_version()} | {n: has[n] for n in names if n in has}))"
    )
    told: dict[str, Any] = json.loads(subprocess.run([python, "-c", ask], capture_output=True, check=True, text=True).stdout)
    return {"cpu": processor(), "cores": os.cpu_count()} | told


def rate(bench: Bench, source: str, visits: int, fps: float, faces: int = 1) -> dict[str, Any]:
    """Somebody comes and goes: time from a picture to its events, and memory when all have gone.

    A ``recognized`` comes of a picture with ``faces`` faces, a ``left`` of one with none.
    """
    daemon = bench.start(source, fps)

    def ages(kind: str) -> list[float]:
        return [age for event, age in bench.events(daemon) if event["event_type"] == kind]

    seconds = 60 + 3 * visits * (PAUSE + VIEWS / fps)
    whole = eventually(lambda: min(len(ages("recognized")), len(ages("left"))) >= visits, seconds)
    assert whole, (folder_log(bench), len(bench.events(daemon)))
    rss, private = daemon.memory()
    found = {"fps": fps, "events": len(ages("recognized")), "rss_mb": rss, "private_mb": private}
    daemon.end()
    return found | {name: percentiles(ages(kind)) for name, kind in (("face", "recognized"), ("nobody", "left"))}


def more(visits: int) -> int:
    """A busy machine may stand still for so long that somebody who was there has left: some visits to spare."""
    return visits + 2 + visits // 5


def percentiles(seconds: list[float]) -> list[float]:
    """The 50th, 95th and 99th."""
    return [float(value) for value in np.percentile(seconds, (50, 95, 99))]


def full_speed(bench: Bench, seconds: float) -> dict[str, Any]:
    """Frames a second when the camera gives more than can be looked at, with a face in each and with none in any."""
    found = {}
    for name, scene in (("somebody", bench.scenes.somebody), ("nobody", bench.scenes.nobody)):
        file = bench.write(scene(int(FULL_SPEED * seconds)), FULL_SPEED)
        daemon = Daemon(bench.python, file)
        time.sleep(seconds / 2)
        before, began, cpu = frames(daemon, file), time.monotonic(), daemon.cpu()
        time.sleep(seconds / 3)
        seen = frames(daemon, file) - before
        found[f"fps_{name}"] = seen / (time.monotonic() - began)
        found[f"cpu_{name}"] = (daemon.cpu() - cpu) / max(1, seen)
        daemon.end()
    return found


def frames(daemon: object, file: Path) -> int:
    """How many frames it has looked at, as ``edgeface status`` tells."""
    os.environ["RUNTIME_DIRECTORY"] = str(file.parent)
    from edgeface.control import client

    return int(client.ask(load(file), "status")["frames_seen"])


def idle(bench: Bench, seconds: float) -> dict[str, Any]:
    """Nobody comes: share of a core, and what is written to disk in an hour, extrapolated."""
    daemon = bench.start(bench.scenes.nobody(int(IDLE_RATE * (seconds + WARM_UP + 60))), IDLE_RATE)
    time.sleep(min(WARM_UP, seconds))
    cpu, written, began = daemon.cpu(), daemon.written(), time.monotonic()
    memory = []
    while (passed := time.monotonic() - began) < seconds:
        time.sleep(min(0.3, seconds - passed))
        memory.append(daemon.memory())
    found = {
        "idle_seconds": passed,
        "idle_cpu": (daemon.cpu() - cpu) / passed,
        "idle_rss_mb": median(rss for rss, _ in memory),
        "idle_rss_mb_most": max(rss for rss, _ in memory),
        "idle_private_mb": median(private for _, private in memory),
        "idle_written_per_hour": (daemon.written() - written) / passed * HOUR,
    }
    daemon.end()
    return found


def restarts(bench: Bench, starts: int) -> dict[str, float]:
    """Seconds to READY: from files that are not in memory, and from a kill -9."""
    cold, again, cpu = [], [], []
    source = bench.scenes.nobody(int(IDLE_RATE * 60))
    for _ in range(starts):
        forget(Path(bench.python).parent.parent / "lib")
        forget(ROOT / "edgeface")
        daemon = bench.start(source, IDLE_RATE)
        cold.append(daemon.seconds)
        cpu.append(daemon.start_cpu)
        killed = time.monotonic()
        daemon.end(signal.SIGKILL)
        daemon = bench.start(source, IDLE_RATE)
        again.append(time.monotonic() - killed)
        daemon.end()
    return {
        "cold_start": median(cold),
        "cold_start_max": max(cold),
        "cold_start_cpu": median(cpu),
        "restart": median(again),
        "restart_max": max(again),
    }


def forget(folder: Path) -> None:
    """Have the kernel drop a folder's files from its cache, those that nobody has mapped."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def folder_log(bench: Bench) -> str:
    return (bench.folder / "log").read_text(errors="replace")[-2000:]


def milliseconds(seconds: list[float]) -> str:
    return ", ".join(f"{1000 * value:.0f}" for value in seconds) + " ms"


def table(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    where = "a subscriber at mosquitto has it" if found["broker"] else "it is printed"
    rows = []
    for each in found["rates"]:
        values = f"{milliseconds(each['face'])} ({each['events']} events)"
        rows.append((f"picture to event, until {where}, at {each['fps']:.0f} frames/s: p50, p95, p99", values))
    for each in found["crowds"]:
        width, height = each["size"]
        kinds = [(each["faces"], each["face"])] + ([(0, each["nobody"])] if each["faces"] == 1 else [])
        for faces, values in kinds:
            there = "a face" if faces == 1 else f"{faces} faces"
            rows.append((f"the same at {each['fps']:.0f} frames/s of {width} x {height}, {there}", milliseconds(values)))
    for each in found["rates"]:
        values = f"{each['rss_mb']:.0f} MB ({each['private_mb']:.0f} MB of it not of files)"
        rows.append((f"memory (RSS) after {each['events']} visits at {each['fps']:.0f} frames/s", values))
    rows += [
        ("frames/s at full speed, a face in each; nobody", f"{found['fps_somebody']:.0f}; {found['fps_nobody']:.0f}"),
        (
            "processor time of one of these",
            f"{1000 * found['cpu_somebody']:.1f}; {1000 * found['cpu_nobody']:.1f} ms",
        ),
        (f"nobody there, {IDLE_RATE:.0f} frames/s: share of a core", f"{100 * found['idle_cpu']:.1f} %"),
        ("memory (RSS) then: median, most", f"{found['idle_rss_mb']:.0f}, {found['idle_rss_mb_most']:.0f} MB"),
        (
            f"written to disk in such an hour, extrapolated from {found['idle_seconds'] / 60:.1f} minutes",
            f"{found['idle_written_per_hour'] / 1e6:.2f} MB",
        ),
        (
            "cold start to READY, median, longest; processor time of it",
            f"{found['cold_start']:.1f}, {found['cold_start_max']:.1f}; {found['cold_start_cpu']:.1f} s",
        ),
        ("kill -9 to READY again, RestartSec apart, median, longest", f"{found['restart']:.1f}, {found['restart_max']:.1f} s"),
    ]
    on = ", ".join(f"{name} {value}" if name != "cpu" else value for name, value in found["machine"].items())
    turn = ", before which this went (chrt --fifo 1)" if found["first"] else ""
    busy = f"load average {found['load']:.1f} with all else on the machine{turn}"
    head = f"On {on}; {busy}:\n\n| | figure |\n| --- | --- |\n"
    return head + "\n".join(f"| {name} | {value} |" for name, value in rows)


if __name__ == "__main__":
    main()
