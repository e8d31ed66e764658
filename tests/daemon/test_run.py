import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeface.daemon.run import plain


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("run", {}),
        ("--config a.toml run", {"--config": Path("a.toml")}),
        ("--config=a.toml --model m run", {"--config": Path("a.toml"), "--model": Path("m")}),
        ("", None),
        ("--config", None),
        ("--config run", None),
        ("run --help", None),
        ("run more", None),
        ("--version run", None),
        ("--config a.toml status", None),
    ],
)
def test_a_plain_run_is_told_from_all_else(line: str, given: dict[str, Path] | None) -> None:
    assert plain(line.split()) == given


def test_the_daemon_loads_neither_the_command_lines_libraries_nor_what_it_does_not_use(tmp_path: Path) -> None:
    """And BLAS, which asks when it is loaded, is told to use one thread."""
    script = (
        "import sys, os\n"
        "from edgeface.daemon import run as alone\n"
        "import edgeface.daemon.service\n"
        "os.environ.pop('OPENBLAS_NUM_THREADS', None)\n"
        "class Service:\n"
        "    def __init__(self, *_): pass\n"
        "    def run(self):\n"
        "        loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "        unused = {'typer', 'click', 'rich', 'pydantic', 'prometheus_client', 'matplotlib', 'amqtt', 'hypothesis',\n"
        "            'starlette', 'uvicorn', 'anyio', 'tqdm', 'xml', 'unittest', 'pydoc', 'doctest', 'multiprocessing'}\n"
        "        print(sorted(loaded & unused), os.environ['OPENBLAS_NUM_THREADS'])\n"
        "edgeface.daemon.service.Service = Service\n"
        "sys.argv[1:] = ['run']\n"
        "from edgeface.__main__ import main\n"
        "main()\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert told.stdout == "[] 1\n", told


@pytest.mark.parametrize(("setting", "code"), [("[camera]\nfps = 0\n", 2), ('[camera]\nsource = "folder:/none"\n', 1)])
def test_an_error_is_one_line_and_an_exit_code(tmp_path: Path, setting: str, code: int) -> None:
    (tmp_path / "edgeface.toml").write_text(setting)
    ended = subprocess.run(
        [sys.executable, "-m", "edgeface", "--config", tmp_path / "edgeface.toml", "run"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"XDG_DATA_HOME": str(tmp_path)},
    )
    assert ended.returncode == code
    assert len([line for line in ended.stderr.splitlines() if line.startswith("edgeface: ")]) == 1
    assert "Traceback" not in ended.stderr
