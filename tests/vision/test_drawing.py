"""Labels and letters on pictures."""

import numpy as np
import pytest

from edgeface.types import Box, Image
from edgeface.vision.drawing import GREEN, WHITE, draw_boxes
from edgeface.vision.lettering import text_width, write_text

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]


def written(text: str, capital: float = 20) -> Image:
    image = np.zeros((60, max(1, text_width(text, capital)), 3), np.uint8)
    write_text(image, text, (0, 40), capital, WHITE)
    return image


def areas(boxes: list[Box], size: tuple[int, int] = (480, 640)) -> list[int]:
    """How many pixels are left of each label of one size, drawn in a colour of its own."""
    image = np.full((*size, 3), 90, np.uint8)
    draw_boxes(image, [(box, "Barack Obama 0.76", colour) for box, colour in zip(boxes, COLOURS, strict=False)])
    return [int((image == colour).all(axis=2).sum()) for colour in COLOURS[: len(boxes)]]


@pytest.mark.parametrize("top", [0.0, 200.0, 440.0])
def test_labels_of_faces_side_by_side_do_not_cover_each_other(top: float) -> None:
    (alone,) = areas([Box(40, top, 60, 60)])
    together = areas([Box(40 + 70 * number, top, 60, 60) for number in range(3)])
    assert min(together) > 0.9 * alone


def test_a_label_stays_in_the_picture_and_a_tiny_picture_is_no_fault() -> None:
    assert areas([Box(600, -20, 80, 500)])[0] > 1000
    areas([Box(0, 0, 4, 4)], (8, 8))


def test_letters_of_many_alphabets_are_drawn_and_those_without_accents_for_what_is_not_there() -> None:
    for name in ("Zoë", "Łukasz", "Ελένη", "Юлия", "Nguyễn"):
        asked = "".join(one if one.isascii() else "?" for one in name)
        assert not np.array_equal(written(name), written(asked))
    assert np.array_equal(written("e\u0308"), written("ë"))
    assert np.array_equal(written("山"), written("?"))
    assert written("").max() == 0


def test_capitals_are_as_high_as_asked_and_stand_on_the_line() -> None:
    rows = np.flatnonzero(written("H", 20).max(axis=(1, 2)) > 128)
    assert abs(int(rows[-1]) - 39) <= 1
    assert abs(len(rows) - 20) <= 1


def test_text_over_the_edge_is_cut() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    for place in ((-30, 10), (10, 2), (15, 30), (100, 100)):
        write_text(image, "edgeface", place, 12, GREEN)
    assert image.shape == (20, 20, 3)
