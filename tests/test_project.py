"""The unit file, the wheel and the README, as they are shipped."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from fixtures.optional import needed

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", ["edgeface.service", "edgeface@.service"])
def test_units_are_verified_in_silence(tmp_path: Path, unit: str) -> None:
    text = (ROOT / "systemd" / unit).read_text()
    program = needed(re.search(r"^ExecStart=(\S+)", text, re.M))[1]
    # verify wants the program to exist; nothing else of the unit is changed
    (tmp_path / unit).write_text(text.replace(program, needed(shutil.which("true"))))
    drop_ins = tmp_path / f"{unit}.d"
    drop_ins.mkdir()
    for drop_in in (ROOT / "systemd").glob("*.conf"):
        shutil.copy(drop_in, drop_ins)
    started = tmp_path / unit.replace("@", "@front")
    if started.name != unit:
        started.symlink_to(unit)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", started], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_wheel_holds_the_models_and_no_training(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT],
        check=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "encoder.tflite",
        "decoder.tflite",
        "model.json",
        "landmarks.tflite",
        "yunet_stem.onnx",
        "yunet_heads.onnx",
    ):
        assert f"edgeface/models/{name}" in names
    assert {"edgeface/mqtt_reference.md", "edgeface/gallery/schema/v2.sql"} <= set(names)
    assert "edgeface/locale/de/LC_MESSAGES/edgeface.mo" in names
    assert not [name for name in names if name.startswith(("train/", "tests/"))]


def test_the_source_distribution_has_every_page() -> None:
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"/docs", *(f"/{page.name}" for page in ROOT.glob("*.md"))} <= set(included)
    assert [name for name in included if not (ROOT / name[1:]).exists()] == []


@pytest.mark.parametrize("heading", ["Try it", "Test it"])
def test_readme_starts_each_way_in_with_one_command(heading: str) -> None:
    section = (ROOT / "README.md").read_text().split(f"\n## {heading}\n", 1)[1]
    block = re.match(r"\s*```\w*\n(.*?)\n```", section, re.S)
    assert block
    assert "\n" not in block[1]


def test_nothing_is_read_by_a_pickle() -> None:
    """Not by pickle, nor by what is built on it; an array from a file may hold numbers only."""
    running = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
    for file in (*(ROOT / "edgeface").rglob("*.py"), *(ROOT / "train").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & running, file
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), file
                assert node.value.value is False, file


def test_the_workflow_checks_every_python_and_both_processors() -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["run"]
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    pythons = [name.rpartition(" ")[2] for name in classifiers if re.search(r"Python :: 3\.\d+$", name)]
    assert job["strategy"]["matrix"]["python"] == pythons
    assert [one["machine"] for one in job["strategy"]["matrix"]["include"]] == ["ubuntu-24.04-arm"]
    assert job["steps"][-1]["run"] == ".ci/run"
    assert not [step for step in job["steps"] if "uses" in step]


def test_no_constraint_names_an_address() -> None:
    for file in (ROOT / "deploy/constraints").glob("*.txt"):
        text = file.read_text()
        assert "://" not in text
        assert all(re.search(r"==", line) for line in text.splitlines() if re.match(r"[a-z]", line))


MOST_LINES, MOST_PARAMETERS = 50, 6


def functions(file: Path) -> list[Any]:
    tree = ast.parse(file.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg) if one]
    return [name for name in names if name not in ("self", "cls")]


def test_functions_are_short_and_take_few_parameters() -> None:
    """Docstrings count. Typer makes an option of each parameter of a command, so commands may have more of them."""
    found = set()
    for file in (*(ROOT / "edgeface").rglob("*.py"), *(ROOT / "train").rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        is_command = name.startswith("edgeface/cli/") or name in {
            "train/__main__.py",
            "train/detector/cli.py",
            "train/pad/cli.py",
        }
        for function in functions(file):
            lines = function.end_lineno - function.lineno + 1
            if lines > MOST_LINES or (len(parameters(function)) > MOST_PARAMETERS and not is_command):
                found.add(f"{name}:{function.name}")
    assert found == set()
