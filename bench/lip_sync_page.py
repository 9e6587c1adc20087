"""The tables and figures of ``docs/lip_sync.md``, from ``docs/lip_sync.json`` and the log of looks at test clips.

    python bench/lip_sync_page.py [--damage NAME=VALIDITY_RUN ...] [--graded NAME=FOLDER ...] [--clips FOLDER]
                                  [--speech FOLDER] [--features CACHE]

Without options everything is drawn again. Each option measures a part of ``docs/lip_sync.json`` first:

--damage  the scores of ``t2av-bench validity CLIPS --metrics sync/mesh --out VALIDITY_RUN``
--graded  clips of a folder, damaged by grades in what the network is given: late sounds, mouths that stand still
--clips   every clip of a folder, one by one
--speech  clips of a folder of which a few seconds of speech are left: how sure the metric is then
--features  a folder that keeps features of clips, as ``evaluate --cache`` does
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lip_sync_measures import (
    CONTROL,
    INSIDE,
    OFFSET,
    QUANTITIES,
    ZERO,
    C,
    D,
    Grades,
    clip_scores,
    damage_scores,
    graded_scores,
    speech_scores,
)
from measuring import ROOT, options

PAGE, NUMBERS = ROOT / "docs" / "lip_sync.md", ROOT / "docs" / "lip_sync.json"
CURVES, SCATTER, SPEECH = (ROOT / "docs" / f"lip_sync_{name}.svg" for name in ("damage", "published", "speech"))
RUNS = ROOT / "t2av_bench" / "mesh_sync" / "runs.jsonl"
_DECIMALS = {C: 3, D: 3, ZERO: 3, INSIDE: 2, OFFSET: 0}
_PANELS = (
    ("desync", OFFSET, "sound late by (ms)", "change of the offset (ms)"),
    ("desync", ZERO, "sound late by (ms)", "D as played"),
    ("mouth_frozen", C, "mouth frozen (% of the time)", "C"),
    ("sound_noise", C, "signal to noise (dB)", "C"),
)
_BACKGROUND = "#fdfdfb"

# --- tables -----------------------------------------------------------------------------------------------------------


def tables(numbers: Mapping[str, Any], looks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Mark of the page -> Markdown. looks: lines of the log, in its order; the last of each set of clips counts."""
    last = {look["what"]: look for look in looks}
    found = {
        "speech": _speech_table(numbers["speech"]), "damage": _damage_table(numbers["damage"]),
        "clips": _clips_table(numbers["clips"]), "results": _results_table(last.values()),
    }  # fmt: skip
    if test := _test_clips(looks):
        found["results"] += "\n\n![C against the published Sync-C on the test clips](lip_sync_published.svg)"
        found["kinds"] = _kinds_table(test)
    else:
        found["kinds"] = "The log of looks at the test clips has no scores of single clips."
    return found


def _markdown(columns: Sequence[str], rows: Any) -> str:
    from t2av_bench.gridface.validation.report import table

    return table(columns, rows)


def _speech_table(rows: Sequence[Mapping[str, float]]) -> str:
    heads = ["seconds of speech", "clips", "C", "95 % of strangers below", "told from strangers (AUC)",
             "offset within a frame of the whole clip's"]  # fmt: skip
    return _markdown(heads, (
        [f"{row['seconds']:.1f}", row["clips"], f"{row['c']:.3f}", f"{row['stranger']:.3f}", f"{row['auc']:.2f}",
         f"{100 * row['offset_within_1']:.0f} %"] for row in rows
    ))  # fmt: skip


def _damage_table(sets: Mapping[str, Mapping[str, Any]]) -> str:
    from t2av_bench.validation.damages import DAMAGES

    heads = ["clips", "damage", "grade", "judged", "C", "D", "D as played", "in tolerance", "offset (ms)"]
    lines = []
    for set, about in sets.items():
        for place, (damage, grades) in enumerate(about["damage"].items()):
            for grade, found in grades.items():
                whole = grade == CONTROL
                if whole and place:
                    continue
                name = ["none", "–"] if whole else [f"`{damage}`", f"{grade} {DAMAGES[damage].unit}".strip()]
                judged = f"{len(found[C])}/{about['clips']}"
                lines.append(
                    [set, *name, judged, *(_change(grades[CONTROL], found, each, whole) for each in QUANTITIES)]
                )
    return _markdown(heads, lines)


def _change(before: Mapping[str, Any], after: Mapping[str, Any], quantity: str, whole: bool) -> str:
    """The mean of the clips that are judged in both, or their mean change ± standard error; of offsets the median."""
    clips = sorted(before[quantity].keys() & after[quantity].keys())
    if not clips:
        return "–"
    one, two = (np.array([each[quantity][clip] for clip in clips]) for each in (before, after))
    middle, digits = np.median if quantity == OFFSET else np.mean, _DECIMALS[quantity]
    if whole:
        return f"{middle(two):.{digits}f}"
    error = f" ± {np.std(two - one, ddof=1) / math.sqrt(len(clips)):.{digits}f}" if len(clips) > 1 else ""
    return f"{middle(two - one):+.{digits}f}" + error * (quantity != OFFSET)


