"""The Debian package, as it is built; what it does on a real system is seen by tests/guest/run."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
UNITS = ("edgeface.service", "edgeface@.service")
pytestmark = [pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed"), pytest.mark.slow]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[str, str]]]:
    """Where a package for this Debian's neighbour is unpacked: another processor and another Python, as on a Pi."""
    if shutil.which("aarch64-linux-gnu-strip") is None:
        pytest.skip("binutils-aarch64-linux-gnu is not installed")
    folder = tmp_path_factory.mktemp("deb")
    command = [sys.executable, "deploy/build-deb", "--arch", "arm64", "--python", "3.13", "--out", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert (built.returncode, built.stderr) == (0, "")
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", built.stdout.strip(), tree], check=True)
    listing = subprocess.run(["dpkg-deb", "--fsys-tarfile", built.stdout.strip()], check=True, capture_output=True).stdout
    (folder / "data.tar").write_bytes(listing)
    with tarfile.open(folder / "data.tar") as archive:
        modes = {member.name.removeprefix("./"): (oct(member.mode), member.uname) for member in archive.getmembers()}
    return tree, modes


def test_settings_are_a_conffile_for_root_and_its_group_with_the_service_s_gallery(
    package: tuple[Path, dict[str, tuple[str, str]]],
) -> None:
    tree, modes = package
    assert (tree / "DEBIAN/conffiles").read_text() == "/etc/edgeface/edgeface.toml\n"
    assert modes["etc/edgeface/edgeface.toml"] == ("0o640", "root")
    assert modes["etc/edgeface"] == ("0o750", "root")
    settings = tomllib.loads((tree / "etc/edgeface/edgeface.toml").read_text())
    assert settings["gallery"] == {"path": "/var/lib/edgeface/gallery.db"}


def test_every_wheel_is_for_the_other_machine_and_python(package: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    tree, _ = package
    site = tree / "opt/edgeface/lib/python3.13/site-packages"
    libraries = [path for path in site.rglob("*.so*") if path.is_file()]
    assert len(libraries) > 20
    for library in libraries:
        assert library.read_bytes()[:20][18:] == b"\xb7\x00", library  # EM_AARCH64
    assert "numpy-2" in " ".join(path.name for path in site.iterdir())
    assert (site / "edgeface/models/encoder.tflite").is_file()


def test_nothing_is_in_it_that_a_device_does_not_need(package: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    tree, _ = package
    site = tree / "opt/edgeface/lib/python3.13/site-packages"
    assert not {"pip", "hatchling", "rich", "google", "flatbuffers"} & {path.name for path in site.iterdir()}
    assert not [path for path in site.rglob("*") if path.suffix in {".pyi", ".c", ".h", ".a"} or path.name == "tests"]


def test_it_is_a_virtual_environment_that_finds_the_system_s_packages(package: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    tree, modes = package
    home = tree / "opt/edgeface"
    assert "include-system-site-packages = true" in (home / "pyvenv.cfg").read_text()
    assert (home / "bin/python3").readlink() == Path("/usr/bin/python3.13")
    assert modes["opt/edgeface/bin/edgeface"] == ("0o755", "root")
    assert (tree / "usr/bin/edgeface").readlink() == Path("/opt/edgeface/bin/edgeface")


def test_units_and_their_like_are_where_systemd_looks(package: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    tree, _ = package
    for unit in UNITS:
        assert (tree / "usr/lib/systemd/system" / unit).is_file()
        assert (tree / "usr/lib/systemd/system" / f"{unit}.d/backoff.conf").is_file()
    assert (tree / "usr/lib/sysusers.d/edgeface.conf").is_file()
    assert (tree / "usr/lib/tmpfiles.d/edgeface.conf").is_file()


def test_every_command_has_a_man_page_and_every_shell_its_completion(package: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    tree, _ = package
    pages = {path.name.removesuffix(".1.gz") for path in (tree / "usr/share/man/man1").iterdir()}
    assert {"edgeface", "edgeface-run", "edgeface-people-list", "edgeface-config-default"} <= pages
    page = gzip.decompress((tree / "usr/share/man/man1/edgeface-doctor.1.gz").read_bytes()).decode()
    assert "\\-\\-only" in page
    for place in (
        "bash-completion/completions/edgeface",
        "zsh/vendor-completions/_edgeface",
        "fish/vendor_completions.d/edgeface.fish",
    ):
        assert "_EDGEFACE_COMPLETE" in (tree / "usr/share" / place).read_text()


def test_building_leaves_the_wheels_of_others_alone(package: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    tree, _ = package
    site = tree.parent / "wheels"
    where = ("--target", site, "--python-version", "3.13", "--python-platform", "aarch64-manylinux_2_40")
    locked = ("--only-binary", ":all:", "--no-deps", "--constraints", ROOT / "deploy/constraints/device.txt")
    subprocess.run([sys.executable, "-m", "uv", "-q", "pip", "install", *where, *locked, "msgspec"], check=True, timeout=120)
    (built,), (cached,) = ((folder.rglob("msgspec/_core*.so")) for folder in (tree, site))
    assert cached.stat().st_size > built.stat().st_size  # with its symbols


@pytest.mark.skipif(shutil.which("lintian") is None, reason="lintian is not installed")
def test_lintian_finds_no_error_and_no_warning_and_every_override_has_a_use(
    package: tuple[Path, dict[str, tuple[str, str]]],
) -> None:
    tree, _ = package
    (file,) = tree.parent.glob("*.deb")
    command = ["lintian", "--allow-root", "--display-info", "--fail-on", "error,warning", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout
    assert "unused-override" not in done.stdout


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_man_pages_are_formatted_in_silence(package: tuple[Path, dict[str, tuple[str, str]]]) -> None:
    tree, _ = package
    for path in (tree / "usr/share/man/man1").iterdir():
        page = gzip.decompress(path.read_bytes())
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-K", "utf8"], input=page, capture_output=True, timeout=60)
        assert done.stderr == b"", path


def test_a_wheel_that_is_not_the_locked_one_is_refused(tmp_path: Path) -> None:
    """The package's wheels are checked by the hashes of the constraints: uv does so, and is to go on doing so."""
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"ulid-transform==2.2.9 --hash=sha256:{'0' * 64}\n")
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--target",
        str(tmp_path / "x"),
        "--constraints",
        str(constraints),
        "ulid-transform",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "ash mismatch" in done.stderr


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_maintainer_scripts_are_posix(script: str) -> None:
    file = ROOT / "deploy/deb" / script
    subprocess.run(["sh", "-n", file], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", file], check=True)


def test_the_unit_for_several_cameras_differs_in_its_names_alone() -> None:
    one, several = ((ROOT / "systemd" / unit).read_text() for unit in UNITS)
    assert several == one.replace("from a camera", "from the camera %i").replace("edgeface.toml", "%i.toml").replace(
        "RuntimeDirectory=edgeface\n", "RuntimeDirectory=edgeface-%i\n"
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS)
def test_the_service_s_exposure_is_2_at_most(unit: str, tmp_path: Path) -> None:
    file = shutil.copy(ROOT / "systemd" / unit, tmp_path / unit.replace("@", "@front"))
    command = ["systemd-analyze", "security", "--offline=yes", "--json=short", "--threshold=20", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)


CHECK = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()))
"""


def test_its_bill_of_materials_is_cyclonedx_and_names_every_package_and_network(
    package: tuple[Path, dict[str, tuple[str, str]]],
) -> None:
    tree, _ = package
    file, site = tree / "usr/share/doc/edgeface/sbom.cdx.json", tree / "opt/edgeface/lib/python3.13/site-packages"
    venv, uv = tree.parent / "sbom", [sys.executable, "-m", "uv", "-q"]
    subprocess.run([*uv, "venv", "--python", sys.executable, venv], check=True, timeout=60)
    locked = ("--require-hashes", "-r", ROOT / "deploy/constraints/sbom.txt")
    subprocess.run([*uv, "pip", "install", "--no-config", "--python", venv, *locked], check=True, timeout=120)

    def verdict(path: Path) -> str:
        command = [str(venv / "bin/python"), "-c", CHECK, str(path)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    assert verdict(file) == "None"
    document = json.loads(file.read_bytes())
    (tree.parent / "wrong.json").write_text(json.dumps(document | {"components": [{"name": "no type"}]}))
    assert verdict(tree.parent / "wrong.json") != "None"
    listed = {f"{one['name']}-{one['version']}" for one in [*document["components"], document["metadata"]["component"]]}
    there = {path.name.removesuffix(".dist-info").replace("_", "-").lower() for path in site.glob("*.dist-info")}
    assert there <= {name.replace("_", "-").lower() for name in listed}
    networks = {one["bom-ref"]: one for one in document["components"] if one["type"] == "machine-learning-model"}
    for path in (site / "edgeface/models").glob("*.[to][fn]*"):
        one = networks.pop(f"edgeface/models/{path.name}")
        assert one["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]
    assert networks == {}
    assert [one["name"] for one in document["components"] if not one.get("licenses")] == []
