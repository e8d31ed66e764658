"""The container, built without a daemon or registry, and run read-only as its own user on a folder of photos."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures.broker import eventually, free_port
from fixtures.optional import needed

ROOT = Path(__file__).parent.parent.parent
CONTAINER = ROOT / "deploy/container"
TOOLS = ("buildah", "podman", "mmdebstrap", "unshare", "crun")
SETTINGS = """\
[camera]
name = "front"
source = "folder:/photos"
fps = 10
[gallery]
path = "/var/lib/edgeface/gallery.db"
"""
OWN_CGROUPS = 'umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec "$@"'
"""Where this machine mixes two versions of them, which crun refuses; in a mount namespace of its own."""


def run(*words: Any, code: Any = 0, timeout: Any = 600, **options: Any) -> Any:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=timeout, **options)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout


def test_compose_and_image_shut_it_in_alike() -> None:
    services = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    health = [line for line in (CONTAINER / "Containerfile").read_text().splitlines() if line.startswith("HEALTHCHECK")]
    assert services["edgeface"]["healthcheck"]["test"] == ["CMD", *json.loads(health[0].partition("CMD ")[2])]


def test_its_settings_are_good(cli: Any) -> None:
    run(*cli.command("config", "check", CONTAINER / "edgeface.toml"), env=cli.environment)


class Podman:
    """Podman with images of its own, whose containers share this machine's network."""

    def __init__(self, folder: Any) -> None:
        limits = '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
        (folder / "limits.conf").write_text(limits)
        self.environment = os.environ | {
            "CONTAINERS_CONF_OVERRIDE": str(folder / "limits.conf"),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }
        self.words = ["unshare", "--mount", "sh", "-c", OWN_CGROUPS, "sh", "podman", "--cgroup-manager", "cgroupfs"]
        self.words += ["--storage-driver", "vfs", "--root", folder / "images", "--runroot", folder / "run"]

    def __call__(self, *words: Any, **options: Any) -> Any:
        return run(*self.words, *words, env=self.environment, **options)

    def image(self, *words: Any, **options: Any) -> Any:
        """Run a command of edgeface in it."""
        shut_in = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        return self("run", "--cgroups=disabled", "--network", "host", *shut_in, *options.pop("more", ()), "edgeface", *words)


def build(folder: Any, arch: Any, *tools: Any) -> Any:
    """The archive of an image, which is small enough."""
    missing = [tool for tool in (*TOOLS, *tools) if not shutil.which(tool)]
    if missing or os.geteuid():
        pytest.skip(f"not installed: {', '.join(missing)}" if missing else "only root builds it")
    out = folder / "edgeface.tar.gz"
    told = run(sys.executable, CONTAINER / "build", "--arch", arch, "--out", out, timeout=1800)
    assert "MiB unpacked" in told
    return out


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("container")
    archive = build(folder, {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()])
    made = Podman(folder)
    made("load", "--input", archive)
    return made


@pytest.mark.slow
def test_it_recognizes_somebody_on_a_read_only_root_and_says_how_it_is(podman: Any, tmp_path: Path, demo_photos: Any) -> None:
    (tmp_path / "edgeface.toml").write_text(SETTINGS)
    more = ["--volume", "edgeface:/var/lib/edgeface", "--volume", f"{tmp_path}/edgeface.toml:/etc/edgeface/edgeface.toml:ro"]
    more += ["--volume", f"{demo_photos}:/photos:ro"]
    photo = "/photos/obama_portrait.jpg"
    told = json.loads(podman.image("enroll", "Barack", "--image", photo, "--json", more=["--rm", *more]))
    assert told["accepted"] == [photo]
    podman.image("run", more=["--detach", "--name", "door", *more])
    try:
        assert eventually(lambda: '"event_type":"recognized"' in podman("logs", "door"), 120)
        told = json.loads(podman("exec", "door", "edgeface", "status", "--json"))
        assert told["running"]
        assert told["troubles"] == []
        podman("healthcheck", "run", "door")
        podman("exec", "door", "/bin/sh", code=127)
    finally:
        podman("rm", "--force", "--time", "10", "door")


@pytest.mark.slow
def test_the_home_assistant_app_starts_in_it_and_gives_up_root(podman: Any, tmp_path: Path, demo_photos: Any) -> None:
    data = tmp_path / "data"
    data.mkdir()
    chosen = yaml.safe_load((ROOT / "deploy/homeassistant-app/edgeface/config.yaml").read_text())["options"]
    (data / "options.json").write_text(json.dumps(chosen | {"camera": "folder:/photos"}))
    port = free_port()
    settings = {
        "EDGEFACE_APP_PAGE": free_port(),
        "EDGEFACE_APP_INGRESS": f"127.0.0.1:{port}",
        "EDGEFACE_APP_TRUSTED": "127.0.0.1",
    }
    settings |= {"EDGEFACE_APP_SUPERVISOR": "http://127.0.0.1:9", "EDGEFACE_CONFIG": "/data/edgeface/edgeface.toml"}
    more = ["--detach", "--name", "app", "--user", "0:0", "--entrypoint", "/opt/edgeface/bin/python3"]
    more += [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]
    more += ["--volume", f"{data}:/data", "--volume", f"{demo_photos}:/photos:ro"]
    more += ["--volume", f"{ROOT}/deploy/homeassistant-app/edgeface/app:/app:ro"]
    podman("run", "--cgroups=disabled", "--network", "host", "--read-only", *more, "edgeface", "/app/start.py")
    try:
        assert eventually(lambda: "data-root" in page(port), 120), podman("logs", "app")
        assert 'data-root="/api/hassio_ingress/x"' in page(port)
        assert json.loads(podman("exec", "--user", "10001", "app", "edgeface", "status", "--json"))["running"]
        told = podman("exec", "app", "/opt/edgeface/bin/python3", "-c", "print(open('/proc/1/status').read())")
        assert "Uid:\t10001\t10001\t10001\t10001" in told
        assert {file.stat().st_uid for file in (data / "edgeface").iterdir()} == {10001}
    finally:
        podman("rm", "--force", "--time", "10", "app")


def page(port: Any) -> Any:
    headers = {"X-Ingress-Path": "/api/hassio_ingress/x", "X-Remote-User-Id": "d1"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()
    except OSError:
        return ""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates a Raspberry Pi's processor on another")
def test_the_one_for_arm64_loads_its_network_under_emulation(tmp_path: Path) -> None:
    archive = build(tmp_path, "arm64", "qemu-aarch64-static")
    run("tar", "--extract", "--file", archive, "--directory", tmp_path)
    (image,) = json.loads((tmp_path / "manifest.json").read_bytes())
    about = json.loads((tmp_path / image["Config"]).read_bytes())
    assert (about["architecture"], about["config"]["User"]) == ("arm64", "10001:10001")
    root = tmp_path / "root"
    root.mkdir()
    for layer in image["Layers"]:
        run("tar", "--extract", "--file", tmp_path / layer, "--directory", root)
    shutil.copy(needed(shutil.which("qemu-aarch64-static")), root / "qemu")
    script = 'mount --bind /dev "$1/dev"; exec chroot --userspec=10001:10001 "$@"'
    words = ("/qemu", "/opt/edgeface/bin/python3", "-I", "/opt/edgeface/bin/edgeface", "doctor", "--only", "runtime,model")
    told = run("unshare", "--mount", "sh", "-c", script, "sh", root, *words, env=os.environ | {"QEMU_CPU": "cortex-a76"})
    assert re.findall(r"^(\w+) +(\w+)", told, re.M) == [("ok", "runtime"), ("ok", "model")]
