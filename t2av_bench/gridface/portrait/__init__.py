"""Identity and motion to drawn frames."""
