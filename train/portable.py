"""An int8 encoder that gives the same codes on every processor.

LiteRT's kernels agree to the bit. So do tflite-runtime's, but for a convolution's results below zero: what lies halfway between
two steps goes up on x86 and down on ARM, and each such step moves others in the layers after it. So a bias lifts these results
to zero and above, and an addition takes them down again by whole steps; the codes stay what they were.
"""

from copy import deepcopy
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

LOWEST = -128
"""The zero point of a tensor without negative values."""

ADD, CONVOLUTION = schema.BuiltinOperator.ADD, schema.BuiltinOperator.CONV_2D
NO_ACTIVATION, RELU = schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU


def portable(encoder: bytes) -> bytes:
    """The encoder, a TFLite file, with its convolutions lifted.

    The last ones are not, whose results are the codes: nothing comes after a step in these.
    """
    model = schema.ModelT.InitFromPackedBuf(encoder, 0)
    (graph,) = model.subgraphs
    kinds = [code.builtinCode for code in model.operatorCodes]
    going_on = {tensor for each in graph.operators if kinds[each.opcodeIndex] in (ADD, CONVOLUTION) for tensor in each.inputs}
    model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=ADD, builtinCode=ADD, version=2))  # 2: of int8
    convolutions = [each for each in graph.operators if kinds[each.opcodeIndex] == CONVOLUTION and each.outputs[0] in going_on]
    for each in convolutions:
        if each.builtinOptions.fusedActivationFunction == NO_ACTIVATION:
            graph.operators.insert(graph.operators.index(each) + 1, _lift(model, graph.tensors, each))
    builder = _Aligned(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _lift(model: Any, tensors: list[Any], convolution: Any) -> Any:
    """Let a convolution end in ReLU, above all that it gives; the addition that takes it down again."""
    image, kernel, bias = (tensors[each] for each in convolution.inputs)
    number, first = convolution.outputs[0], len(tensors)
    result = tensors[number]
    rise = int(result.quantization.zeroPoint[0]) - LOWEST
    steps = result.quantization.scale / (image.quantization.scale * kernel.quantization.scale.astype(float))
    higher = np.rint(model.buffers[bias.buffer].data.view(np.int32) + rise * steps).astype(np.int32)
    # Its own bias: the converter makes one tensor of those that are alike.
    bias, lifted, offset = deepcopy(bias), deepcopy(result), deepcopy(result)
    lifted.quantization.zeroPoint, offset.quantization.zeroPoint, offset.shape = [LOWEST], [LOWEST + rise], [1]
    for tensor, data in ((bias, higher), (offset, np.array([LOWEST], np.int8))):
        tensor.buffer = len(model.buffers)
        model.buffers.append(schema.BufferT(data=data.view(np.uint8)))
    tensors += [bias, lifted, offset]
    convolution.inputs, convolution.outputs = [*convolution.inputs[:2], first], [first + 1]
    convolution.builtinOptions.fusedActivationFunction = RELU
    return schema.OperatorT(
        opcodeIndex=len(model.operatorCodes) - 1,
        inputs=[first + 1, first + 2],
        outputs=[number],
        builtinOptionsType=schema.BuiltinOptions.AddOptions,
        builtinOptions=schema.AddOptionsT(),
    )


class _Aligned(flatbuffers.Builder):  # type: ignore[misc]
    """Every vector at a multiple of 16 bytes, as TFLite's schema wants its buffers and Python's builder does not know."""

    def StartVector(self, size: int, count: int, alignment: int) -> Any:  # noqa: N802
        return super().StartVector(size, count, max(alignment, 16))
