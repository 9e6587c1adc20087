"""From data sets that a user has to benchmarks that are folders: ``t2av-bench data prepare``, see docs/benchmarks.md.

A recipe (``recipe``, ``recipes/``) says what a data set's files are. Everything else is done alike for all of them, in
stages (``prepare``): index, clips, probe, faces, filter, text, draw, write.
"""
