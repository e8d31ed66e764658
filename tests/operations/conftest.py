"""Fixtures of the tests of operations."""

import pytest
from fixtures.commandline import Cli
from fixtures.frames import photo
from fixtures.optional import needed

from edgeface.config.load import load
from edgeface.gallery.open import open_gallery
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import Vector
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image

PHOTOS = ("obama_press_room.jpg", "obama_congress.jpg", "biden_blue_room.jpg", "collins_portrait.jpg")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Vector]:
    """The embeddings of photos, as a camera's views."""
    cli = Cli(tmp_path_factory.mktemp("embedding"))
    embedder = Embedder()
    gallery = open_gallery(load(cli.file), embedder.card)
    pipeline = Pipeline(load(cli.file), embedder, gallery)
    found = {name: needed(pipeline.observe(load_image(photo(name)))[0].embedding).vector for name in PHOTOS}
    gallery.close()
    return found
