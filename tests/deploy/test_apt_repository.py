"""The apt repository: apt takes packages from it by the source that is documented, and nothing that was not signed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fixtures.optional import needed

ROOT = Path(__file__).parent.parent.parent
NEEDED = ("apt-get", "dpkg-deb", "gpg", "reprepro")
missing = [program for program in NEEDED if not shutil.which(program)]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
CONTROL = """\
Package: edgeface
Version: {version}
Architecture: {arch}
Maintainer: The edgeface authors <edgeface@localhost>
Section: net
Priority: optional
Description: nothing
"""


class Keys:
    """A gpg of its own."""

    def __init__(self, home: Path) -> None:
        self.environment = os.environ | {"GNUPGHOME": str(home)}

    def run(self, *words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [str(word) for word in words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def make(self, name: str) -> str:
        self.run("gpg", "--batch", "--passphrase", "", "--quick-gen-key", name, "ed25519", "sign", "1d")
        listed = self.run("gpg", "--batch", "--with-colons", "--list-secret-keys", name).stdout
        return needed(re.search(r"^fpr:+(\w+):", listed, re.M))[1]

    def offer(self, out: Path, key: str, *packages: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, ROOT / "deploy/apt-repository", "--key", key, "--out", out, *packages, code=code)


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    with TemporaryDirectory(prefix="gpg-") as home:  # a short path, for the socket of gpg-agent
        made = Keys(Path(home))
        yield made
        made.run("gpgconf", "--kill", "all")


@pytest.fixture(scope="module")
def key(keys: Keys) -> str:
    return keys.make("edgeface")


def build(folder: Path, version: str, arch: str = "amd64") -> Path:
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(CONTROL.format(version=version, arch=arch))
    package = folder / f"edgeface_{version}_{arch}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, package], check=True, capture_output=True)
    shutil.rmtree(tree)
    return package


@pytest.fixture(scope="module")
def made(keys: Keys, key: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of version 1, to which version 2 was added; what they are made of lies beside it."""
    folder = tmp_path_factory.mktemp("apt")
    for version in ("1.0", "2.0"):
        packages = [build(folder, f"{version}+{end}", arch) for end in ("deb12", "deb13") for arch in ("amd64", "arm64")]
        done = keys.offer(folder / "repository", key, *packages)
        assert (done.stdout, done.stderr) == (f"{folder}/repository/public\n", "")
    return folder


@pytest.fixture
def public(made: Path, tmp_path: Path) -> Path:
    """A copy of what is published."""
    return Path(shutil.copytree(made / "repository/public", tmp_path / "public"))


def apt(public: Path, *words: str, suite: str = "trixie", arch: str = "arm64", key: Path | None = None) -> tuple[int, str]:
    """Run apt-get as on a device that has nothing but the documented source; gives exit status and output."""
    root = public.parent / "root"
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("etc/apt/sources.list.d", "var/lib/dpkg", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    page = (ROOT / "docs/install.md").read_text()
    source = needed(re.search(r"^```\n(Types: deb\n.*?)^```", page, re.M | re.S))[1]
    changes = {"https://ADDRESS": f"file:{public}", "Suites: trixie": f"Suites: {suite}"}
    changes["/etc/apt/keyrings/edgeface.asc"] = str(key or public / "edgeface.asc")
    for before, after in changes.items():
        assert before in source
        source = source.replace(before, after)
    (root / "etc/apt/sources.list.d/edgeface.sources").write_text(source)
    settings = {
        "Dir": root,
        "Dir::State::status": root / "var/lib/dpkg/status",
        "APT::Architecture": arch,
        "APT::Architectures": arch,
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    said = ""
    for command in (["update"], list(words)):
        if command:
            done = subprocess.run(
                ["apt-get", *options, "-o", "APT::Sandbox::User=root", *command],
                capture_output=True,
                text=True,
                cwd=public.parent,
                env=os.environ | {"LC_ALL": "C.UTF-8"},
                timeout=300,
            )
            said += done.stdout + done.stderr
            if done.returncode:
                return done.returncode, said
    return 0, said


@pytest.mark.parametrize(("suite", "end"), [("bookworm", "deb12"), ("trixie", "deb13")])
@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_apt_takes_the_newest_package_of_its_debian_and_processor(public: Path, suite: str, end: str, arch: str) -> None:
    assert apt(public, "download", "edgeface", suite=suite, arch=arch)[0] == 0
    (got,) = public.parent.glob("*.deb")
    control = subprocess.run(
        ["dpkg-deb", "--field", got, "Version", "Architecture"], check=True, capture_output=True, text=True
    )
    assert control.stdout == f"Version: 2.0+{end}\nArchitecture: {arch}\n"
    assert "Origin: edgeface\n" in (public / f"dists/{suite}/Release").read_text()  # by which unattended-upgrades knows it


def test_what_another_key_signed_is_refused(keys: Keys, public: Path, made: Path, tmp_path: Path) -> None:
    other = keys.make("somebody else")
    keys.offer(tmp_path / "other", other, next(made.glob("*2.0+deb13_arm64.deb")))
    code, said = apt(tmp_path / "other/public", key=public / "edgeface.asc")
    assert code == 100
    assert "is not signed" in said


def test_what_nobody_signed_is_refused(public: Path) -> None:
    for name in ("InRelease", "Release.gpg"):
        (public / "dists/trixie" / name).unlink()
    code, said = apt(public)
    assert code == 100
    assert "is not signed" in said


def test_a_changed_index_is_refused(public: Path) -> None:
    for file in (public / "dists/trixie/main/binary-arm64").glob("Packages*"):
        file.write_bytes(bytes(reversed(file.read_bytes())))
    code, said = apt(public)
    assert code == 100
    assert "Hash Sum mismatch" in said


def test_a_changed_package_is_refused(public: Path) -> None:
    for file in (public / "pool").rglob("*.deb"):
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    code, said = apt(public, "download", "edgeface")
    assert code == 100
    assert "Hash Sum mismatch" in said
    assert not list(public.parent.glob("*.deb"))


def test_an_older_version_is_passed_over_and_said_so(keys: Keys, key: str, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "repository", tmp_path / "repository")
    said = keys.offer(tmp_path / "repository", key, made / "edgeface_1.0+deb13_arm64.deb").stderr
    assert "has already '2.0+deb13'" in said
    assert [file.name for file in (tmp_path / "repository/public/pool").rglob("*deb13_arm64.deb")] == [
        "edgeface_2.0+deb13_arm64.deb"
    ]


def test_mistakes_are_told_in_a_line(keys: Keys, key: str, tmp_path: Path) -> None:
    package = build(tmp_path, "1.0+deb13")
    for wrong, said in {"edgeface": "give the whole fingerprint", "0" * 40: "No secret key"}.items():
        (line,) = keys.offer(tmp_path / "out", wrong, package, code=1).stderr.splitlines()
        assert said in line
    (line,) = keys.offer(tmp_path / "out", key, build(tmp_path, "1.0"), code=1).stderr.splitlines()
    assert "ends with none of +deb12, +deb13" in line
    assert not (tmp_path / "out").exists()
