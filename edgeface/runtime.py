"""Which TFLite runtime there is. LiteRT is preferred: it runs int8 networks several times faster than tflite-runtime."""

from importlib import import_module
from typing import Any

from edgeface.errors import ModelError

RUNTIMES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}


def interpreter(model: bytes, threads: int = 1) -> tuple[Any, str]:
    """An allocated interpreter for the model, and the name of the package that it comes from.

    Raises:
        ModelError: no runtime can be imported, or none can load the model.
    """
    reasons = []
    for package, module in RUNTIMES.items():
        try:
            built = import_module(module).Interpreter(model_content=model, num_threads=threads)
            built.allocate_tensors()
        except ModuleNotFoundError:
            reasons.append(f"{package} is not installed")
        except Exception as error:  # the runtimes raise ValueError, RuntimeError, ImportError, AttributeError ...
            reasons.append(f"{package}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
        else:
            return built, package
    raise ModelError(f"no TFLite runtime can load the model ({'; '.join(reasons)})")
