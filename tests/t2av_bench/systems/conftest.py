"""What the tests of systems share."""

from published_parts import published  # noqa: F401
from shim_bench import bench  # noqa: F401
from system_fixtures import components, faces, inputs, torchvision  # noqa: F401
