"""The site of the documentation: it has every page, its links lead somewhere, and it loads nothing from elsewhere."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent


def listed(entries: list[Any]) -> Iterator[str]:
    """Yield the files of a navigation."""
    for entry in entries:
        for value in [entry] if isinstance(entry, str) else entry.values():
            yield from [value] if isinstance(value, str) else listed(value)


def test_every_page_is_in_the_navigation() -> None:
    navigation = yaml.safe_load((ROOT / "deploy/website.yml").read_text())["nav"]
    pages = {path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))}
    assert pages <= set(listed(navigation))


@pytest.mark.slow
def test_it_is_built_without_a_broken_link_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "deploy/website.py"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 35
    for page in pages:
        loaded = re.findall(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="([^"]+)"', page.read_text())
        assert [address for address in loaded if re.match(r"(?:https?:)?//", address)] == [], page
