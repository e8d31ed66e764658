"""The container, built without a daemon or registry, and run read-only as its own user on a folder of photos."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fixtures.broker import eventually

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


def run(*words, code=0, timeout=600, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=timeout, **options)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout


def test_compose_and_image_shut_it_in_alike():
    services = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    health = [line for line in (CONTAINER / "Containerfile").read_text().splitlines() if line.startswith("HEALTHCHECK")]
    assert services["edgeface"]["healthcheck"]["test"] == ["CMD", *json.loads(health[0].partition("CMD ")[2])]


def test_its_settings_are_good(cli):
    run(*cli.command("config", "check", CONTAINER / "edgeface.toml"), env=cli.environment)


class Podman:
    """Podman with images of its own, whose containers share this machine's network."""

    def __init__(self, folder):
        limits = '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
        (folder / "limits.conf").write_text(limits)
        self.environment = os.environ | {
            "CONTAINERS_CONF_OVERRIDE": str(folder / "limits.conf"),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }
        self.words = ["unshare", "--mount", "sh", "-c", OWN_CGROUPS, "sh", "podman", "--cgroup-manager", "cgroupfs"]
        self.words += ["--storage-driver", "vfs", "--root", folder / "images", "--runroot", folder / "run"]

    def __call__(self, *words, **options):
        return run(*self.words, *words, env=self.environment, **options)

    def image(self, archive, *words, **options):
        """Run a command of edgeface in it."""
        shut_in = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        return self("run", "--cgroups=disabled", "--network", "host", *shut_in, *options.pop("more", ()), "edgeface", *words)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing or os.geteuid():
        pytest.skip(f"not installed: {', '.join(missing)}" if missing else "only root builds it")
    out = tmp_path_factory.mktemp("container") / "edgeface.tar.gz"
    told = run(sys.executable, CONTAINER / "build", "--out", out, timeout=1800)
    assert "MiB unpacked" in told
    return out


@pytest.mark.slow
def test_it_recognizes_somebody_on_a_read_only_root_and_says_how_it_is(archive, tmp_path, demo_photos):
    podman = Podman(tmp_path)
    podman("load", "--input", archive)
    (tmp_path / "edgeface.toml").write_text(SETTINGS)
    more = ["--volume", "edgeface:/var/lib/edgeface", "--volume", f"{tmp_path}/edgeface.toml:/etc/edgeface/edgeface.toml:ro"]
    more += ["--volume", f"{demo_photos}:/photos:ro"]
    photo = "/photos/obama_portrait.jpg"
    told = json.loads(podman.image(archive, "enroll", "Barack", "--image", photo, "--json", more=["--rm", *more]))
    assert told["accepted"] == [photo]
    podman.image(archive, "run", more=["--detach", "--name", "door", *more])
    try:
        events = lambda: [json.loads(line) for line in podman("logs", "door").splitlines() if line.startswith("{")]  # noqa: E731
        assert eventually(lambda: [one for one in events() if one["event_type"] == "recognized"], 120)
        told = json.loads(podman("exec", "door", "edgeface", "status", "--json"))
        assert told["running"]
        assert told["troubles"] == []
        podman("healthcheck", "run", "door")
        podman("exec", "door", "/bin/sh", code=127)
    finally:
        podman("rm", "--force", "--time", "10", "door")
