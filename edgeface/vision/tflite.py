"""Chooses and runs the TFLite runtime: LiteRT runs int8 networks several times faster than tflite-runtime."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from edgeface.errors import ModelError

RUNTIMES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}


def interpreter(model: bytes, threads: int = 1) -> tuple[Any, str]:
    """Return an allocated interpreter for the model, and the name of its package.

    Raises:
        ModelError: no runtime can be imported, or the runtime does not load the model.
    """
    for package, module in RUNTIMES.items():
        try:
            library = import_module(module)
        except ImportError:
            continue
        try:
            with _quiet():
                built = library.Interpreter(model_content=model, num_threads=threads)
                built.allocate_tensors()
        except Exception as error:  # the runtimes raise ValueError, RuntimeError, ImportError, AttributeError ...
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise ModelError(f"{package} cannot load the model: {reason}") from None
        return built, package
    raise ModelError(f"no TFLite runtime is installed: neither {' nor '.join(RUNTIMES)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' messages off standard error, where each error of ours is one line."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silence)
