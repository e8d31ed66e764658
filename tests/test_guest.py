"""The package on a real systemd, where somebody asks for it: it takes minutes, and a Debian to boot."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = ("systemd-nspawn", "mmdebstrap", "dpkg-deb")


@pytest.mark.skipif(not os.environ.get("EDGEFACE_GUEST"), reason="EDGEFACE_GUEST=1 boots a Debian guest, which takes minutes")
@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"not all installed: {', '.join(TOOLS)}")
@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_the_package_lives_on_a_real_systemd():
    done = subprocess.run([sys.executable, ROOT / "tests/guest/run"], capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
