"""Systems to compare with, each standing beside the harness and trained or composed here."""
