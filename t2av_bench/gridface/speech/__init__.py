"""Text to sound and phoneme times."""
