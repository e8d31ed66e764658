import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from numpy.typing import NDArray

from edgeface import detectors
from edgeface.errors import ImageError
from edgeface.interfaces import Detector
from edgeface.types import Box, Face, Image, Landmarks, Vector
from edgeface.vision.alignment import CHIP_SIZE, TEMPLATE, align, eye_distance, similarity_transform
from edgeface.vision.images import MAX_FILE_BYTES, crop, decode_image, decode_photo, encode_jpeg, image_size, load_image
from edgeface.vision.quality import exposure, frontality, quality, sharpness

DEMO_PHOTOS = [
    "biden_blue_room",
    "biden_portrait",
    "collins_portrait",
    "obama_congress",
    "obama_portrait",
    "obama_press_room",
]


def posed(scale: float, degrees: float, shift: tuple[float, float] = (0.0, 0.0)) -> Landmarks:
    """The template's landmarks turned about the chip's middle, scaled and moved."""
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray((TEMPLATE - 56) @ turn + 75 * scale + np.array(shift), np.float32)


def spotted(landmarks: Landmarks, scale: float) -> Image:
    """A black picture with a soft spot at each landmark, one in each channel."""
    side = round(150 * scale)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    spots = [255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (3 * scale) ** 2)) for px, py in landmarks]
    return np.asarray(np.stack(spots, axis=-1), np.uint8)


def centre(channel: Image) -> tuple[Any, Any]:
    y, x = np.mgrid[: channel.shape[0], : channel.shape[1]]
    weight = channel.astype(np.float64) / channel.sum()
    return (x * weight).sum(), (y * weight).sum()


@pytest.mark.parametrize("degrees", [0, 30, -80, 180])
@pytest.mark.parametrize("scale", [0.6, 1.0, 3.0, 7.0])
def test_alignment_brings_the_landmarks_to_the_template(scale: float, degrees: int) -> None:
    landmarks = posed(scale, degrees, (3.5, -2.25))
    for picked in ([0, 1, 2], [2, 3, 4]):
        chip = align(spotted(landmarks[picked], scale), landmarks)
        assert (chip.shape, chip.dtype) == ((CHIP_SIZE, CHIP_SIZE, 3), np.dtype(np.uint8))
        for channel, number in enumerate(picked):
            assert centre(chip[:, :, channel]) == pytest.approx(TEMPLATE[number], abs=0.5)


def test_a_picture_already_aligned_stays_as_it_is(demo_photos: Path) -> None:
    picture = load_image(demo_photos / "collins_portrait.jpg")[100:212, 170:282]
    assert np.array_equal(align(picture, TEMPLATE), picture)


def test_a_large_face_is_shrunk_without_aliasing() -> None:
    scale = 6.3
    noise = np.random.default_rng(1).choice(np.array([0, 255], np.uint8), (round(150 * scale),) * 2)
    noise = np.repeat(noise[:, :, None], 3, axis=2)
    landmarks = posed(scale, 10)
    naive = cv2.warpAffine(noise, similarity_transform(landmarks), (CHIP_SIZE, CHIP_SIZE))
    assert align(noise, landmarks).std() < 0.4 * naive.std()


def test_outside_of_the_picture_is_black() -> None:
    chip = align(np.full((112, 112, 3), 200, np.uint8), TEMPLATE + 56)
    assert chip[:50, :50].min() == 200
    assert chip[60:].max() == 0


@pytest.mark.parametrize("landmarks", [np.zeros((5, 2)), np.full((5, 2), 1e6), TEMPLATE * 1e-3, TEMPLATE * 1e4])
def test_landmarks_that_are_no_face_give_a_chip_all_the_same(landmarks: NDArray[np.float64]) -> None:
    assert align(np.full((40, 30, 3), 9, np.uint8), landmarks.astype(np.float32)).shape == (CHIP_SIZE, CHIP_SIZE, 3)


def test_a_picture_with_a_side_that_cannot_be_warped_is_refused() -> None:
    _, data = cv2.imencode(".png", np.full((4, 33_000, 3), 90, np.uint8))
    with pytest.raises(ImageError, match="33000 x 4 pixels is too large"):
        decode_image(data.tobytes(), "long.png")


