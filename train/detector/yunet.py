"""Cut OpenCV's YuNet in two: a stem that sees the picture strip by strip, and heads that see the whole result."""

import tempfile
from pathlib import Path

import onnx
from onnx.utils import extract_model

from edgeface.detectors.yunet import HEADS, STEM
from edgeface.errors import DataError, EdgefaceError
from edgeface.platform.files import write_whole

SOURCE = Path(__file__).parent.parent / "face_detection_yunet_2023mar_int8bq.onnx"
OUTPUTS = 12
"""Class, object, box and landmarks, on three scales."""
POOL = 2
"""Which pooling ends the stem: the layers after it have small outputs."""


def split(source: Path, folder: Path) -> None:
    """Write the two halves of YuNet's ONNX file into a folder; their weights are the file's own.

    Raises:
        DataError: the file is no ONNX network, or one without as many poolings.
        EdgefaceError: a half cannot be written.
    """
    try:
        graph = onnx.load(source).graph
        if len(graph.output) != OUTPUTS:
            raise ValueError(f"{len(graph.output)} outputs, not {OUTPUTS}")
        ends = [node.output[0] for node in graph.node if node.op_type == "MaxPool"][POOL - 1 : POOL]
        halves = {
            STEM: ([graph.input[0].name], ends),
            HEADS: (ends, [output.name for output in graph.output]),
        }
        with tempfile.TemporaryDirectory() as work:
            for name, (inputs, outputs) in halves.items():
                extract_model(source, Path(work) / name, inputs, outputs)
            found = {name: (Path(work) / name).read_bytes() for name in halves}
    except Exception as error:  # protobuf and onnx raise what they like
        raise DataError(f"{source}: not YuNet: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, half in found.items():
            write_whole(folder / name, half)
    except OSError as error:
        raise EdgefaceError(f"{folder}: {error.strerror or error}") from None
