"""The version that records, files and pages name."""

__version__ = "0.2.0"
