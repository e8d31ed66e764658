"""edgeface: a private face recognition daemon for the edge."""

__version__ = "0.1.0"