def _clips_table(clips: Mapping[str, Mapping[str, Any]]) -> str:
    heads = ["clip", "C ± standard error", "D", "offset (ms)", "speech while the face is seen (s)", "face (share)"]

    def row(name: str, of: Mapping[str, Any]) -> list[str]:
        if "reason" in of:
            return [f"`{name}`", f"not judged: {of['reason']}", *["–"] * 4]
        return [f"`{name}`", f"{of[C]:.3f} ± {of['standard_error_c']:.3f}", f"{of[D]:.3f}", f"{of[OFFSET]:.0f}",
                f"{of['speech_seconds']:.1f}", f"{of['face_share']:.2f}"]  # fmt: skip

    return _markdown(heads, (row(name, of) for name, of in clips.items()))


_RESULTS = {
    "auc": "told from strangers (AUC)", "spearman_c": "Spearman, C and Sync-C", "spearman_d": "Spearman, D and Sync-D",
    "offset_within_1": "offset within a frame", "planted_exact": "planted, nearest frame",
    "planted_within_1": "planted, within a frame",
}  # fmt: skip


_SEEDS = ("auc", "spearman_c", "offset_within_1")


def _results_table(looks: Any) -> str:
    looks = list(looks)
    if not looks:
        return "No look at the test clips is logged."
    heads = ["", *(look["what"] for look in looks)]
    lines = [
        ["clips scored, of; persons", *(f"{look['scored']} of {look['listed']}; {look['persons']}" for look in looks)],
        [
            "mean C; with a stranger's sound",
            *(f"{look['mean_c']:.3f}; {look['mean_c_stranger']:.3f}" for look in looks),
        ],
        *([label, *(_interval(look.get(key)) for look in looks)] for key, label in _RESULTS.items()),
        *([f"each seed alone: {_RESULTS[key]}", *(_range(look, key) for look in looks)] for key in _SEEDS),
    ]
    return _markdown(heads, lines)


def _range(look: Mapping[str, Any], key: str) -> str:
    values = [seed[key] for seed in look.get("seeds", ())]
    return f"{min(values):.2f} to {max(values):.2f}" if values else "–"


def _interval(number: Sequence[float | None] | None) -> str:
    if number is None:
        return "–"
    value, low, high = number
    return f"{value:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low is not None else "")


_KINDS = {
    "Chinese": ("chinese",), "sings, or plays the guitar": ("sing", "guitar"), "two persons in the picture": ("2p_",),
    "turned to one side": ("facing_left", "facing_right", "turning"), "the others": ("",),
}  # fmt: skip


def _kinds_table(test: Sequence[Mapping[str, Any]]) -> str:
    """Test clips by what their names say; a clip counts where it fits first."""
    heads = ["test clips", "clips", "C", "published Sync-C", "offset within a frame of the published"]
    left, lines = list(test), []
    for kind, words in _KINDS.items():
        mine = [clip for clip in left if any(word in clip["path"] for word in words)]
        left = [clip for clip in left if clip not in mine]
        if mine:
            near = [abs(round(clip["offset_ms"] / 40) - clip["published_offset"]) <= 1 for clip in mine]
            means = [np.mean([clip[key] for clip in mine]) for key in ("c", "published_c")]
            lines.append([kind, len(mine), f"{means[0]:.3f}", f"{means[1]:.2f}", f"{sum(near)} of {len(mine)}"])
    return _markdown(heads, lines)


