"""Plots of runs. Every function takes data and returns a matplotlib ``Figure``; nothing global is touched.

A function that finds nothing to draw raises NothingToPlot, whose message is the reason. ``svg`` turns a figure into
text that is the same for the same data. Each plot exists for light and dark backgrounds (``LIGHT``, ``DARK``), in
colours that colour-blind readers can tell apart (Okabe & Ito 2008), with markers that differ as well.
"""

from reports.plots.distribution import Spread, distribution
from reports.plots.forest import forest
from reports.plots.history import Dot, history
from reports.plots.learning import Checkpoint, learning_curve
from reports.plots.profile import ProfileRow, profile
from reports.plots.sample_size import sample_size
from reports.plots.speed import Paced, pareto_front, quality_speed
from reports.plots.style import DARK, LIGHT, NothingToPlot, Theme, darkened, svg
from reports.plots.sync_curves import sync_curves

__all__ = [
    "DARK", "LIGHT", "Checkpoint", "Dot", "NothingToPlot", "Paced", "ProfileRow", "Spread", "Theme", "distribution",
    "forest", "history", "learning_curve", "pareto_front", "profile", "quality_speed", "darkened", "sample_size", "svg",
    "sync_curves",
]  # fmt: skip
