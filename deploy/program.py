"""Lay edgeface and its packages into a tree, for any processor: used by build-deb and rootfs.py.

The wheels of constraints/device.txt, by their hashes, less what deb/dropped.txt names and the symbols of their libraries, as a
virtual environment in /opt/edgeface. Nothing is compiled, so any machine lays it for any.
"""

import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

HERE = Path(__file__).resolve().parent
UV = (sys.executable, "-m", "uv", "--quiet")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""There are no wheels of numpy and OpenCV for armhf."""
LAUNCHER = """\
#!/opt/edgeface/bin/python3 -I
from edgeface.__main__ import main

main()
"""


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a source tree."""
    run(*UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def lay(wheel: Path, tree: Path, arch: str, python: str, glibc: str) -> Path:
    """Lay a wheel with its packages; return the folder of the packages."""
    site = tree / f"opt/edgeface/lib/python{python}/site-packages"
    platform = f"{MACHINES[arch]}-manylinux_{glibc.replace('.', '_')}"
    # Copies, for what is stripped must not be uv's cache and every environment that is linked to it.
    where = ("--target", site, "--python-version", python, "--python-platform", platform, "--link-mode", "copy")
    run(*UV, "pip", "install", *where, "--only-binary", ":all:", "--constraints", HERE / "constraints/device.txt", wheel)
    _drop(site)
    libraries = [path for path in site.rglob("*") if ".so" in path.suffixes and not path.is_symlink()]
    run(f"{MACHINES[arch]}-linux-gnu-strip", "--strip-unneeded", *libraries)
    _lay_environment(tree, python)
    return site


def _drop(site: Path) -> None:
    patterns = [line for line in (HERE / "deb/dropped.txt").read_text().splitlines() if line and not line.startswith("#")]
    for file in [path for path in site.rglob("*") if path.is_file() or path.is_symlink()]:
        name = str(file.relative_to(site))
        if any(fnmatch(name, pattern) for pattern in patterns):
            file.unlink()
    for folder in sorted((path for path in site.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    (site / ".lock").unlink(missing_ok=True)


def _lay_environment(tree: Path, python: str) -> None:
    """A virtual environment as the module venv makes it, but for a Python that is not here."""
    home = tree / "opt/edgeface"
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to(f"/usr/bin/python{python}")
    (home / "bin/edgeface").write_text(LAUNCHER)
    (home / "bin/edgeface").chmod(0o755)
    # The system's packages stand behind ours: picamera2 is there alone.
    (home / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = true\nversion = {python}\n")
    (tree / "usr/bin").mkdir(parents=True, exist_ok=True)
    (tree / "usr/bin/edgeface").symlink_to("/opt/edgeface/bin/edgeface")


def run(*command: str | Path) -> str:
    """What the command prints; what it complains of is seen."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, cwd=HERE.parent, check=False)
    if done.returncode:
        program = f"{Path(sys.argv[0]).name}: {Path(str(command[0])).name}"
        sys.exit(f"{program} failed with {done.returncode}: {' '.join(map(str, command))}")
    return done.stdout
