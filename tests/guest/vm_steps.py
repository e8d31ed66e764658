"""What is done to the package in a virtual machine: what a container does not enforce, and cameras of the kernel's own.

Run by its own Python at boot; a line of JSON a step goes to /guest/seen.jsonl.
"""

import json
import time
from pathlib import Path
from typing import Any

from steps import DROP_INS, SETTINGS, configured, install, recognized, settings, sh, show, take, until

CARD = """\
import sys, time
from edgeface import cameras; from edgeface.config import schema as config
camera = cameras.create(config.load(__import__("pathlib").Path("/etc/edgeface/edgeface.toml")).camera)
for number, moment in enumerate(camera.frames()):
    if hasattr(moment, "image") and number > 4:
        print(*moment.image.shape, sep=" x ", end="; ")
        print(*moment.image.reshape(-1, 3).mean(0).round().astype(int))
        break
camera.close()
"""


def begin() -> str:
    """The package, the broker, somebody enrolled."""
    install()
    return settings(visit=30)


def drop_in(text: str) -> None:
    """These settings of the unit on top of those that are shipped, and a new start."""
    (DROP_INS / "guest.conf").write_text(f"[Service]\n{text}")
    sh("systemctl daemon-reload; systemctl restart edgeface", code=0)


def camera(source: str) -> None:
    # A frame may take ten seconds here.
    told = configured("door", "front", 8001).replace("http://127.0.0.1:8001/", source)
    SETTINGS.write_text(f"{told}max_event_age = 100\n")
    sh("systemctl restart edgeface", code=0)


def status() -> dict[str, Any]:
    told = sh("edgeface status --json", user="edgeface").splitlines()
    return next((json.loads(line) for line in told if line.startswith("{")), {"running": False})


def watched(state: str = "ok", frames: int = 10) -> dict[str, Any]:
    """How the daemon stands, once its camera does so, and frames have come."""

    def stands() -> dict[str, Any] | None:
        told = status()
        return told if told["running"] and told["camera_state"] == state and told["frames_seen"] >= frames else None

    told = until(stands)
    assert told
    return told


def v4l2() -> str:
    sh("modprobe vivid n_devs=1", code=0)
    until(lambda: Path("/dev/video0").exists())
    camera("v4l2:/dev/video0")
    told = watched()
    return f"camera ok, {told['frames_seen']} frames, {told['fps']} frames/s; DevicePolicy {show('DevicePolicy')}"


def closed() -> str:
    """The same, with every device but cameras allowed."""
    drop_in("DeviceAllow=\nDeviceAllow=char-media rw\n")
    told = watched("lost", 0)
    drop_in("")
    watched()
    return f"camera lost: {told['camera_reason']}; with it, ok again"


def csi() -> str:
    """libcamera's camera over the kernel's, through picamera2, as the service's user and under its unit."""
    sh("rmmod vivid; modprobe vimc; udevadm settle", code=0)
    # picamera2 asks for the heap by the names that it has on a Pi.
    sh("chgrp video /dev/dma_heap/system; chmod g+rw /dev/dma_heap/system; ln -s system /dev/dma_heap/linux,cma", code=0)
    camera("picamera")
    told = watched()
    return f"camera ok, {told['frames_seen']} frames, {told['fps']} frames/s"


def red() -> str:
    """The kernel's sensor looks at a red card, without figures written over it."""
    sh("systemctl stop edgeface", code=0)
    sensors = [
        path.name for path in Path("/sys/class/video4linux").glob("v4l-subdev*") if "Sensor" in (path / "name").read_text()
    ]
    for sensor in sensors:
        sh(f"v4l2-ctl -d /dev/{sensor} --set-ctrl test_pattern=7,show_information=2", code=0)
    shape, pixel = sh(f"/opt/edgeface/bin/python3 -c '{CARD}'", user="edgeface", code=0).splitlines()[-1].split("; ")
    first, second, third = map(int, pixel.split())
    assert first > 2 * max(second, third), pixel
    return f"{shape} of {pixel} on average"


def small() -> str:
    """A quarter of a gigabyte and half a core, and somebody at the door."""
    camera("http://127.0.0.1:8001/")
    drop_in("MemoryMax=256M\nMemorySwapMax=0\nCPUQuota=50%\n")
    told = recognized(wait=300)
    before = watched()["frames_seen"]
    time.sleep(30)
    stands = watched(frames=before + 3)
    peak = int(show("MemoryPeak")) / 1e6
    assert show("NRestarts") == "0"
    assert peak < 257 * 2**20 / 1e6
    drop_in("")
    return f"{told}; {peak:.0f} MB at most; slowed {stands['slowed']}, {stands['fps_limit']} frames/s; no restart"


def enforced() -> str:
    """That this machine does enforce what the step before relies on."""
    hog = "systemd-run --quiet --wait -p MemoryMax=64M -p MemorySwapMax=0 python3 -c 'bytearray(200_000_000)'"
    assert sh(f"{hog}; echo $?").endswith(("1", "9"))
    killed = sh("journalctl -k --no-pager | grep -c 'Memory cgroup out of memory'")
    return f"a program that takes 200 MB of 64 is killed ({killed} so far)"


MACHINE = {
    "`dpkg -i`; `edgeface enroll --image`": (begin, "installed, enrolled"),
    "a V4L2 camera (`vivid`), under the unit as it is shipped": (v4l2, "frames come"),
    "the same without `DeviceAllow=char-video4linux`": (closed, "the camera is refused, and comes back with it"),
    "the camera connector (`vimc`, libcamera, picamera2), under the unit as it is shipped": (csi, "frames come"),
    "a red card before it": (red, "red in the first channel"),
    "`MemoryMax=256M`, `CPUQuota=50%`": (small, "`recognized`, and on; no restart"),
    "`MemoryMax=64M` on a program that takes more": (enforced, "killed: limits are real here"),
}

if __name__ == "__main__":
    take(MACHINE)
