"""From results to verdicts: what may be compared, contrasts, the regression gate, and their reports."""
