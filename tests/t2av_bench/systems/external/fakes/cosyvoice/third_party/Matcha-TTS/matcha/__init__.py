"""Stands in for the submodule."""