def _test_clips(looks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Path, C, its error, D, offset in ms, and the published C, D and offset of the test clips of the last look."""
    names = ("path", "c", "error", "d", "offset_ms", "published_c", "published_d", "published_offset")
    last = next((look for look in reversed(looks) if look["what"].endswith("test") and "clips" in look), None)
    return [dict(zip(names, clip, strict=True)) for clip in last["clips"]] if last else []


# --- figures ----------------------------------------------------------------------------------------------------------


def curves(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """Graded damage as SVG: thin lines are clips that are judged at every grade, thick ones their means."""
    from reports.plots.style import FONT, LIGHT, colour, label_x, label_y, legend, new_figure, svg

    panels = [panel for panel in _PANELS if any(panel[0] in about["damage"] for about in sets.values())]
    figure, axes = new_figure(2.8 * len(panels), 3, 1, len(panels))
    drawn = {}
    for axis, (damage, quantity, below, beside) in zip(axes[0], panels, strict=True):
        for index, (set, about) in enumerate(sets.items()):
            if damage not in about["damage"]:
                continue
            grades, places, lines = _lines(about["damage"][damage], quantity)
            middle = np.median(lines, axis=0) if quantity == OFFSET else lines.mean(axis=0)
            axis.plot(places, lines.T, color=colour(index), linewidth=0.6, alpha=0.45)
            (drawn[set],) = axis.plot(places, middle, "o-", color=colour(index), linewidth=1.8, markersize=4, label=set)
            axis.set_xticks(places[::-2], grades[::-2])
            if quantity == OFFSET:
                axis.plot(places, [-place for place in places], color=LIGHT.ink, linewidth=0.8, linestyle=":")
        if quantity == C:
            axis.axhline(0, color=LIGHT.soft, linewidth=0.8)
        axis.tick_params(labelsize=FONT - 1)
        label_x(axis, below)
        label_y(axis, beside)
    legend(figure, list(drawn.values()))
    return svg(figure, background=_BACKGROUND)


def _lines(grades: Grades, quantity: str) -> tuple[list[str], list[float], np.ndarray]:
    """Grades, where they stand (at their numbers where these rise, else one after the other), and the clips' values."""
    clips = sorted(frozenset.intersection(*(frozenset(found[quantity]) for found in grades.values())))
    lines = np.array([[found[quantity][clip] for found in grades.values()] for clip in clips]).reshape(len(clips), -1)
    places = [0.0 if grade == CONTROL else float(grade) for grade in grades]
    if places != sorted(places):
        places = [float(place) for place in range(len(grades))]
    return list(grades), places, lines - lines[:, :1] if quantity == OFFSET else lines


def speech(rows: Sequence[Mapping[str, float]]) -> str:
    """C in sync and with a stranger's sound by the seconds of speech in a clip, as SVG."""
    from reports.plots.style import LIGHT, colour, label_x, label_y, legend, new_figure, svg

    figure, axes = new_figure(5.2, 3)
    seconds = [row["seconds"] for row in rows]
    named = {"in sync: mean": ("c", "o-"), "a stranger's sound: 95 % below": ("stranger", "s--")}
    for index, (label, (key, style)) in enumerate(named.items()):
        axes[0, 0].plot(seconds, [row[key] for row in rows], style, color=colour(index), markersize=4, label=label)
    axes[0, 0].axhline(0, color=LIGHT.soft, linewidth=0.8)
    label_x(axes[0, 0], "seconds of speech in the clip")
    label_y(axes[0, 0], "C")
    legend(figure, axes[0, 0].get_lines()[:2])
    return svg(figure, background=_BACKGROUND)


def scatter(test: Sequence[Mapping[str, Any]]) -> str:
    """C against the published Sync-C, a point a test clip, as SVG."""
    from reports.plots.style import LIGHT, colour, label_x, label_y, new_figure, svg

    figure, axes = new_figure(5.2, 3.6)
    published, own, error = (np.array([clip[key] for clip in test]) for key in ("published_c", "c", "error"))
    axes[0, 0].errorbar(published, own, error, fmt="o", color=colour(0), markersize=4, elinewidth=0.5, alpha=0.7)
    axes[0, 0].axhline(0, color=LIGHT.soft, linewidth=0.8)
    label_x(axes[0, 0], f"published Sync-C ({len(test)} test clips)")
    label_y(axes[0, 0], "C of sync/mesh ± standard error")
    return svg(figure, background=_BACKGROUND)


# ----------------------------------------------------------------------------------------------------------------------


def looks() -> Iterator[dict[str, Any]]:
    """The lines of the log."""
    if RUNS.is_file():
        yield from map(json.loads, RUNS.read_text(encoding="utf-8").splitlines())


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--damage", action="append", default=[], metavar="NAME=RUN", help="a name and a validity run")
    parser.add_argument("--graded", action="append", default=[], metavar="NAME=FOLDER", help="a name and its clips")
    parser.add_argument("--clips", type=Path, help="a folder of clips")
    parser.add_argument("--speech", type=Path, help="a folder of clips, none of the test's")
    parser.add_argument("--features", type=Path, help="a folder that keeps features of clips")
    arguments = parser.parse_args()
    from t2av_bench.results.features import FeatureStore
    from t2av_bench.utils.files import write_text
    from t2av_bench.utils.text import filled

    numbers = json.loads(NUMBERS.read_text()) if NUMBERS.is_file() else {"damage": {}, "clips": {}, "speech": []}
    store = FeatureStore(arguments.features) if arguments.features else None
    for each in arguments.damage:
        name, _, folder = each.partition("=")
        numbers["damage"][name] = damage_scores(Path(folder))
    for each in arguments.graded:
        name, _, folder = each.partition("=")
        numbers["damage"][name] = graded_scores(Path(folder), store)
    if arguments.clips:
        numbers["clips"] |= clip_scores(arguments.clips, store)
    if arguments.speech:
        numbers["speech"] = speech_scores(arguments.speech, store)
    write_text(NUMBERS, json.dumps(numbers, indent=1) + "\n")
    seen = list(looks())
    write_text(CURVES, curves(numbers["damage"]))
    write_text(SPEECH, speech(numbers["speech"]))
    if test := _test_clips(seen):
        write_text(SCATTER, scatter(test))
    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), tables(numbers, seen)))


if __name__ == "__main__":
    main()
