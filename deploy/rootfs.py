"""Lay the root file system of a container: ``rootfs.py SOURCE ARCH FOLDER``, as root on trixie, with container.txt.

Of Debian it has Python and the libraries that Python and the wheels load, and neither a shell nor a package manager. Nothing in
it is run, so any processor lays it for any. SOURCE is a wheel, or a clone.
"""

import compileall
import os
import shutil
import sys
from pathlib import Path
from py_compile import PycInvalidationMode
from tempfile import TemporaryDirectory

from program import build_wheel, lay, run

PYTHON, GLIBC = "3.13", "2.40"
PACKAGES = (
    "base-files",
    "netbase",
    "tzdata",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "zlib1g",
    "python3.13-minimal",
    "libpython3.13-minimal",
    "libpython3.13-stdlib",
    "libbz2-1.0",
    "libexpat1",
    "libffi8",
    "liblzma5",
    "libsqlite3-0",
    "libssl3t64",
    "libuuid1",
    "libzstd1",
    "openssl",
)
EVERYWHERE = {"netbase", "tzdata"}
"""Those that are the same for every processor."""
LEFT_OUT = (
    "usr/share/man",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/share/info",
    "usr/share/pixmaps",
    "usr/share/applications",
    "usr/share/binfmts",
    "usr/share/gcc",
    "usr/share/gdb",
    "usr/share/base-files",
    "usr/lib/python3.13/ensurepip",
    "usr/lib/python3.13/idlelib",
    "usr/lib/python3.13/pydoc_data",
    "usr/lib/python3.13/test",
    "usr/lib/python3.13/turtledemo",
    "usr/lib/python3.13/config-3.13-x86_64-linux-gnu",
    "usr/lib/python3.13/_pyrepl",
    "usr/lib/python3.13/doctest.py",
    "usr/lib/python3.13/mailbox.py",
    "usr/lib/python3.13/pdb.py",
    "usr/lib/python3.13/pydoc.py",
    "usr/lib/python3.13/turtle.py",
    "usr/lib/python3.13/wsgiref",
    "usr/lib/python3.13/xmlrpc",
    "usr/lib/python3.13/lib-dynload/_codecs_*",
    "usr/lib/python3.13/lib-dynload/_curses*",
    "usr/lib/python3.13/lib-dynload/_dbm.*",
    "usr/lib/python3.13/lib-dynload/_test*",
    "usr/lib/python3.13/lib-dynload/readline.*",
    "usr/lib/python3.13/lib-dynload/xx*",
    "usr/lib/python3.13/lib-dynload/_xx*",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/aarch64-linux-gnu/gconv",
)
USER = 10001
ACCOUNTS = {
    "passwd": f"root:x:0:0:root:/:/\nedgeface:x:{USER}:{USER}:edgeface:/var/lib/edgeface:/\n",
    "group": f"root:x:0:\nvideo:x:44:edgeface\nedgeface:x:{USER}:\n",
}


def main() -> None:
    """Lay it."""
    source, arch, tree = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    tree.mkdir(parents=True)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        _unpack_debian(work, arch, tree)
        wheel = source if source.suffix == ".whl" else build_wheel(source, work)
        site = lay(wheel, tree, arch, PYTHON, GLIBC)
    for pattern in LEFT_OUT:
        for found in tree.glob(pattern):
            shutil.rmtree(found) if found.is_dir() else found.unlink()
    for file in (tree / "usr/share/doc").rglob("*"):
        if file.is_file() and file.name != "copyright":
            file.unlink()
    _trust(tree)
    for name, text in ACCOUNTS.items():
        (tree / "etc" / name).write_text(text)
    state = tree / "var/lib/edgeface"
    state.mkdir(mode=0o700)
    os.chown(state, USER, USER)
    (tree / "etc/edgeface").mkdir()
    for part in (tree / f"usr/lib/python{PYTHON}", site):
        _compile(part, tree)


def _compile(part: Path, tree: Path) -> None:
    """Byte code in place of its source: the root is read-only, so what is missing would be made at every start."""
    fixed = {"stripdir": str(tree), "prependdir": "/", "invalidation_mode": PycInvalidationMode.UNCHECKED_HASH}
    if not compileall.compile_dir(part, quiet=1, legacy=True, **fixed):
        sys.exit(f"rootfs: {part} has a module that is no Python {PYTHON}")
    for source in part.rglob("*.py"):
        if "cv2" in source.parts:  # OpenCV reads its own sources
            source.with_suffix(".pyc").unlink()
        else:
            source.unlink()


def _unpack_debian(work: Path, arch: str, tree: Path) -> None:
    run("dpkg", "--add-architecture", arch)
    run("apt-get", "-qq", "update")
    wanted = " ".join(f"{package}:{'all' if package in EVERYWHERE else arch}" for package in PACKAGES)
    run("sh", "-c", f"cd {work} && apt-get -qq -o APT::Sandbox::User=root download {wanted}")
    for package in PACKAGES:  # base-files first: it has the links /lib and /bin
        (archive,) = work.glob(f"{package}_*.deb")
        run("dpkg-deb", "--extract", archive, tree)


def _trust(tree: Path) -> None:
    """Debian's certificate authorities, not those that this machine trusts besides."""
    authorities = sorted(Path("/usr/share/ca-certificates/mozilla").glob("*.crt"))
    folder = tree / "etc/ssl/certs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca-certificates.crt").write_text("".join(file.read_text() for file in authorities))


if __name__ == "__main__":
    main()
