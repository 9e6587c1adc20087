"""GridFace's codecs and networks, and their checkpoints."""
