"""What a release has of Python: built twice, checked, installed as users do, and signed by the command of the documentation."""

import hashlib
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from fixtures.optional import needed

ROOT = Path(__file__).parent.parent.parent
loader = importlib.machinery.SourceFileLoader("release", str(ROOT / "deploy/release"))
release = importlib.util.module_from_spec(needed(importlib.util.spec_from_loader("release", loader)))
loader.exec_module(release)


def digests(folder: Any) -> Any:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.mark.slow
def test_two_builds_are_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    release.build_python(tmp_path / "one")
    before = os.umask(0o077)
    try:
        release.build_python(tmp_path / "two")
    finally:
        os.umask(before)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert len(digests(tmp_path / "one")) == 2
    with tarfile.open(next((tmp_path / "one").glob("*.tar.gz"))) as archive:
        assert {member.mtime for member in archive.getmembers()} == {1700000000}


def test_notes_are_the_section_of_the_version() -> None:
    changelog = "# Changelog\n\n## 1.10.0\n\n- a\n\n## 1.1.0 (2026-11-29)\n\n- b\n"
    assert release.notes(changelog, "1.1.0") == "## 1.1.0 (2026-11-29)\n\n- b\n"
    with pytest.raises(SystemExit, match="no section"):
        release.notes(changelog, "1.1.1")


def run(*words: Any, code: Any = 0, **options: Any) -> Any:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A release of the Python packages; whatever installs and starts them has done so."""
    out = tmp_path_factory.mktemp("release") / "out"
    run(sys.executable, ROOT / "deploy/release", "--dirty", "--only", "python", "--out", out)
    return out


@pytest.mark.slow
def test_a_release_lists_its_files_and_what_they_were_made_of(made: Any) -> None:
    names = {re.sub(r"\d+\.\d+\.\d+", "V", file.name) for file in made.iterdir()}
    assert names == {
        "NOTES.md",
        "SHA256SUMS",
        "edgeface-V-py3-none-any.whl",
        "edgeface-V.cdx.json",
        "edgeface-V.intoto.json",
        "edgeface-V.tar.gz",
    }
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=made)
    statement = json.loads(next(made.glob("*.intoto.json")).read_bytes())
    there = digests(made)
    told = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    assert told == {name: there[name] for name in there if name != "SHA256SUMS" and not name.endswith(".intoto.json")}
    materials = json.loads(next(made.glob("*.cdx.json")).read_bytes())
    assert materials["metadata"]["component"]["name"] == "edgeface"
    assert {"numpy", "ai-edge-litert", "edgeface encoder"} <= {one["name"] for one in materials["components"]}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_the_documented_commands_sign_it_and_find_a_change(made: Any, tmp_path: Path) -> None:
    page = (ROOT / "docs/releasing.md").read_text()
    sign, verify = (
        needed(re.search(rf"^({start}.*)$", page, re.M))[1].split("  #")[0]
        for start in ("ssh-keygen -Y sign", "ssh-keygen -Y v")
    )
    folder = tmp_path / "out"
    shutil.copytree(made, folder)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", tmp_path / "release")
    (tmp_path / "release-signers").write_text(f"maintainer {(tmp_path / 'release.pub').read_text()}")
    options = {"cwd": folder, "shell": False}
    run("sh", "-c", sign.replace("~/.ssh/edgeface-release", str(tmp_path / "release")), **options)
    check = verify.replace("release-signers", str(tmp_path / "release-signers"))
    run("sh", "-c", check, **options)
    (folder / "SHA256SUMS").write_text((folder / "SHA256SUMS").read_text().replace("0", "1", 1))
    run("sh", "-c", check, code=255, **options)


def test_metadata_names_no_address_that_nobody_has() -> None:
    """Where the project is published, it is told to packagers and readers; an example's address never is."""
    text = (ROOT / "pyproject.toml").read_text()
    assert not re.search(r"example\.(?:com|org|net)|localhost|your[-_]", text, re.I)
