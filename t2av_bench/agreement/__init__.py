"""Whether a metric orders clips as people do: votes, values of runs, and their agreement pair by pair.

Conventions of every file here:

- A *pair* is two systems' clips of one item, or one system's clips of two items (``within systems``).
- People's side of a pair is −1, 0 (a tie) or 1; so is the metric's, with the better direction as it was declared
  before votes were joined (``declared.toml``). Only equal values are a tie.
- A pair without a vote or without both values is no pair of that metric; every share says n of m.
- What is drawn anew for an interval is the item, with all its pairs.

``votes``: who preferred what. ``declared``: which way is better. ``joining``: runs -> values at the votes' clips.
``pairs``: agreement of two arrays of signs. ``panel``: everything for all metrics and baselines, as text and JSON.
``record``: these in a folder, and a log of every time that votes were joined.
"""
