"""Which metric notices what: clips are damaged by grades, scored, and every metric is held to what it claims to see."""
