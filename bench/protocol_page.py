"""``docs/faster.md`` from what ``protocol_prices.py`` measured: ``python bench/protocol_page.py > docs/faster.md``.

With the JSON of a measurement of one's own, the same page of that.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import number, table
from protocol_prices import KEPT, PICTURES, asked
from protocol_stand_ins import SETS, SYNC

from t2av_bench.validation.damages import CONTROL

HEAD = """\
# Faster protocols, and what they cost

Written by `python bench/protocol_page.py` from `bench/protocol_prices.json`; a test keeps it so.

Some options make a metric faster by making its protocol another one. They are part of the protocol's fingerprint, as
every option is: a table refuses a column of two protocols, what is kept for a clip is kept for each of them, and
without the option the metric is what it was, to the last digit. Nothing is measured by them unless it is asked for, as
with `--metrics sync/exact --option sync/exact.detect_every=5`.

`detect_every=N`: faces are looked for in each shot's first, last and every N-th frame. A face that is seen in two looks
in a row moves between them in a straight line, and counts as seen. Cuts are found in all frames; no line crosses one.
A face that comes or goes between two looks is seen up to N - 1 frames late or gone as many early. One look that misses
it takes it out of 2N - 1 frames, and a track needs a face in more than `min_track` of them: with a detector that misses
faces now and then (Haar), a clip may lose its track and with it the score. An N beyond a shot's length looks at its two
ends alone. Frames are those of the clip at 25/s, whatever the rate of the file, constant or not.

`dtype=bfloat16`: convolutions with 8 significant bits and sums in float32, where the processor (AVX512_BF16, AMX, Arm
BF16) or the GPU (compute capability 8.0) has instructions for it; elsewhere the metric says so and has no value. Of
SyncNet it concerns the mouths, the sound stays in float32; of S3FD all but the scores' last step. The last digits of
such a number are those of the processor that made it: it repeats on the same kind, and elsewhere within the differences
below.
"""


def page(kept: Mapping[str, Any]) -> str:
    """The documentation page of what was measured."""
    with_damage = len(kept["damaged"]) if any(row["clips"] != CONTROL for row in kept["boxes"]) else "none"
    parts = [HEAD, "| metric | options |\n|---|---|\n" + "".join(
        f"| `{id}` | {', '.join(f'`{name}`' for name in names)} |\n" for id, names in offered().items()
    )]  # fmt: skip
    parts.append(
        f"Measured on {len(kept['clips'])} real clips, {with_damage} of them with damage too: the third grade "
        f"of each kind of [validity](validity.md).\n({kept['machine']}.)\n"
    )
    parts.append("## Faces in every N-th frame\n\n" + BOXES)
    whole = [row for row in kept["boxes"] if row["clips"] == CONTROL]
    parts.append("Undamaged clips:\n\n" + table(("detector", "N", *COLUMNS), [
        (row["detector"], str(row["every"]), *_cells(row)) for row in whole
    ]))  # fmt: skip
    damaged = [row for row in kept["boxes"] if row["clips"] != CONTROL and row["every"] == 5]
    absent = [kind for kind in PICTURES if not any(row["clips"].startswith(f"{kind}-") for row in damaged)]
    if damaged:
        parts.append("Damaged clips, N = 5:\n\n" + table(("detector", "damage", *COLUMNS), [
            (row["detector"], row["clips"], *_cells(row)) for row in damaged
        ]))  # fmt: skip
    if absent:
        parts.append(f"Damage not measured yet: {', '.join(absent)}.\n")
    parts.append("## bfloat16\n\n" + FEATURES + table(
        ("network", "weights", "samples", "difference, median", "largest", "processor time"),
        [
            (row["network"], row["weights"], str(row["samples"]), f"{100 * row['difference_median']:.2g} %",
             f"{100 * row['difference_largest']:.2g} %",
             f"{number(row['seconds_bfloat16'] / row['seconds_float32'], 2)} of float32's")
            for row in kept["features"] if "reason" not in row
        ],
    ))  # fmt: skip
    parts.append("## Scores by networks of this package\n\n" + STAND_INS + _stand_ins(kept["stand_ins"]))
    parts.append("## Scores by the networks of the metrics\n\n" + _values(kept))
    return "\n".join(parts)


COLUMNS = ("clips", "frames looked at", "frames found", "overlap, median", "lowest", "crop moved, median", "99 %",
           "tracks lost", "gained")  # fmt: skip
BOXES = """\
The tracks that every frame gives, and those that fewer looks give: how many of the tracked frames have a box (found),
the overlap of both boxes (intersection over union), and how far a corner of the crop that SyncNet sees moves, in its
224 pixels. Lost and gained are clips where one of both protocols alone finds a face that lasts.

"""
FEATURES = """\
Features in bfloat16 against the same network's in float32: norm of the difference over the norm. Random weights tell
how rounding grows through the layers, and nothing about C, D or FID: values of random networks have no meaning to lose.
Small networks that were trained, of this package, stand beside them.

"""
STAND_INS = """\
None of these numbers is SyncNet's, Inception's or I3D's: they say how large such a change is for a network that has
learnt the task, not how large it is for those.

