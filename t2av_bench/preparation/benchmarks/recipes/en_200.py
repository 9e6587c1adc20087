"""200 English clips of HDTF and Hallo3, in the manner of Talker-T2AV's English test set, whose clips are not known."""

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

from t2av_bench.preparation.benchmarks.cutting import CutRule
from t2av_bench.preparation.benchmarks.recipe import Recipe, Shares, SourceClip
from t2av_bench.preparation.benchmarks.recipes import hallo3, hdtf

LENGTHS = (("short", 4.8), ("long", 10.01))
"""Pieces below 4.8 s fit into the shortest clip that a system makes; longer ones show who cuts off."""


class English200(Recipe):
    """100 of each source, half of them short; a speaker has one item, or two where there are too few."""

    id = "en-200"
    sources = {"hdtf": hdtf.SOURCE, "hallo3": hallo3.SOURCE}
    cut = CutRule()
    pictures = "crop"
    text = "recognised"
    other_voice = True
    shares = {"test": Shares(
        {f"{source} {length}": 50 for source in ("hdtf", "hallo3") for length in ("short", "long")}, lengths=LENGTHS
    )}  # fmt: skip

    def index(self, folders: Mapping[str, Path]) -> Iterable[SourceClip]:
        return chain(
            hdtf.hdtf_clips(folders["hdtf"], "hdtf", "hdtf"), hallo3.hallo3_clips(folders["hallo3"], "hallo3", "hallo3")
        )
