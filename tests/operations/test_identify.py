"""``identify`` at the doors of the operation; the API has tests of its own."""

import base64
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.broker import Broker, broker, needs_broker
from fixtures.daemon import enroll, running, settings
from fixtures.frames import photo
from fixtures.page import Page, serving

from edgeface.config.schema import Config, GallerySettings
from edgeface.enrollment.enroller import Enroller, read_images
from edgeface.errors import GalleryError, ImageError
from edgeface.gallery.open import open_gallery
from edgeface.interfaces import Tick
from edgeface.operations import identify
from edgeface.operations.context import Job, OperationContext, Photo
from edgeface.operations.registry import IDENTIFY
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import NoFrame
from edgeface.vision.embedding import Embedder
from edgeface.vision.images import load_image
from edgeface.wire.identify import Identified, IdentifyRequest

__all__ = ["broker"]
TWO = Path(__file__).parent.parent / "photos" / "obama_and_biden_blue_room.jpg"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperationContext]:
    """Obama is enrolled."""
    embedder, config = Embedder(), Config(gallery=GallerySettings(str(tmp_path_factory.mktemp("house") / "gallery.db")))
    gallery = open_gallery(config, embedder.card)
    enroller = Enroller(Pipeline(config, embedder, gallery), gallery)
    enroller.enroll("Obama", read_images([photo("obama_congress.jpg")]))
    yield OperationContext(config, embedder.card, lambda: gallery, lambda: enroller, serving=True)
    gallery.close()


def rounds(context: OperationContext, *photos: Photo | None) -> tuple[int, Identified, list[Any]]:
    """How many rounds of the loop it takes, the result, and what is told meanwhile."""
    told: list[Any] = []
    steps = Job(IDENTIFY, IdentifyRequest(), photos=iter(photos), tell=told.append).steps(context)
    next(steps)
    for number in itertools.count(2):
        try:
            steps.send(Tick(NoFrame(0.0, 0.0)))
        except StopIteration as end:
            return number, end.value, told
    raise AssertionError


def test_at_the_faces_of_a_photo_is_looked_between_frames(context: OperationContext, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = ("two.jpg", load_image(TWO))
    monkeypatch.setattr(identify, "SLICE", 3600.0)
    quick, at_once, _ = rounds(context, shown)
    monkeypatch.setattr(identify, "SLICE", -1.0)  # each face takes longer than the loop may wait
    slow, in_turns, _ = rounds(context, shown)
    assert (slow - quick, len(at_once.images[0].faces)) == (2, 2)
    assert in_turns == at_once


def test_each_photo_is_told_and_one_that_is_no_photo_does_not_end_it(context: OperationContext) -> None:
    good = ("good.jpg", load_image(photo("obama_portrait.jpg")))
    _, result, told = rounds(context, ("bad.jpg", ImageError("bad.jpg: not a JPEG")), None, good)
    assert told == result.images
    bad, found = result.images
    assert (bad.path, bad.error, bad.faces) == ("bad.jpg", "bad.jpg: not a JPEG", [])
    assert (found.size, [face.name for face in found.faces]) == (good[1].shape[1::-1], ["Obama"])


def test_a_gallery_that_cannot_be_read_is_told_and_nobody_called_unknown(tmp_path: Path) -> None:
    embedder, config = Embedder(), Config(gallery=GallerySettings(str(tmp_path / "gallery.db")))
    config.gallery_path.write_bytes(b"\1" * 32)
    gallery = open_gallery(config, embedder.card, serving=True)
    enroller = Enroller(Pipeline(config, embedder, gallery), gallery)
    spoiled = OperationContext(config, embedder.card, lambda: gallery, lambda: enroller, serving=True)
    with pytest.raises(GalleryError, match=r"^nobody is known: .*gallery\.db: not "):
        rounds(spoiled, ("good.jpg", load_image(photo("obama_portrait.jpg"))))
    gallery.close()


def test_it_leaves_nothing_in_gallery_and_audit_log(context: OperationContext) -> None:
    before = context.gallery.version
    rounds(context, ("good.jpg", load_image(photo("obama_portrait.jpg"))))
    assert context.gallery.version == before
    assert not context.config.audit_path.exists()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with serving(tmp_path_factory.mktemp("page")) as running_page:
        yield running_page


def test_the_page_takes_a_photo(page: Page) -> None:
    status, _, body = page.ask(
        "POST", "/operations/identify", photo("obama_portrait.jpg").read_bytes(), content_type="image/jpeg"
    )
    (image,) = json.loads(body)["result"]["images"]
    (face,) = image["faces"]
    assert (status, face["decision"], face["name"], face["nearest"]) == (200, "reject", None, None)  # nobody is enrolled
    status, _, body = page.ask("POST", "/operations/identify", {})
    assert (status, json.loads(body)["ok"]) == (415, False)


@needs_broker
def test_mqtt_takes_a_photo_from_whoever_the_settings_allow(tmp_path: Path, broker: Broker) -> None:
    config = settings(tmp_path, broker, commands={"allow": ["identify"]})
    enroll(config, "Obama", photo("obama_congress.jpg"))
    ear = broker.listen()
    with running(config):
        ear.wait_for("edgeface/door/health")
        image = base64.b64encode(photo("obama_portrait.jpg").read_bytes()).decode()
        asked: tuple[dict[str, Any], ...] = ({"image": image}, {}, {"image": "no base64"}, {"image": None})
        for number, fields in enumerate(asked):
            ear.say("edgeface/door/cmd/identify", {"id": str(number)} | fields)
        answers = {answer["id"]: answer for answer in ear.wait_for("edgeface/door/resp/identify", len(asked))}
    (seen,) = answers["0"]["result"]["images"]
    assert (seen["path"], [face["name"] for face in seen["faces"]]) == ("image", ["Obama"])
    assert [answers[number]["ok"] for number in ("1", "2", "3")] == [False] * 3
    assert "base64" in answers["2"]["error"]


@needs_broker
def test_mqtt_takes_none_unless_the_settings_allow_it(tmp_path: Path, broker: Broker) -> None:
    ear = broker.listen()
    with running(settings(tmp_path, broker, commands={"allow": ["people"]})):
        ear.wait_for("edgeface/door/health")
        ear.say("edgeface/door/cmd/identify", {"id": "a", "image": "/9j/4AAQ"})
        (answer,) = ear.wait_for("edgeface/door/resp/identify")
    assert "not allowed" in answer["error"]
