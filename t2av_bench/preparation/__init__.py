"""From clips to the latents that a model is trained on: ``t2av-bench train prepare``."""
