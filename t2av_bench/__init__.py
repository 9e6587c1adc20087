"""t2av-bench: generate, score and compare talking-portrait audio-video models."""

from t2av_bench.version import __version__

__all__ = ["__version__"]
