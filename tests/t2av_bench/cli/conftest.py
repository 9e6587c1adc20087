"""What the tests of systems share."""

from system_fixtures import components, faces, inputs  # noqa: F401
