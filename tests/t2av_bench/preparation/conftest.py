"""What the tests of preparation share."""

from published_parts import published  # noqa: F401
from system_fixtures import components, faces, inputs, torchvision  # noqa: F401
