"""The real daemon where only its data folder and /run can be written, as on a Pi with a read-only root."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures.commandline import Cli

SCRIPT = r"""
set -eu
data=$1
mount --bind "$data" "$data"
mount -t tmpfs tmpfs /run
while read -r _ _ _ _ where _; do
    case $where in "$data" | /run | /run/*) continue ;; esac
    mount -o remount,bind,ro "$where" 2>/dev/null || true # one may lie under another
done </proc/self/mountinfo
for place in / /etc /tmp /var/tmp /dev/shm "$HOME" "$data/.."; do
    if (: >"$place/written") 2>/dev/null; then echo "$place can be written"; exit 9; fi
done
cd /
mkdir /run/edgeface
export RUNTIME_DIRECTORY=/run/edgeface STATE_DIRECTORY="$data"
edgeface() { "$PYTHON" -m edgeface --config "$data/../edgeface.toml" "$@"; }
edgeface enroll Barack --image "$PHOTOS/obama_portrait.jpg" </dev/null
"$PYTHON" -m edgeface --config "$data/../edgeface.toml" run >/run/events 2>/run/log &
daemon=$!
trap 'kill $daemon 2>/dev/null; cat /run/log' EXIT
tries=0
until grep -q '"recognized"' /run/events; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] && kill -0 $daemon
    sleep 0.2
done
edgeface status
edgeface enroll Joe --image "$PHOTOS/biden_portrait.jpg" </dev/null
edgeface people list
kill -TERM $daemon
wait $daemon
trap - EXIT
grep -o '"name": *"Barack"' /run/events | head -1
sed 's/^/log: /' /run/log
find /run -type f | sed 's/^/run: /'
"""


def unshares() -> bool:
    return os.geteuid() == 0 and not subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode


pytestmark = pytest.mark.skipif(not shutil.which("unshare") or not unshares(), reason="needs root and mount namespaces")


@pytest.mark.slow
def test_a_daemon_on_a_read_only_root_enrolls_recognizes_and_writes_its_data_alone(tmp_path: Path, demo_photos: Path) -> None:
    data, camera = tmp_path / "data", tmp_path / "camera"
    data.mkdir()
    camera.mkdir()
    shutil.copy(demo_photos / "obama_press_room.jpg", camera)
    (tmp_path / "edgeface.toml").write_text(f'[camera]\nsource = "folder:{camera}"\nhold = 600\n')
    before = {path for path in tmp_path.rglob("*") if data not in path.parents}
    ran = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh", data],
        env=os.environ | {"PYTHON": sys.executable, "PHOTOS": str(demo_photos), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    told = ran.stdout + ran.stderr
    assert ran.returncode == 0, told
    assert "Barack: 1 image enrolled" in told
    assert "Joe: 1 image enrolled" in told
    assert re.search(r'"name": *"Barack"', told), told
    assert "Read-only" not in told
    assert "Traceback" not in told
    written = {line.removeprefix("run: ") for line in told.splitlines() if line.startswith("run: ")}
    assert written == {"/run/events", "/run/log"}
    assert {path for path in tmp_path.rglob("*") if data not in path.parents} == before
    assert (data / "gallery.db").stat().st_size


def test_a_full_disk_is_told_by_status_and_doctor(disk: Path, cli: Cli, scene: dict[str, Any], demo_photos: Path) -> None:
    cli.set(gallery={"path": str(disk / "gallery.db")}, camera=scene | {"hold": 60.0})
    cli("enroll", "Barack", "--image", demo_photos / "obama_portrait.jpg")
    (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
    cli.start("run").line()
    assert "the disk is full" in cli("status", code=1).stderr
    assert "gallery.db: the disk is full" in cli("doctor", "--only", "gallery", code=1).stdout
    assert "Barack" in cli("people", "list").stdout


def test_on_a_read_only_file_system_commands_read_and_say_why_they_do_not_write(
    disk: Path, cli: Cli, demo_photos: Path
) -> None:
    cli.set(gallery={"path": str(disk / "gallery.db")})
    photo = demo_photos / "obama_portrait.jpg"
    cli("enroll", "Barack", "--image", photo)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for words in (["people", "list"], ["identify", photo]):
        assert "Barack" in cli(*words).stdout
    for words in (["enroll", "Joe", "--image", photo, "--force"], ["people", "forget", "Barack"]):
        assert "the file system is read-only: nothing can be changed" in cli(*words, code=1).stderr
