"""The installer for those without the package: what it says that it would do, and that it does not do it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
INSTALLER = ROOT / "deploy/install.sh"
pytestmark = pytest.mark.skipif(
    not (shutil.which("systemctl") and shutil.which("dpkg-query")), reason="systemctl or dpkg-query is not installed"
)


def install(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["sh", INSTALLER, *words], capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == code, done.stderr
    return done


def test_it_says_what_it_would_do_and_does_nothing() -> None:
    before = {place: os.path.lexists(place) for place in ("/opt/edgeface", "/etc/edgeface", "/usr/local/bin/edgeface")}
    told = install("--dry-run").stdout
    for part in (
        "--system-site-packages /opt/edgeface",
        "--require-hashes",
        "--only-binary :all:",
        "systemd-sysusers",
        "edgeface@.service",
    ):
        assert part in told
    assert before == {place: os.path.lexists(place) for place in before}


def test_removal_leaves_the_gallery_unless_it_is_to_be_purged() -> None:
    assert "/var/lib/edgeface" not in install("--dry-run", "--uninstall").stdout
    assert "rm -rf /etc/edgeface /var/lib/edgeface" in install("--dry-run", "--uninstall", "--purge").stdout


@pytest.mark.parametrize("words", [["--purge"], ["--prune"]])
def test_wrong_usage_changes_nothing(words: list[str]) -> None:
    assert install(*words, code=2).stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_it_is_posix() -> None:
    subprocess.run(["shellcheck", INSTALLER], check=True)
