"""What GridFace's metrics and codecs are worth, measured; and publishing the benchmark's results."""
