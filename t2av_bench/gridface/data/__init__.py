"""GridFace's items, its clips on disk, their digests, and known damage to them."""
