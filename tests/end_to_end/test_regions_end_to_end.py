"""Masks and zones from the settings file to the broker: real photos, the real networks, a real mosquitto."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.broker import Broker, broker, needs_broker
from fixtures.daemon import enroll, settings
from fixtures.frames import frame, photo

from edgeface import cameras
from edgeface.config.schema import Config
from edgeface.daemon.assembly import assemble
from edgeface.enrollment.enroller import Enroller
from edgeface.enrollment.guidance import Hint
from edgeface.enrollment.session import EnrollmentSession
from edgeface.gallery.open import open_gallery
from edgeface.recognition.pipeline import Pipeline
from edgeface.types import Frame
from edgeface.vision.drawing import save_image
from edgeface.vision.embedding import Embedder

__all__ = ["broker"]

OBAMA, COLLINS = "obama_press_room.jpg", "collins_portrait.jpg"
LEFT = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
RIGHT = [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]


def door(folder: Path, broker: Broker, **camera: Any) -> Config:
    """Obama is at the left of what the camera sees, Collins at the right."""
    shown = folder / "shown"
    shown.mkdir(exist_ok=True)
    save_image(shown / "1.png", frame((OBAMA, 60, 120), (COLLINS, 380, 120)))
    seen = {"source": f"folder:{shown}", "hold": 2.0, "fps": 10.0, "max_pixels": 640 * 480} | camera
    return settings(folder, broker, camera=seen)


def region(name: str, points: Any) -> list[dict[str, Any]]:
    return [{"name": name, "points": points}]


def announced(config: Config, broker: Broker) -> list[tuple[str, str, str]]:
    ear = broker.listen("edgeface/door/#")
    with closing(ear):
        assemble(config).run()
        ear.settle()
        return sorted(
            (told["event_type"], told.get("name", ""), told.get("zone", "")) for told in ear.on("edgeface/door/event")
        )


@pytest.mark.slow
@needs_broker
def test_who_is_in_a_mask_is_not_seen_and_who_is_outside_zones_not_announced(tmp_path: Path, broker: Broker) -> None:
    enroll(door(tmp_path, broker), "Obama", photo("obama_congress.jpg"))
    everybody = announced(door(tmp_path, broker), broker)
    assert everybody == [("left", "", ""), ("left", "Obama", ""), ("recognized", "Obama", ""), ("unknown", "", "")]
    assert announced(door(tmp_path, broker, masks=region("tv", RIGHT)), broker) == [
        ("left", "Obama", ""),
        ("recognized", "Obama", ""),
    ]
    assert announced(door(tmp_path, broker, zones=region("street", RIGHT)), broker) == [
        ("left", "", "street"),
        ("unknown", "", "street"),
    ]
    two = region("porch", LEFT) + region("street", RIGHT)
    assert announced(door(tmp_path, broker, zones=two), broker) == [
        ("left", "", "street"),
        ("left", "Obama", "porch"),
        ("recognized", "Obama", "porch"),
        ("unknown", "", "street"),
    ]


@needs_broker
def test_masks_hold_for_the_picture_after_it_is_turned(tmp_path: Path, broker: Broker) -> None:
    enroll(door(tmp_path, broker), "Obama", photo("obama_congress.jpg"))
    mirrored = door(tmp_path, broker, flip="horizontal", masks=region("tv", RIGHT))  # now Obama is at the right
    assert [kind for kind, _, _ in announced(mirrored, broker)] == ["left", "unknown"]


@needs_broker
def test_health_counts_the_faces_that_masks_leave_out(tmp_path: Path, broker: Broker) -> None:
    face = [[0.24, 0.44], [0.26, 0.44], [0.26, 0.48], [0.24, 0.48]]  # a spot on Obama, whose face is still found
    config = door(tmp_path, broker, masks=region("poster", face))
    daemon = assemble(config)
    daemon.run()
    health = daemon.reporter.health
    assert health.faces_seen > 0
    assert health.faces_masked > 0


@needs_broker
def test_masked_pixels_are_black_for_everything_behind_the_camera(tmp_path: Path, broker: Broker) -> None:
    config = door(tmp_path, broker, masks=region("tv", RIGHT), hold=0.3)
    with closing(cameras.create(config.camera)) as camera:
        images = [moment.image for moment in camera.frames() if isinstance(moment, Frame)]
    assert len(images) == 3
    for image in images:
        assert not image[:, 321:].any()
        assert (image[:, :319] == frame((OBAMA, 60, 120), (COLLINS, 380, 120))[:, :319]).all()


@needs_broker
@pytest.mark.parametrize(("masked", "hint"), [(LEFT, Hint.NOBODY), (None, None)])
def test_a_face_in_a_mask_cannot_be_enrolled_from_the_camera(tmp_path: Path, broker: Broker, masked: Any, hint: Any) -> None:
    config = door(tmp_path, broker, masks=region("tv", masked) if masked else [])
    embedder = Embedder()
    with closing(open_gallery(config, embedder.card)) as gallery:
        session = EnrollmentSession(Enroller(Pipeline(config, embedder, gallery), gallery), "Obama")
        shown = frame((OBAMA, 60, 120))  # not blackened: the face itself is what is left out
        guidance = session.look(Frame(np.ascontiguousarray(shown), 1.0, 1e9))
    assert (guidance.hint == hint) if hint else guidance.face is not None
    assert (guidance.face is None) == bool(masked)
