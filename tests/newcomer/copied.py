"""Copies the sources, for a change to be made to them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from fixtures.commandline import Cli

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("__pycache__", "*.npz", "*.onnx", "LOG.md")
"""What no change needs of train."""


class Copy:
    """The packages and their settings in a folder of their own; ``touched`` are the files that a change made or edited."""

    def __init__(self, root: Path) -> None:
        self.root, self.touched = root, set[str]()
        shutil.copytree(ROOT / "edgeface", root / "edgeface", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "train", root / "train", ignore=shutil.ignore_patterns(*HEAVY))
        shutil.copy2(ROOT / "pyproject.toml", root)
        self.environment = os.environ | {"PYTHONPATH": str(root)}

    def create(self, path: str, text: str) -> None:
        """Write a new file."""
        assert not (self.root / path).exists(), path
        (self.root / path).write_text(text.lstrip("\n"))
        self.touched.add(path)

    def insert(self, path: str, after: str, text: str) -> None:
        """Add lines after the one place where the file says ``after``."""
        self.replace(path, after, f"{after}{text}")

    def replace(self, path: str, old: str, new: str) -> None:
        """Put other text in the one place where the file says ``old``."""
        before = (self.root / path).read_text()
        assert before.count(old) == 1, (path, old, before.count(old))
        (self.root / path).write_text(before.replace(old, new))
        self.touched.add(path)

    def run(self, *words: str | Path, code: int = 0) -> str:
        """What a program of the environment prints that works on the copy."""
        program, *rest = map(str, words)
        command = [str(Path(sys.executable).with_name(program)), *rest]
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def python(self, script: str, *words: str | Path) -> str:
        """What a script prints that imports the copy."""
        return self.run("python", "-c", script, *words)


class CopiedCli(Cli):
    """The command line of a copy, in a folder of its own."""

    def __init__(self, copy: Copy, folder: Path) -> None:
        folder.mkdir()
        super().__init__(folder)
        self.environment["PYTHONPATH"] = str(copy.root)

    def __call__(self, *words: str | Path | float, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words), cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        return done