ENCODINGS = {
    "jpeg": (".jpg", []),
    "progressive jpeg": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
    "png": (".png", []),
    "lossy webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 80]),
    "lossless webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
    "bmp": (".bmp", []),
}


def encoded(
    kind: str, width: int = 37, height: int = 91, channels: int = 3, colour: tuple[int, int, int] = (30, 60, 220)
) -> bytes:
    """A flat picture of an RGB colour as the bytes of a file."""
    suffix, parameters = ENCODINGS[kind]
    picture = np.full((height, width, 3), colour[::-1], np.uint8)
    if channels == 4:
        picture = np.dstack([picture, np.full((height, width), 99, np.uint8)])
    if channels == 1:
        picture = picture[:, :, 0]
    return cv2.imencode(suffix, picture, parameters)[1].tobytes()


@pytest.mark.parametrize("kind", ENCODINGS)
def test_the_size_is_that_of_the_header(kind: str) -> None:
    for width, height in ((37, 91), (1, 1), (300, 17)):
        assert image_size(encoded(kind, width, height)) == (width, height)
    if "jpeg" not in kind:
        assert image_size(encoded(kind, channels=4)) == (37, 91)


@pytest.mark.parametrize("kind", ENCODINGS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_format_is_read_as_rgb(kind: str, channels: int, tmp_path: Path) -> None:
    if channels == 4 and "jpeg" in kind:
        channels = 3
    file = tmp_path / "picture"
    file.write_bytes(encoded(kind, channels=channels))
    image = load_image(file)
    assert (image.shape, image.dtype) == ((91, 37, 3), np.dtype(np.uint8))
    expected = (220, 220, 220) if channels == 1 else (30, 60, 220)
    assert np.abs(image.reshape(-1, 3).mean(axis=0) - expected).max() < 6


def test_a_bmp_from_top_to_bottom_has_a_size_too() -> None:
    data = bytearray(encoded("bmp"))
    data[22:26] = struct.pack("<i", -91)
    assert image_size(bytes(data)) == (37, 91)
    assert decode_image(bytes(data), "x").shape == (91, 37, 3)


def test_a_photo_is_turned_upright_by_its_orientation() -> None:
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    plain = encoded("jpeg", 40, 20)
    turned = plain[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + plain[2:]
    assert image_size(turned) == (40, 20)
    assert decode_image(turned, "x").shape == (40, 20, 3)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb_png(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def size_of_webp(width: int, height: int) -> bytes:
    body = b"WEBPVP8X\x0a\0\0\0\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    "data",
    [
        bomb_png(20_000, 20_000),
        b"BM" + bytes(16) + struct.pack("<ii", 20_000, -20_000),
        size_of_webp(20_000, 20_000),
        b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", 20_000, 20_000),
    ],
    ids=["png", "bmp", "webp", "jpeg"],
)
def test_a_huge_picture_is_refused_by_its_header(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "bomb"
    file.write_bytes(data)
    with pytest.raises(ImageError, match="20000 x 20000 pixels is too large"):
        load_image(file)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.jpg"
    with file.open("wb") as out:
        out.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="64 MB is too large"):
        load_image(file)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"hello\n", "not a JPEG, PNG, WebP or BMP"),
        (b"GIF89a" + bytes(40), "not a JPEG, PNG, WebP or BMP"),
        (b"\xff\xd8", "not a JPEG"),
        (b"\xff\xd8" + b"\xff\xe0\x00\x00" * 20, "not a JPEG"),
        (b"\xff\xd8" + b"\xff" * 40, "not a JPEG"),
        (b"BM", "not a JPEG"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "not a JPEG"),
        (bomb_png(0, 0), "damaged"),
        (bomb_png(8, 8)[:40], "damaged"),
        (encoded("jpeg")[:200], "damaged|not a JPEG"),
        (encoded("png")[:60], "damaged"),
        (encoded("lossy webp")[:40], "damaged"),
    ],
)
def test_a_file_that_is_no_picture_is_refused(data: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    with pytest.raises(ImageError, match=told) as caught:
        load_image(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_photo_cut_short_is_an_image_or_an_error(demo_photos: Path, kept: float) -> None:
    data = (demo_photos / "collins_portrait.jpg").read_bytes()
    try:
        assert decode_image(data[: int(len(data) * kept)], "cut").shape == (512, 512, 3)
    except ImageError as error:
        assert "cut: the image is damaged" in str(error)  # noqa: PT017


def jpeg(width: int, height: int, *options: int) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width, 3), 90, np.uint8), options)[1].tobytes()


