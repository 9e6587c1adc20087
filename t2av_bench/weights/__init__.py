"""Pretrained weights by id: where a file is, what its digest must be, under which licence; see ``table``."""

from t2av_bench.weights.table import configured, digest, entry, is_present, path

__all__ = ["configured", "digest", "entry", "is_present", "path"]
