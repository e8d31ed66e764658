"""JPEG 2000, whose decoder in OpenCV has had holes, is decoded for no door: one function decodes, after a look at the bytes."""

import ast
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from faults.test_giants import HEAD, MIXED, answer, serving
from fixtures.page import serving as page_serving
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import edgeface
from edgeface import cameras
from edgeface.config.schema import CameraSettings
from edgeface.enrollment.enroller import read_images
from edgeface.errors import ImageError
from edgeface.types import Frame, Image
from edgeface.vision import images

JP2 = cv2.imencode(".jp2", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
CODESTREAM = JP2[JP2.index(b"\xff\x4f\xff\x51") :]
KINDS = {"a JP2 file": JP2, "a codestream": CODESTREAM}
KNOWN = (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """How what OpenCV was asked to decode begins."""
    heads: list[bytes] = []
    decode = cv2.imdecode

    def recording(data: NDArray[np.uint8], how: int) -> Any:
        heads.append(bytes(data[:12]))
        return decode(data, how)

    monkeypatch.setattr(cv2, "imdecode", recording)
    return heads


def test_such_bytes_would_be_decoded() -> None:
    for data in KINDS.values():
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None


def test_one_function_decodes_and_two_others_look_at_the_bytes_before_it() -> None:
    """What is called by these names, in the whole package."""
    calls = []
    for path in Path(edgeface.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                named = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
                words = [getattr(one, "attr", getattr(one, "id", "")) for one in named]
                calls += [(path.stem, function.name, word) for word in words if word.startswith(("im", "_decode"))]
    asked = {call for call in calls if call[2].startswith(("imdecode", "imread", "_decode"))}
    asked -= {("lettering", "_letters", "imread")}  # a file of the package
    assert {call for call in asked if call[0] == "images"} >= {
        ("images", "_decode", "imdecode"),
        ("images", "decode_image", "_decode"),
        ("images", "decode_photo", "_decode"),
    }
    assert [call for call in asked if call[2].startswith("im")] == [("images", "_decode", "imdecode")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decode", [images.decode_image, images.decode_photo])
def test_it_is_no_image(decoded: list[bytes], kind: str, decode: Callable[[bytes, str], Image]) -> None:
    with pytest.raises(ImageError, match="not a JPEG, PNG, WebP or BMP image"):
        decode(KINDS[kind], "x")
    assert decoded == []


@given(data=st.sampled_from([*KINDS.values()]), before=st.binary(max_size=12) | st.sampled_from(KNOWN), at=st.integers(0, 40))
def test_whatever_stands_before_it_opencv_gets_what_is_none(data: bytes, before: bytes, at: int) -> None:
    data = data[:at] + before + data[at + len(before) :]
    with pytest.MonkeyPatch.context() as patch:
        asked: list[bytes] = []
        patch.setattr(cv2, "imdecode", lambda data, _how: asked.append(bytes(data[:12])))
        with pytest.raises(ImageError):
            images.decode_image(data, "x")
    assert all(head.startswith(KNOWN) for head in asked)


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_and_no_folder_of_pictures(decoded: list[bytes], tmp_path: Path, kind: str) -> None:
    for suffix in (".jpg", ".png", ".webp"):
        (tmp_path / f"x{suffix}").write_bytes(KINDS[kind])
    assert all(isinstance(image, ImageError) for _, image in read_images(sorted(tmp_path.iterdir())))
    camera = cameras.create(CameraSettings(source=f"folder:{tmp_path}", hold=0.1))
    assert not any(isinstance(moment, Frame) for moment in camera.frames())
    camera.close()
    assert decoded == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("media", ["image/jpeg", "image/jp2"])
def test_no_camera(decoded: list[bytes], kind: str, media: str) -> None:
    part = (
        HEAD.replace(b"image/jpeg", media.encode()) + b"Content-Length: %d\r\n\r\n" % len(KINDS[kind]) + KINDS[kind] + b"\r\n"
    )
    with serving(answer(MIXED, part)) as url:
        camera = cameras.create(CameraSettings(source=url))
        moments = camera.frames()
        for _ in range(5):
            assert not isinstance(next(moments), Frame)
        camera.close()
    assert all(head.startswith(KNOWN) for head in decoded)


@pytest.mark.parametrize("kind", KINDS)
def test_no_photo_on_the_page(decoded: list[bytes], tmp_path: Path, kind: str) -> None:
    with page_serving(tmp_path) as page:
        status, _, body = page.ask("POST", "/people/photo?name=Eve", KINDS[kind])
    assert (status, b"not a JPEG" in body) == (422, True)
    assert all(head.startswith(KNOWN) for head in decoded)


def test_its_signature_is_what_the_names_above_say() -> None:
    assert JP2[4:8] == b"jP  "
    assert struct.unpack(">HH", CODESTREAM[:4]) == (0xFF4F, 0xFF51)