@given(width=st.integers(1, 400), height=st.integers(1, 400), limit=st.integers(100, 160_000))
def test_a_jpeg_is_scaled_down_to_what_is_allowed_or_refused(width: int, height: int, limit: int) -> None:
    try:
        image = decode_image(jpeg(width, height), "x", limit)
    except ImageError as error:
        assert "camera.max_pixels" in str(error)  # noqa: PT017
        assert width * height > 49 * limit
        return
    assert image.shape[0] * image.shape[1] <= limit
    assert image.shape[1] / width == pytest.approx(image.shape[0] / height, abs=1 / min(width, height))
    assert (image.shape[1] == width) == (width * height <= limit or width == 1)


def in_several_scans(data: bytes) -> bytes:
    at = data.index(b"\xff\xda")
    return data[: at + 4] + b"\x01" + data[at + 5 :]


@pytest.mark.parametrize(
    "data",
    [jpeg(400, 300, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), in_several_scans(jpeg(400, 300))],
    ids=["progressive", "several scans"],
)
def test_a_jpeg_that_is_decoded_whole_is_not_scaled_down(data: bytes) -> None:
    with pytest.raises(ImageError, match="cannot be scaled down"):
        decode_image(data, "x", 60_000)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.jpg: No such file"):
        load_image(tmp_path / "absent.jpg")
    with pytest.raises(ImageError, match="not a file"):
        load_image(tmp_path)


SAMPLES = [encoded(kind, 24, 16) for kind in ENCODINGS]
MAGICS = [
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    b"RIFF\x20\0\0\0WEBPVP8 ",
    b"RIFF\x20\0\0\0WEBPVP8X",
    b"RIFF\x20\0\0\0WEBPVP8L",
    b"\xff\xd8",
]


@st.composite
def mangled(draw: DrawFn) -> bytes:
    """A small picture of a real format with some bytes overwritten and its end perhaps cut off."""
    data = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(1, len(data)))]) if draw(st.booleans()) else bytes(data)


@given(data=st.binary() | st.tuples(st.sampled_from(MAGICS), st.binary(max_size=60)).map(b"".join) | mangled())
def test_any_bytes_give_an_image_or_one_line(data: bytes) -> None:
    try:
        image = decode_image(data, "x")
    except ImageError as error:
        assert str(error).startswith("x: ")  # noqa: PT017
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert set(image.shape[:2]) == set(image_size(data) or ())


@pytest.fixture(scope="module")
def detector() -> Detector:
    return detectors.create()


@pytest.mark.parametrize("photo", DEMO_PHOTOS)
def test_blurred_dark_flat_and_overexposed_faces_are_worse(demo_photos: Path, detector: Detector, photo: str) -> None:
    image = load_image(demo_photos / f"{photo}.jpg")
    face = detector.detect(image)[0]
    chip = align(image, face.landmarks)
    normal = quality(face, chip)
    assert 0.5 < normal <= 1.0
    blurred = np.asarray(cv2.GaussianBlur(chip, (0, 0), 3), np.uint8)
    assert sharpness(blurred) < sharpness(chip)
    assert quality(face, blurred) < normal - 0.1
    assert quality(face, np.asarray(cv2.GaussianBlur(chip, (0, 0), 6), np.uint8)) < quality(face, blurred)
    dark = (chip * 0.1).astype(np.uint8)
    assert exposure(dark) < exposure(chip)
    assert quality(face, dark) < normal - 0.1
    white = np.clip(chip.astype(int) + 170, 0, 255).astype(np.uint8)
    assert quality(face, white) < normal - 0.1
    assert quality(face, np.full_like(chip, 128)) == 0.0


