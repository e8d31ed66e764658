"""Run SFace in TensorFlow, so that a loss can compare what it makes of two faces at several depths, and be minimised."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from numpy.typing import NDArray

from edgeface.errors import ModelError
from edgeface.measurement.baselines import SFACE

Step = Callable[[tf.Tensor], tf.Tensor]
Arrays = Sequence[NDArray[np.float32]]
ONE = np.array(1.0, np.float32)


class Features:
    """Turn faces into SFace's maps at 112, 56, 28, 14 and 7 pixels and, last, its embedding.

    Raises:
        ModelError: the file is not SFace in float32.
    """

    def __init__(self, path: Path) -> None:
        try:
            graph = onnx.load(path).graph
            weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
            self._steps = [_step(node, weights) for node in graph.node]
        except Exception as error:  # protobuf's errors share no base class
            raise ModelError(f"{path}: not SFace in float32 ({type(error).__name__}); {SFACE} is needed") from None

    def __call__(self, faces: tf.Tensor) -> list[tf.Tensor]:
        """Maps, (n, h, w, c), and embeddings, (n, 128), of RGB faces of 0..255, (n, 112, 112, 3)."""
        kept: list[tf.Tensor] = []
        x = faces
        for step in self._steps:
            before, x = x, step(x)
            if len(x.shape) != len(before.shape) or (len(x.shape) == 4 and x.shape[1] < before.shape[1]):
                kept.append(before)
        return [*kept, x]


def _step(node: onnx.NodeProto, weights: dict[str, NDArray[np.float32]]) -> Step:
    """One operation of the graph, on (n, h, w, c) where the file has (n, c, h, w)."""
    given = [weights[name] for name in node.input if name in weights]
    options = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    return OPERATIONS[node.op_type](given, options)


def _normalisation(given: Arrays, options: dict[str, Any]) -> Step:
    gamma, beta, mean, variance = given
    scale = gamma / np.sqrt(variance + options["epsilon"])
    return partial(_affine, scale=scale, offset=beta - mean * scale)


def _affine(x: tf.Tensor, scale: NDArray[np.float32], offset: NDArray[np.float32]) -> tf.Tensor:
    return x * tf.cast(scale, x.dtype) + tf.cast(offset, x.dtype)


def _convolution(x: tf.Tensor, kernel: NDArray[np.float32], stride: int, pad: int) -> tf.Tensor:
    x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]]) if pad else x
    across, strides = tf.cast(kernel.transpose(2, 3, 1, 0), x.dtype), [1, stride, stride, 1]
    if kernel.shape[1] == 1:
        return tf.nn.depthwise_conv2d(x, tf.transpose(across, [0, 1, 3, 2]), strides, "VALID")
    return tf.nn.conv2d(x, across, strides, "VALID")


def _prelu(x: tf.Tensor, slope: NDArray[np.float32]) -> tf.Tensor:
    return tf.nn.relu(x) - tf.cast(slope, x.dtype) * tf.nn.relu(-x)


def _flatten(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [-1, int(np.prod(x.shape[1:]))])


def _dense(x: tf.Tensor, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> tf.Tensor:
    return tf.matmul(x, tf.cast(kernel, x.dtype)) + tf.cast(bias, x.dtype)


OPERATIONS: dict[str, Callable[[Arrays, dict[str, Any]], Step]] = {
    "Sub": lambda given, _: partial(_affine, scale=ONE, offset=-given[0]),
    "Mul": lambda given, _: partial(_affine, scale=given[0], offset=0 * ONE),
    "BatchNormalization": _normalisation,
    "Conv": lambda given, has: partial(_convolution, kernel=given[0], stride=has["strides"][0], pad=has["pads"][0]),
    "PRelu": lambda given, _: partial(_prelu, slope=given[0].ravel()),
    "Gemm": lambda given, _: partial(_dense, kernel=given[0].T, bias=given[1]),
    "Flatten": lambda *_: _flatten,
    "Dropout": lambda *_: tf.identity,
}
