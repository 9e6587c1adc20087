"""From items to clips: requests, records of what made a clip, worker processes."""
