"""Benchmarks: named, versioned sets of items with their media."""
