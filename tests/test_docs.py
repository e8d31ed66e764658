"""The README and the pages of docs: what they name is there, and what is generated is as it is generated."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from edgeface.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
PAGES = [ROOT / "examples/README.md", *sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
PACKAGES = [
    folder.relative_to(ROOT).as_posix()
    for top in ("edgeface", "train")
    for folder in (ROOT / top, *(ROOT / top).iterdir())
    if (folder / "__init__.py").exists()
]
named = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next of its level."""
    level, _, _ = heading.partition(" ")
    return text.split(f"\n{heading}\n", 1)[1].split(f"\n{level} ", 1)[0]


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(page: Path) -> list[str]:
    """The code of a page, in blocks and within lines."""
    text = page.read_text()
    return [*re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.M | re.S), *re.findall(r"`([^`\n]+)`", text)]


def test_the_readme_is_a_front_page_that_names_every_package() -> None:
    assert len(README.splitlines()) <= 170
    rows = section(README, "## How it is built")
    assert [name for name in PACKAGES if f"`{name}`" not in rows and name != "edgeface"] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_architecture_has_a_sentence_for_every_module_and_no_other(package: str) -> None:
    told = dict(re.findall(r"^\| `(\w+\.py)` \| (.+) \|$", section(ARCHITECTURE, f"### `{package}/`"), re.M))
    there = {path.name for path in (ROOT / package).glob("*.py")} - {"__init__.py"}
    assert set(told) == there


def test_the_architecture_has_the_layers_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    blocks = re.findall(r"(?:^    .+\n)+", section(ARCHITECTURE, "## Layers"), re.M)
    assert [[line.strip() for line in block.splitlines()] for block in blocks] == layers


@named
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@named
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    for part in code(page):
        for path in re.findall(
            r"(?<![\w/.~-])((?:train|tests|deploy|systemd|examples|docs)/[\w./-]*\w|edgeface/[\w/]+\.\w+)", part
        ):
            assert (ROOT / path).exists(), path


@named
def test_every_command_that_a_page_names_is_there(page: Path) -> None:
    from train.__main__ import app as training

    training_group = get_command(training)
    assert isinstance(training_group, TyperGroup)
    train = training_group.commands
    for part in code(page):
        for module in re.findall(r"python3? -m ((?:train|tests|edgeface)[\w.]*)", part):
            assert importlib.util.find_spec(module), module
        for name in re.findall(r"python3? -m train ([a-z]+)", part):
            assert name in train, name
        for words in re.findall(r"(?:^|bin/|edgeface |\$ )edgeface((?: [a-z]+)+)", part, re.M):
            below = get_command(app)
            for word in words.split():
                if not (group := getattr(below, "commands", None)):
                    break
                assert word in group, words
                below = group[word]


def test_the_generated_pages_are_those_that_the_command_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "deploy/reference.py", tmp_path], check=True, timeout=60)
    for path in tmp_path.iterdir():
        assert (ROOT / "docs" / path.name).read_text() == path.read_text(), "python deploy/reference.py docs"
    assert {path.name for path in tmp_path.iterdir()} == {"cli.md", "settings.md", "openapi.json"}
