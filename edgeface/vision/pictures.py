"""Makes the pictures that go with an event: its face, and the whole frame with the face boxed."""

from edgeface.types import Box, Image
from edgeface.vision.drawing import GREEN, GREY, draw_face
from edgeface.vision.images import crop, encode_jpeg, shrunk

FACE_MARGIN, FACE_SIDE = 0.4, 480
"""The margin around a face in its picture, in box sizes, and the picture's longest side in pixels."""
FRAME_SIDE = 1280
"""The longest side of a whole frame, in pixels."""


def face_jpeg(image: Image, box: Box) -> bytes:
    return encode_jpeg(crop(image, box, FACE_MARGIN), FACE_SIDE)[0]


def frame_jpeg(image: Image, box: Box, name: str | None) -> bytes:
    """Return the frame with a box around the face and its name; without a name, the face is unknown."""
    factor = min(1.0, FRAME_SIDE / max(image.shape[:2]))
    picture = shrunk(image, factor) if factor < 1 else image.copy()
    small = Box(box.left * factor, box.top * factor, box.width * factor, box.height * factor)
    draw_face(picture, small, name or "unknown", GREEN if name else GREY)
    return encode_jpeg(picture, FRAME_SIDE)[0]
