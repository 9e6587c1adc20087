"""Intervals, paired tests and sample sizes: what a difference between two numbers is worth.

Conventions of every file here:

- The unit of resampling is the clip; frames, windows and words are never drawn alone.
- Clips are put into the order of their ids first, and every draw is seeded by the clips' ids and the protocol's
  fingerprint (``seeding``): a result depends neither on the order of its input, nor on workers, nor on when it ran.
- A result that cannot be had raises Unscorable with the reason (too few clips, no weight).

``samples``: per-clip values of one quantity. ``intervals``: bootstrap intervals. ``permutation``: paired tests and
Holm's correction. ``paired``: two systems on the same clips. ``planning``: how many clips a difference needs.
``influence``: what each clip adds to a distance between sets. ``resampling``: a distance between sets, extrapolated to
an infinite number of clips.
"""
