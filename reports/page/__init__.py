"""The report page: a folder of static files that shows runs as tables, plots and a clip browser.

``content`` reads runs, ``media`` decides how a browser gets each clip, ``transcript`` aligns what was said with what
was heard, ``data`` turns all of it into scripts (a page opened from a file cannot fetch JSON), ``plots`` chooses the
figures, ``site`` writes the folder, and ``server`` serves it on loopback. ``history`` writes a page of checkpoints.
"""
