"""What both kinds of guest are made of: a Debian with the package, pictures, and the steps to take in it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgeface-guest"
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,mosquitto,mosquitto-clients,procps,ca-certificates,libstdc++6"
UNIT = """\
[Unit]
Description=what is tried in this guest
After=multi-user.target
SuccessAction={end}
FailureAction={end}
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /guest/{script} {part}
StandardOutput=append:/guest/log
StandardError=inherit
TimeoutStartSec=infinity
"""


def unpack(guest: Path, name: str, release: str, included: str) -> Path:
    """A Debian with these packages, of a cache that holds it by its name; its folder /guest, with pictures and steps."""
    system = CACHE / f"{name}.tar"
    if not system.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = system.with_suffix(".part")
        do("mmdebstrap", "--format=tar", "--variant=apt", f"--include={included}", release, part)
        part.rename(system)
    guest.mkdir(parents=True)
    do("tar", "--extract", "--file", system, "--directory", guest, "--exclude=./dev/*")
    inside = guest / "guest"
    inside.mkdir()
    for script in ("steps.py", "apt_steps.py", "fleet_steps.py", "vm_steps.py", "camera.py"):
        shutil.copy(HERE / script, inside)
    pictures(inside)
    for unit in ("getty.target", "console-getty.service", "systemd-logind.service"):
        (guest / "etc/systemd/system" / unit).symlink_to("/dev/null")
    return inside


def pictures(inside: Path) -> None:
    """Somebody at a door, and nobody; portraits of that person and of two others, to enroll."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import numpy as np
    from faults.camera import PHASES, jpegs, view

    from edgeface.vision.images import load_image

    photos = ROOT / "edgeface/demo/photos"
    (inside / "pictures").mkdir()
    scene = load_image(photos / "obama_congress.jpg")
    for number, picture in enumerate(jpegs([view(scene, phase / PHASES) for phase in range(PHASES)])):
        (inside / f"pictures/face-{number}.jpg").write_bytes(picture)
    (nobody,) = jpegs([np.full_like(view(scene, 0.0), 100)])
    (inside / "pictures/nobody.jpg").write_bytes(nobody)
    shutil.copy(photos / "obama_portrait.jpg", inside / "portrait.jpg")
    shutil.copy(photos / "biden_portrait.jpg", inside / "other.jpg")
    shutil.copy(photos / "collins_portrait.jpg", inside / "third.jpg")


def package(inside: Path, python: str, arch: str) -> None:
    """The package as edgeface.deb."""
    built = do(sys.executable, ROOT / "deploy/build-deb", "--arch", arch, "--python", python, "--out", inside).strip()
    Path(built).rename(inside / "edgeface.deb")


def report(guest: Path, release: str, last: str) -> bool:
    """Print the table; true if every step was as expected, and the last one was taken."""
    seen = guest / "guest/seen.jsonl"
    rows = [json.loads(line) for line in seen.read_text().splitlines()] if seen.exists() else []
    print(f"| step, Debian {release} | expected | seen | |\n| --- | --- | --- | --- |")
    for row in rows:
        told = " ".join(row["seen"].replace("|", "\\|").split())
        print(f"| {row['step']} | {row['expected']} | {told} | {'ok' if row['ok'] else 'FAILED'} |")
    passed = bool(rows) and all(row["ok"] for row in rows) and rows[-1]["step"] == last
    if not passed:
        ends = [guest / "guest" / name for name in ("console", "log")]  # there is no log of what did not boot
        print("".join(path.read_text()[-6000:] for path in ends if path.exists()), file=sys.stderr)
    return passed


def do(*command: str | Path) -> str:
    """What a command prints, which must succeed."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} failed with {done.returncode}")
    return done.stdout
