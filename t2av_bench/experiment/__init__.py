"""One TOML file to clips and scores of many systems."""
