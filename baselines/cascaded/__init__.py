"""Text to speech by one system, then a picture to that speech by another."""

from baselines.cascaded.system import Cascaded

__all__ = ["Cascaded"]
