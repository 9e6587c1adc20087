"""From items to latents: prompt, plan, sampling, long texts, streams."""
