"""Lays apt repositories for a guest: of one version and then of two, and such as an attacker would offer."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lay import ROOT, do, package


def repositories(inside: Path, python: str) -> None:
    """``first`` and ``second`` below /guest/repositories, and four that are ``second`` with something wrong."""
    package(inside, python, do("dpkg", "--print-architecture").strip())
    shutil.copy(ROOT / "docs/install.md", inside)
    offered = inside / "repositories"
    offered.mkdir()
    newer(inside)
    with signing() as key:
        offer(inside / "edgeface.deb", offered / "first", key)
        shutil.copytree(offered / "first", offered / "second")
        offer(inside / "next.deb", offered / "second", key)
    with signing() as key:
        offer(inside / "next.deb", offered / "stranger", key)
    for name in ("unsigned", "index", "file"):
        shutil.copytree(offered / "second", offered / name)
    spoil(offered)


def spoil(offered: Path) -> None:
    """Take one's signatures away, and change the index of another, and the package in a third."""
    for signature in (offered / "unsigned/public/dists").glob("*/*Release*"):
        if signature.name != "Release":
            signature.unlink()
    for index in (offered / "index/public/dists").rglob("Packages*"):
        index.write_bytes(bytes(reversed(index.read_bytes())))
    for file in (offered / "file/public/pool").rglob("*.deb"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)


def newer(inside: Path) -> None:
    """The same package as a newer version with other default settings, as next.deb."""
    tree = inside / "tree"
    do("dpkg-deb", "--raw-extract", inside / "edgeface.deb", tree)
    control, settings = tree / "DEBIAN/control", tree / "etc/edgeface/edgeface.toml"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 9."))
    settings.write_text(f"# Of the newer version.\n{settings.read_text()}")
    do("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, inside / "next.deb")
    shutil.rmtree(tree)


@contextmanager
def signing() -> Iterator[str]:
    """The fingerprint of a secret key that gpg has meanwhile."""
    with TemporaryDirectory(prefix="edgeface-gpg-") as home:  # its path is short, for gpg-agent's socket
        os.environ["GNUPGHOME"] = home
        do("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", "edgeface in a guest", "ed25519", "sign", "1d")
        listed = do("gpg", "--batch", "--no-auto-check-trustdb", "--with-colons", "--list-secret-keys").splitlines()
        try:
            yield next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
        finally:
            do("gpgconf", "--kill", "all")
            del os.environ["GNUPGHOME"]


def offer(file: Path, repository: Path, key: str) -> None:
    do(sys.executable, ROOT / "deploy/apt-repository", "--key", key, "--out", repository, file)
