"""The contract of a detector, for every one in the table."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeface.detectors import DETECTORS, create, yunet
from edgeface.errors import DataError
from edgeface.interfaces import Detector
from edgeface.types import Box, Vector
from edgeface.vision.alignment import similarity_transform
from edgeface.vision.images import load_image
from edgeface.vision.model_card import SHIPPED

HERE = Path(__file__).parent.parent
ALONE = [*sorted((HERE.parent / "edgeface" / "demo" / "photos").glob("*.jpg")), HERE / "photos" / "obama_blue_room.jpg"]
WHOLE = HERE.parent / "train" / "face_detection_yunet_2023mar_int8bq.onnx"
TWO = HERE / "photos" / "obama_and_biden_blue_room.jpg"


@pytest.fixture(params=DETECTORS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def detector(name: str) -> Detector:
    return create(name)


def inside(box: Box, landmarks: Vector) -> bool:
    x, y = landmarks[:, 0], landmarks[:, 1]
    right, bottom = box.left + box.width, box.top + box.height
    return bool(((box.left <= x) & (x <= right) & (box.top <= y) & (y <= bottom)).all())


@pytest.mark.parametrize("photo", ALONE, ids=lambda path: path.stem)
def test_a_person_alone_is_one_face(detector: Detector, photo: Path) -> None:
    image = load_image(photo)
    (face,) = detector.detect(image)
    assert 0.0 < face.score <= 1.0
    assert (face.landmarks.shape, face.landmarks.dtype) == ((5, 2), np.dtype(np.float32))
    assert inside(face.box, face.landmarks)
    assert 0 <= face.box.left < face.box.left + face.box.width <= image.shape[1]
    assert 0 <= face.box.top < face.box.top + face.box.height <= image.shape[0]


@pytest.mark.parametrize("photo", ALONE, ids=lambda path: path.stem)
def test_landmarks_are_in_order_of_the_subjects_sides(detector: Detector, photo: Path) -> None:
    right_eye, left_eye, nose, right_mouth, left_mouth = detector.detect(load_image(photo))[0].landmarks
    assert right_eye[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


def test_two_people_are_two_faces_the_larger_first(detector: Detector) -> None:
    first, second = detector.detect(load_image(TWO))
    assert first.box.width * first.box.height >= second.box.width * second.box.height
    assert abs(first.box.left - second.box.left) > first.box.width
    # Pasted beside the first at half the size, the same people are faces three and four.
    image = load_image(TWO)
    wall = np.vstack([image, np.zeros_like(image)])
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    wall[-half.shape[0] :, : half.shape[1]] = half
    areas = [face.box.width * face.box.height for face in create(max_side=1280).detect(wall)]
    assert len(areas) == 4
    assert areas == sorted(areas, reverse=True)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_boxes_and_landmarks_are_in_the_pictures_own_pixels(detector: Detector, factor: float) -> None:
    image = load_image(TWO)
    scaled = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    faces = sorted(detector.detect(image), key=lambda face: face.box.left)
    found = sorted(detector.detect(np.asarray(scaled, np.uint8)), key=lambda face: face.box.left)
    assert len(found) == len(faces) == 2
    for one, other in zip(faces, found, strict=True):
        tolerance = 0.12 * factor * one.box.width
        assert np.abs(other.landmarks - factor * one.landmarks).max() < tolerance
        assert abs(other.box.left - factor * one.box.left) < tolerance
        assert abs(other.box.width - factor * one.box.width) < tolerance


def test_a_larger_search_finds_smaller_faces(name: str) -> None:
    image = load_image(TWO)
    canvas = np.zeros((2000, 3000, 3), np.uint8)
    canvas[: image.shape[0] // 2, : image.shape[1] // 2] = cv2.resize(
        image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA
    )
    assert len(create(name, max_side=2000).detect(canvas)) == 2
    assert len(create(name, max_side=160).detect(canvas)) == 0


def test_the_picture_is_left_as_it_was(detector: Detector) -> None:
    image = load_image(TWO)
    before = image.copy()
    detector.detect(image)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_picture_shows_nobody(detector: Detector, grey: int) -> None:
    assert list(detector.detect(np.full((480, 640, 3), grey, np.uint8))) == []


ODD = [(1, 1), (2, 2), (3, 500), (500, 3), (7, 5000), (33_000, 10), (31, 33), (16, 16), (32, 32), (20, 640), (480, 640)]


def test_odd_sizes_one_after_another_show_nobody(detector: Detector) -> None:
    """Over and over: a network that looks at memory which is not the picture's finds faces now and then only."""
    for _ in range(8):
        for shape in ODD:
            assert list(detector.detect(np.full((*shape, 3), 128, np.uint8))) == [], shape


