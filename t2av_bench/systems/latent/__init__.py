"""What systems share that generate latents of sound and motion: codecs, portrait, the way through them."""
