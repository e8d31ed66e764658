"""edgeface: a private face recognition daemon for the edge."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("edgeface")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+source"
