"""The first 15 s of every clip of HDTF, uncropped, as OmniAvatar's authors say that they used it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from t2av_bench.preparation.benchmarks.recipe import Facts, Recipe, SourceClip
from t2av_bench.preparation.benchmarks.recipes.hdtf import SOURCE, hdtf_clips

SECONDS = 15.0
_SOURCE = "hdtf"


class HDTFFirst15(Recipe):
    """Every clip of the lists is an item, from its beginning; a shorter one is as long as it is. Nothing is cut out."""

    id = "hdtf-first15"
    sources = {_SOURCE: SOURCE}
    pictures = "whole"
    text = "optional"

    def index(self, folders: Mapping[str, Path]) -> Iterable[SourceClip]:
        for clip in hdtf_clips(folders[_SOURCE], _SOURCE):
            if clip.start is None or clip.end is None:
                yield clip
            elif clip.end <= clip.start:
                yield clip.model_copy(update={"reason": "its times end before they begin"})
            else:
                yield clip.model_copy(update={"end": min(clip.end, clip.start + SECONDS)})

    def refuse(self, clip: SourceClip, facts: Mapping[str, Facts]) -> str | None:
        file = facts["path"]
        if not file.has_video:
            return "there is no video stream"
        if not file.has_audio:
            return "there is no audio stream: it was downloaded without its sound"
        if file.seconds is not None and clip.start is not None and file.seconds <= clip.start:
            return "the recording ends before the clip begins"
        return None