def test_a_small_face_is_worse_than_a_large_one(demo_photos: Path, detector: Detector) -> None:
    image = load_image(demo_photos / "obama_portrait.jpg")
    small = np.asarray(cv2.resize(image, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA), np.uint8)
    found = [(face, align(picture, face.landmarks)) for picture in (image, small) for face in detector.detect(picture)[:1]]
    large, little = (quality(face, chip) for face, chip in found)
    assert eye_distance(found[0][0]) == pytest.approx(5 * eye_distance(found[1][0]), rel=0.1)
    assert little < large


def looking(nose_x: float) -> Vector:
    landmarks = TEMPLATE.copy()
    landmarks[2, 0] = nose_x
    return landmarks


def test_a_face_turned_aside_is_worse() -> None:
    ahead, aside, profile = (frontality(looking(x)) for x in (55.9, 66.0, 75.0))
    assert 0.98 < ahead <= 1.0
    assert 0.2 < aside < 0.8
    assert profile == 0.0
    assert frontality(np.zeros((5, 2), np.float32)) == 0.0


def test_the_eye_distance_is_that_of_the_template_at_its_scale() -> None:
    face = Face(Box(0, 0, 1, 1), posed(3.0, 40), 0.9)
    assert eye_distance(face) == pytest.approx(3.0 * (TEMPLATE[1, 0] - TEMPLATE[0, 0]), rel=1e-3)


@given(st.tuples(*[st.floats(-300, 300)] * 2, *[st.floats(0, 400)] * 2), st.floats(0, 1))
def test_a_crop_is_a_part_of_its_image_however_the_box_lies(box: tuple[Any, ...], margin: float) -> None:
    image = np.arange(60 * 80 * 3, dtype=np.uint32).reshape(60, 80, 3)
    part = crop(image, Box(*box), margin)  # type: ignore[arg-type]  # each pixel is another
    assert part.size
    assert np.isin(part, image).all()


def test_a_crop_leaves_a_margin_on_every_side() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    assert crop(image, Box(50, 40, 40, 20), 0.5).shape == (40, 80, 3)
    assert crop(image, Box(0, 0, 40, 20), 0.5).shape == (30, 60, 3)


@pytest.mark.parametrize(("size", "expected"), [((640, 480), (640, 480)), ((2560, 1440), (1280, 720)), ((4000, 1), (1280, 1))])
def test_a_jpeg_is_the_image_no_larger_than_wanted(size: tuple[int, int], expected: tuple[int, int]) -> None:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[..., 0] = 200
    data, stated = encode_jpeg(image, 1280)
    found = decode_image(data, "jpeg")
    assert (found.shape[1], found.shape[0]) == stated == expected
    assert np.abs(found.reshape(-1, 3).mean(axis=0) - (200, 0, 0)).max() < 5


def test_a_photo_is_scaled_down_to_what_is_needed_and_turned(tmp_path: Path) -> None:
    wide = cv2.imencode(".jpg", np.zeros((1000, 6000, 3), np.uint8))[1].tobytes()
    assert decode_photo(wide, "x").shape == (341, 2048, 3)
    turned = cv2.imencode(".png", np.zeros((3000, 2100, 3), np.uint8))[1].tobytes()
    assert decode_photo(turned, "x").shape == (2048, 1434, 3)
    small = cv2.imencode(".png", np.arange(75, dtype=np.uint8).reshape(5, 5, 3))[1].tobytes()
    assert np.array_equal(decode_photo(small, "x"), decode_image(small, "x"))
    large = cv2.imencode(".png", np.zeros((4100, 4100, 3), np.uint8))[1].tobytes()
    with pytest.raises(ImageError, match="x: 4100 x 4100 pixels is too large, the limit is 16 megapixels"):
        decode_photo(large, "x")


def test_photos_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    data, decode = cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes(), cv2.imdecode
    inside: list[int] = []
    most: list[int] = []

    def slowly(*words: Any) -> NDArray[Any]:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return decode(*words)

    monkeypatch.setattr(cv2, "imdecode", slowly)
    with ThreadPoolExecutor(4) as doors:
        assert len(list(doors.map(lambda _: decode_photo(data, "x"), range(8)))) == 8
    assert max(most) == 1