How far the boxes of fewer looks are off, in each frame of a real clip, is what the first section measures. Twelve drawn
clips of the [embedded benchmark](embedded_metrics.md) are cut so far off, in widths of the face, and GridFace's sync
network, which knows such faces, scores them. Its C is near 0.8, its D near 0.6, between 0 and 2 both. It was trained on
pictures that are all cut at the same place, and takes a crop that moves for a mouth that does; SyncNet learnt from
crops of tracks, and may be moved less. A clip has no score where its face is lost.

"""
SETS_TEXT = """\
Distances of the clips from their originals (16 frames a clip, 4 windows, or 8 frames for Inception), and in brackets by
how much bfloat16 moves them. GridFace's networks know drawn pictures, and Inception has random weights.

"""


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(row["scored"]), f"{100 * row['looks']:.0f} %", f"{row['found']} of {row['frames']}",
        number(row["overlap_median"]), number(row["overlap_lowest"]), number(row["shift_median"], 2),
        number(row["shift_99"], 2), str(row["lost"]), str(row["gained"]),
    )  # fmt: skip


def _stand_ins(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of sync for undamaged clips and of one option for the others, and that of sets."""
    sync = {
        (row["clips_are"], row["metric"].removeprefix(f"{SYNC}, "), row["option"], row["quantity"]): row
        for row in rows if row["metric"].startswith(SYNC)
    }  # fmt: skip

    def cells(kind: str, detector: str, option: str) -> tuple[str, ...]:
        c, d, offset = (sync[kind, detector, option, quantity] for quantity in ("C", "D", "offset"))
        return (
            str(c["clips"]), str(c["changed"]), *(
                number(row[name], 2) for row in (c, d) for name in ("difference_median", "difference_largest")
            ), f"{offset['clips'] - offset['same']} of {offset['clips']}", number(offset["difference_largest"], 2),
        )  # fmt: skip

    columns = ("clips", "lost or gained", "C moved, median", "largest", "D moved, median", "largest", "offset moved",
               "largest, frames")  # fmt: skip
    each_option = dict.fromkeys((kind, detector, option) for kind, detector, option, _ in sync)
    text = "Undamaged clips:\n\n" + table(("boxes of", "option", *columns), [
        (detector, f"`{option}`", *cells(kind, detector, option))
        for kind, detector, option in each_option if kind == CONTROL
    ])  # fmt: skip
    damaged = [each for each in each_option if each[0] != CONTROL and each[2] == "detect_every=5"]
    if damaged:
        text += "\nDamaged clips, `detect_every=5`:\n\n" + table(("boxes of", "damage", *columns), [
            (detector, kind, *cells(kind, detector, option)) for kind, detector, option in damaged
        ])  # fmt: skip
    sets = {(row["clips_are"], row["metric"], row["quantity"]): row for row in rows if row["metric"] in SETS}
    heads = dict.fromkeys((network, distance) for _, network, distance in sets)

    def moved(row: Mapping[str, Any] | None) -> str:
        return "–" if row is None else f"{number(row['exact'])} ({number(row['difference_largest'], 2)})"

    if not sets:
        return text
    kinds = dict.fromkeys(kind for kind, _, _ in sets)
    return f"{text}\n{SETS_TEXT}" + table(("clips", *(f"{network}: {distance}" for network, distance in heads)), [
        (kind, *(moved(sets.get((kind, *head))) for head in heads)) for kind in kinds
    ])  # fmt: skip


def _values(kept: Mapping[str, Any]) -> str:
    rows = [row for row in kept["values"] if row["exact"] is not None]
    text = "Option minus exact protocol, over the clips that both score.\n\n" + table(
        ("metric", "option", "clips", "column", "n", "by one alone", "exact", "difference, median", "largest", "equal"),
        [
            (f"`{row['metric']}`", row["option"], row["clips_are"], row["quantity"], str(row["clips"]),
             str(row["changed"]), number(row["exact"]), number(row["difference_median"], 2),
             number(row["difference_largest"], 2), f"{row['same']} of {row['clips']}")
            for row in rows
        ],
    ) if rows else ""  # fmt: skip
    if not kept["not_measured"]:
        return text
    lines = "".join(f"- `{id}`: {reason}\n" for id, reason in kept["not_measured"].items())
    return f"""{text}
**No price is stated yet for the values of these metrics**, whose weights were not there. Until it is, their options are
for trying things, and no number made by them is one to publish. Where the weights are, a checkout measures it on a
folder of clips and writes this page of them (`--damaged 5` damages the first five alone; the same command continues):

```
python bench/protocol_prices.py CLIPS --work prices --json prices.json
python bench/protocol_page.py prices.json > prices.md
```

{lines}"""


def offered() -> dict[str, list[str]]:
    """Metric -> its options of this page."""
    found: dict[str, dict[str, None]] = {}
    for id, _, option in asked():
        found.setdefault(id, {}).update(dict.fromkeys(option))
    return {id: list(names) for id, names in found.items()}


if __name__ == "__main__":
    print(page(json.loads((Path(sys.argv[1]) if sys.argv[1:] else KEPT).read_text())), end="")
