"""The package on a real systemd, where somebody asks for it: it takes minutes, and a Debian to boot."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CONTAINER = ("systemd-nspawn", "mmdebstrap")
GUESTS = {
    "run": CONTAINER,
    "run --clone": CONTAINER,
    "run --fleet": CONTAINER,
    "run --apt": (*CONTAINER, "gpg", "reprepro"),
    "vm": ("qemu-system-x86_64", "mmdebstrap", "gcc", "make"),
}


@pytest.mark.skipif(not os.environ.get("EDGEFACE_GUEST"), reason="EDGEFACE_GUEST=1 boots Debian guests, which takes minutes")
@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
@pytest.mark.parametrize("guest", GUESTS)
def test_the_package_lives_on_a_real_systemd(guest: str) -> None:
    if missing := [tool for tool in GUESTS[guest] if not shutil.which(tool)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    script, *words = guest.split()
    done = subprocess.run([sys.executable, ROOT / "tests/guest" / script, *words], capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
