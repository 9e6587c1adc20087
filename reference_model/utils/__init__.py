"""Reading checkpoints strictly, and importing transformers."""
