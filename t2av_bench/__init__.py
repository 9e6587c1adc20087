"""t2av-bench: generate, score and compare talking-portrait audio-video models."""

__version__ = "0.2.0"
