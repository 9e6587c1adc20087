"""From clips to results: what is asked, worker processes, scores."""
