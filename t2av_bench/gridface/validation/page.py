"""What ``lip_sync`` measures, as a page: ``python -m t2av_bench.gridface.validation.page`` writes
``docs/embedded_metrics.md``."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np

from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.data.corpus import VOICES
from t2av_bench.gridface.metrics.features import FRAMES_PER_CLIP, WINDOWS_PER_CLIP
from t2av_bench.gridface.models import checkpoints
from t2av_bench.gridface.validation.lip_sync import (
    CLIPS,
    FLOOR,
    MOTION_DAMAGE,
    STRANGER,
    FeatureRow,
    SyncRow,
    clips,
    feature_rows,
    score,
    separation,
    strangers,
    sync_rows,
)
from t2av_bench.gridface.validation.report import run, table

_HEAD = """\
# GridFace's own metrics: what they notice

Written by `python -m t2av_bench.gridface.validation.page`; {clips} clips a set.

`sync/gridface`, `fd_frame/gridface` and `fd_clip/gridface` are stand-ins for SyncNet, FID and FVD, by networks of a few
hundred thousand parameters that were trained on GridFace's training split alone. Their numbers have their own scales
and say nothing about published ones. The tables below show what they notice, on persons and sentences that they never
saw, and on voices at a pitch and rate that they never heard. (The voices themselves are the same everywhere:
{voices}.) Every clip went through H.264 and AAC before it was measured.

`t2av-bench train embedded sync`, `frame_features` and `clip_features` make the networks again.
"""

_SYNC = """
## Lip sync

Offsets are in frames at 25 fps, positive where the audio is early. *exact* and *within 1*: share of clips whose offset
is the true one, or one frame from it. *vs stranger*: chance that the clip has more confidence than one of the same set
with a stranger's audio (0.5 says nothing, 1 tells all apart).

{table}

{saturation}
"""

_FEATURES = """
## Fréchet distances

Sets of {clips} clips ({frames} frames, {windows} windows). *from others*: from real clips of the same persons saying
other sentences. Its first row is the floor: what real clips score. *from itself*: from the very clips that were
damaged, whose floor is 0; this is what a system gets that draws its reference and then spoils it. A row near the floor
is damage that the metric does not see: frames have no order in time, and windows are grey and of half the size.
(The floor here is one draw; what tables print is the mean of many, from `gridface/metrics/floors.toml`.)

{table}
"""


def document(sync: Sequence[SyncRow], features: Sequence[FeatureRow], clips: int) -> str:
    """The page as Markdown."""
    voices = ", ".join(voice for group in VOICES.values() for voice in group)
    sizes = {"clips": clips, "frames": clips * FRAMES_PER_CLIP, "windows": clips * WINDOWS_PER_CLIP}
    return (
        _HEAD.format(clips=clips, voices=voices)
        + _SYNC.format(table=_sync_table(sync), saturation=_saturation(sync))
        + _FEATURES.format(table=_feature_table(features), **sizes)
    )


def _sync_table(rows: Sequence[SyncRow]) -> str:
    stranger = next(row for row in rows if row.name == STRANGER)
    columns = ["clips", "`sync_c_gridface` ↑", "`sync_d_gridface` ↓", "true offset", "exact", "within 1", "vs stranger"]
    lines = []
    for row in rows:
        told = ["–"] * 3
        if row.expected is not None:
            told = [str(row.expected), f"{row.within(0):.2f}", f"{row.within(1):.2f}"]
        apart = "–" if row is stranger else f"{separation(row.confidences, stranger.confidences):.2f}"
        lines.append([row.name, _spread(row.confidences), _spread(row.distances), *told, apart])
    return table(columns, lines)


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"


def _saturation(rows: Sequence[SyncRow]) -> str:
    by_name = {row.name: row for row in rows}
    real, stranger = by_name["in sync"], by_name[STRANGER]
    apart = separation(real.confidences, stranger.confidences)
    text = (
        f"Real clips and clips with a stranger's audio are told apart with a chance of {apart:.3f}, and the offset of "
        f"real clips is exact for {100 * real.within(0):.0f} %: on this side there is nothing left to measure. "
    )
    span = real.confidences.mean() - stranger.confidences.mean()
    kept = [
        f"{row.name}: {100 * (row.confidences.mean() - stranger.confidences.mean()) / span:.0f} %"
        for row in rows
        if row.name.startswith("mouth ")
    ]
    if kept:
        text += (
            "What is left of the confidence between a stranger's audio (0 %) and real clips (100 %) shows how far it "
            f"still grades articulation: {'; '.join(kept)}."
        )
    return fill(f"**Saturation.** {text.strip()}", 120)


def _feature_table(rows: Sequence[FeatureRow]) -> str:
    others = [f"`fd_{kind}_gridface` from others ↓" for kind in ("frame", "clip")]
    values = [
        [row.name, *("–" if value is None else f"{value:.1f}"
                     for value in (row.frame, row.frame_own, row.clip, row.clip_own))]
        for row in rows
    ]  # fmt: skip
    return table(["clips", others[0], "from itself", others[1], "from itself"], values)


def measured(count: int) -> str:
    """Measure everything on ``count`` clips a set, and put the main scores into the index; returns the page."""
    # test-en has 40 persons, who return in the same order: the second 40 clips are other sentences of the first 40's.
    english = corpus.utterances("test-en", 2 * count)
    unknown = [*corpus.utterances("dub", count // 2), *corpus.utterances("codec", count - count // 2)]
    real = clips(english[:count])
    found = feature_rows(real, clips(english[count:]), clips(unknown))
    sync = sync_rows(real, {name: clips(english[:count], move) for name, move in MOTION_DAMAGE})
    mandarin = clips(corpus.utterances("test-zh", count))
    sync += [
        SyncRow("Mandarin, in sync", 0, [score(clip) for clip in mandarin]),
        SyncRow("Mandarin, a stranger's audio", None, [score(clip) for clip in strangers(mandarin)]),
    ]
    for name, numbers in scores(sync, found).items():
        checkpoints.describe(name, {"scores": numbers})
    return document(sync, found, count)


def scores(sync: Sequence[SyncRow], found: Sequence[FeatureRow]) -> dict[str, dict[str, float]]:
    """What the index of the trained models says of each network; rounded as the page is."""
    rows, distances = {row.name: row for row in sync}, {row.name: row for row in found}
    real, stranger = rows["in sync"], rows[STRANGER]
    floor, others, jitter = distances[FLOOR], distances["other persons"], distances["jitter, 1 pixel"]
    return {
        "sync": {
            "confidence": round(float(real.confidences.mean()), 3),
            "distance": round(float(real.distances.mean()), 3),
            "stranger_confidence": round(float(stranger.confidences.mean()), 3),
            "offset_exact": round(real.within(0), 3),
            "separation": round(separation(real.confidences, stranger.confidences), 3),
        },
        "frame_features": {"floor": round(floor.frame, 1), "other_persons": round(others.frame, 1)},
        "clip_features": {"floor": round(floor.clip, 1), "jitter_1_pixel": round(jitter.clip, 1)},
    }


if __name__ == "__main__":
    run(__doc__ or "", "docs/embedded_metrics.md", CLIPS, measured)