def test_one_picture_leaves_no_trace_in_the_next(name: str, detector: Detector) -> None:
    image = load_image(TWO)
    expected = [face.box for face in create(name).detect(image)]
    detector.detect(load_image(ALONE[0]))
    detector.detect(np.zeros((3, 500, 3), np.uint8))
    assert [face.box for face in detector.detect(image)] == expected


@pytest.mark.parametrize("photo", [*ALONE, TWO], ids=lambda path: path.stem)
@pytest.mark.parametrize("side", [640, 301, 96])
def test_yunet_finds_what_opencvs_own_detector_finds(photo: Path, side: int) -> None:
    image = load_image(photo)
    factor = side / max(image.shape[:2])
    small = cv2.resize(image, (round(image.shape[1] * factor), round(image.shape[0] * factor)), interpolation=cv2.INTER_AREA)
    theirs = cv2.FaceDetectorYN.create(str(WHOLE), "", (1, 1), 0.7, 0.3, 500)
    theirs.setInputSize(small.shape[1::-1])
    rows = theirs.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
    ours = yunet.YuNet().detect(np.asarray(small, np.uint8))
    assert len(ours) == len(rows)
    for face, row in zip(ours, sorted(rows, key=lambda row: row[2] * row[3], reverse=True), strict=True):
        box = face.box
        assert (box.left, box.top, box.width, box.height) == pytest.approx(row[:4].tolist(), abs=1e-2)
        assert face.landmarks.ravel() == pytest.approx(row[4:14], abs=1e-2)
        assert face.score == pytest.approx(float(row[14]), abs=1e-4)


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (64, 64), (96, 640), (352, 288), (224, 640)])
def test_strips_change_nothing(shape: tuple[int, int]) -> None:
    """Not by a bit: noise has edges everywhere, in every strip's halo too."""
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    ours = yunet.YuNet()
    whole = cv2.dnn.readNetFromONNX(str(WHOLE))
    whole.setInput(yunet._planes(picture))
    ours._heads.setInput(ours._features(picture))
    for theirs, output in zip(whole.forward(yunet.OUTPUTS), ours._heads.forward(yunet.OUTPUTS), strict=True):
        assert np.array_equal(theirs, output)


def test_the_halves_are_cut_from_the_whole(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs edgeface[train]")
    from train.detector.yunet import split

    split(WHOLE, tmp_path)
    for name in (yunet.STEM, yunet.HEADS):
        assert (tmp_path / name).read_bytes() == (SHIPPED / name).read_bytes()
    with pytest.raises(DataError, match="not YuNet"):
        split(TWO, tmp_path)


@pytest.mark.parametrize("degrees", [-20, 20])
def test_landmarks_of_a_small_face_follow_its_tilt(detector: Detector, degrees: int) -> None:
    photo = load_image(ALONE[0])
    width = detector.detect(photo)[0].box.width
    small = cv2.resize(photo, None, fx=80 / width, fy=80 / width, interpolation=cv2.INTER_AREA)
    middle = (small.shape[1] / 2, small.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(middle, degrees, 1.0)
    tilted = cv2.warpAffine(small, matrix, small.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    straight, turned = (similarity_transform(detector.detect(image)[0].landmarks) for image in (small, tilted))  # type: ignore[arg-type]  # cv2 keeps its uint8
    angles = [np.degrees(np.arctan2(transform[1, 0], transform[0, 0])) for transform in (straight, turned)]
    assert angles[1] - angles[0] == pytest.approx(degrees, abs=5)  # the search alone sees a third of it
