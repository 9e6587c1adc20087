"""What the tests of systems share."""

from system_fixtures import components, faces, inputs, torchvision  # noqa: F401
