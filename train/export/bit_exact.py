"""Change an int8 encoder so that it gives the same codes on every processor.

The kernels of LiteRT (XNNPACK) agree to the bit. So do tflite-runtime's, but for a convolution's results below zero: what lies
halfway between two steps goes up on x86 and down on ARM, and each such step moves others in the layers after it. So a bias
raises these results to zero and above, and an addition lowers them again by whole steps. But for rounding, the network stays
the same.
"""

from copy import deepcopy
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema

LOWEST = -128
"""The least int8, and so the zero point of results that are never below zero."""

MOST = 2**30
"""Of a bias, with room for the sum that it is added to."""

ADD, CONVOLUTION, RESHAPE = (getattr(schema.BuiltinOperator, name) for name in ("ADD", "CONV_2D", "RESHAPE"))


def portable(encoder: bytes) -> bytes:
    """The encoder, a TFLite file, with its convolutions lifted.

    Not so the last ones, which give the codes: no layer follows that could spread a difference.
    """
    model = schema.ModelT.InitFromPackedBuf(encoder, 0)
    (graph,) = model.subgraphs
    kinds = [code.builtinCode for code in model.operatorCodes]
    if ADD not in kinds:
        kinds.append(ADD)
        model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=ADD, builtinCode=ADD, version=2))  # of int8
    codes = {each.inputs[0] for each in graph.operators if kinds[each.opcodeIndex] == RESHAPE}
    operators = []
    for each in graph.operators:
        operators.append(each)
        below_zero = graph.tensors[each.outputs[0]].quantization.zeroPoint[0] > LOWEST
        if kinds[each.opcodeIndex] == CONVOLUTION and below_zero and each.outputs[0] not in codes:
            operators.append(_lift(model, each, kinds.index(ADD)))
    graph.operators = operators
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _lift(model: Any, convolution: Any, add: int) -> Any:
    """Raise a convolution's results to zero and above; the addition, by operator code ``add``, that lowers them again."""
    tensors = model.subgraphs[0].tensors
    image, kernel, bias = (tensors[each] for each in convolution.inputs)
    number, first = convolution.outputs[0], len(tensors)
    lifted, offset = deepcopy(tensors[number]), deepcopy(tensors[number])
    tensors += [lifted, offset]
    rise = int(lifted.quantization.zeroPoint[0]) - LOWEST
    step = lifted.quantization.scale / (image.quantization.scale * kernel.quantization.scale.astype(float))
    biases = model.buffers[bias.buffer].data.view(np.int32) + rise * step
    # A channel that is nearly dead has weights in units so small that a step of the result is too many of them.
    units = np.maximum(1.0, np.abs(biases) / MOST)
    weights = model.buffers[kernel.buffer].data.view(np.int8).reshape(kernel.shape) / units[:, None, None, None]
    for tensor, values in ((kernel, np.rint(weights).astype(np.int8)), (bias, np.rint(biases / units).astype(np.int32))):
        tensor.quantization.scale = (tensor.quantization.scale * units).astype(np.float32)
        _fill(model, tensor, values)
    lifted.quantization.zeroPoint, offset.quantization.zeroPoint, offset.shape = [LOWEST], [LOWEST + rise], [1]
    _fill(model, offset, np.array([LOWEST], np.int8))  # less its zero point: minus the rise
    convolution.outputs = [first]
    return schema.OperatorT(
        opcodeIndex=add,
        inputs=[first, first + 1],
        outputs=[number],
        builtinOptionsType=schema.BuiltinOptions.AddOptions,
        builtinOptions=schema.AddOptionsT(),
    )


def _fill(model: Any, constant: Any, values: NDArray[Any]) -> None:
    """Give a constant other values, and a buffer of its own where several tensors share one."""
    if sum(tensor.buffer == constant.buffer for tensor in model.subgraphs[0].tensors) > 1:
        constant.buffer = len(model.buffers)
        model.buffers.append(schema.BufferT())
    model.buffers[constant.buffer].data = values.ravel().view(np.uint8)
