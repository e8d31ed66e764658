"""A gallery with a file of its own, as most tests here want it; some files have another."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.backup import no_credentials
from fixtures.galleries import MODEL

from edgeface.gallery.store import Gallery

__all__ = ["no_credentials"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "gallery.db"


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    opened = Gallery(path, MODEL)
    yield opened
    opened.close()
