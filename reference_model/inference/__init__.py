"""From items to latents: prompt, recipes, the batched loop, long texts."""
