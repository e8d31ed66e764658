"""Masks and zones: which pixels and which faces are in them, and which are none."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeface.config import load
from edgeface.config.schema import CameraSettings, RegionSettings
from edgeface.errors import ConfigError
from edgeface.types import Box, Face
from edgeface.vision.regions import SortedFaces, blacken, region_at, sort_faces

SIZE = (200, 100)
LEFT = RegionSettings("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
TOP = RegionSettings("top", ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5)))
HOOK = RegionSettings("hook", ((0.1, 0.1), (0.9, 0.1), (0.9, 0.3), (0.3, 0.3), (0.3, 0.9), (0.1, 0.9)))
TRIANGLE = RegionSettings("triangle", ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))


def at(x: float, y: float) -> Box:
    """A box whose centre is there, in fractions, and that reaches over the edge."""
    return Box(x * SIZE[0] - 90, y * SIZE[1] - 60, 180, 120)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [(0.2, 0.2, "left"), (0.8, 0.2, "top"), (0.8, 0.8, None), (0.2, 0.8, "left"), (0.5, 0.9, "left"), (-0.1, 0.2, None)],
)
def test_a_face_is_where_its_centre_is_and_the_first_region_counts(x: float, y: float, expected: str | None) -> None:
    assert region_at(at(x, y), SIZE, (LEFT, TOP)) == expected


def test_a_region_may_have_any_shape() -> None:
    inside = [(0.2, 0.8), (0.8, 0.2), (0.2, 0.2)]
    outside = [(0.6, 0.6), (0.05, 0.5), (0.95, 0.2)]
    assert [region_at(at(*place), SIZE, (HOOK,)) for place in inside + outside] == ["hook"] * 3 + [None] * 3


@pytest.mark.parametrize("region", [LEFT, TOP, HOOK, TRIANGLE], ids=lambda region: region.name)
def test_the_black_pixels_are_those_of_the_region(region: RegionSettings) -> None:
    image = np.full((SIZE[1], SIZE[0], 3), 200, np.uint8)
    blacken(image, (region,))
    edge = np.zeros(SIZE[::-1], np.uint8)
    corners = np.rint(np.array(region.points) * SIZE).astype(np.int32)
    cv2.polylines(edge, [corners], True, (255,), 3)
    for y, x in np.argwhere(edge == 0)[::7]:
        inside = region_at(at((x + 0.5) / SIZE[0], (y + 0.5) / SIZE[1]), SIZE, (region,)) is not None
        assert (image[y, x] == (0 if inside else 200)).all(), (x, y)


def test_masks_go_before_zones_and_without_zones_everywhere_is_watched() -> None:
    faces = [Face(at(x, y), np.zeros((5, 2), np.float32), 0.9) for x, y in ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8))]

    def of(**regions: Any) -> SortedFaces:
        return sort_faces(faces, SIZE, CameraSettings(**regions))

    none, masked, zoned, both = of(), of(masks=(LEFT,)), of(zones=(TOP,)), of(masks=(LEFT,), zones=(TOP,))
    assert (none.faces, none.watched, none.masked) == (faces, faces, 0)
    assert (masked.faces, masked.watched, masked.masked) == (faces[1:], faces[1:], 1)
    assert (zoned.faces, zoned.watched, zoned.masked) == (faces, faces[:2], 0)
    assert (both.faces, both.watched, both.masked) == (faces[1:], faces[1:2], 1)


TRIANGLE_LINES = "points = [[0, 0], [1, 0], [0, 1]]"


def loaded(folder: Path, lines: str) -> Any:
    file = folder / "edgeface.toml"
    file.write_text(lines)
    return load.load(file)


def test_regions_are_read_from_the_settings(tmp_path: Path) -> None:
    masks, zones = (
        f"[[camera.{kind}]]\nname = '{name}'\n{TRIANGLE_LINES}\n" for kind, name in (("masks", "tv"), ("zones", "porch"))
    )
    lines = f"[camera]\nrotate = 90\n[web]\n{masks}{zones}"
    camera = loaded(tmp_path, lines).camera
    points = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    assert (camera.masks, camera.zones) == ((RegionSettings("tv", points),), (RegionSettings("porch", points),))
    shown = {row.name: row.origin for row in load.settings(tmp_path / "edgeface.toml") if row.section == "camera"}
    assert (shown["masks"], shown["name"]) == (str(tmp_path / "edgeface.toml"), "default")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("[[camera.masks]]\nname = 'tv'\npoints = [[0, 0], [1, 1]]", "length >= 3"),
        ("[[camera.masks]]\nname = 'tv'\npoints = [[0, 0], [1, 1], [0, 1.1]]", "<= 1"),
        ("[[camera.masks]]\nname = 'tv'\npoints = [[0, 0], [1, 1], [0, -0.1]]", ">= 0"),
        ("[[camera.masks]]\nname = 'tv'\npoints = [[0, 0], [1, 1], [0, nan]]", ">= 0"),
        ("[[camera.masks]]\nname = 'tv'\npoints = [[0, 0], [0.5, 0.5], [1, 1]]", "tv enclose nothing"),
        ("[[camera.masks]]\nname = 'tv'\npoints = [[0, 0], [1, 1], [0, 1, 2]]", "length 2"),
        (f"[[camera.masks]]\nname = 'a tv'\n{TRIANGLE_LINES}", "it needs letters, digits"),
        (f"[[camera.masks]]\nname = 'tv'\ncolour = 1\n{TRIANGLE_LINES}", "unknown setting `colour`"),
        (f"[[camera.masks]]\n{TRIANGLE_LINES}", "missing required field `name`"),
        (f"[[camera.masks]]\nname = 'tv'\n{TRIANGLE_LINES}\n[[camera.zones]]\nname = 'tv'\n{TRIANGLE_LINES}", "are called tv"),
        ("[camera]\nmasks = ['tv']", r"a line \[\[camera.masks\]\]"),
    ],
)
def test_a_region_that_cannot_be_is_refused_in_one_line(tmp_path: Path, lines: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        loaded(tmp_path, lines)
    assert "[camera" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_no_more_regions_or_corners_than_are_of_use_are_taken(tmp_path: Path) -> None:
    many = "".join(f"[[camera.zones]]\nname = 'z{number}'\n{TRIANGLE_LINES}\n" for number in range(33))
    with pytest.raises(ConfigError, match="length <= 32"):
        loaded(tmp_path, many)
    corners = ", ".join(f"[{number / 100}, {number % 2}]" for number in range(65))
    with pytest.raises(ConfigError, match="length <= 64"):
        loaded(tmp_path, f"[[camera.zones]]\nname = 'z'\npoints = [{corners}]")
