"""The damage table and the figures of ``docs/lip_sync.md``, from the numbers that are committed beside it.

    python bench/lip_sync_page.py [--damage "NAME=VALIDITY_RUN" ...]

``--damage`` takes the scores of ``t2av-bench validity CLIPS --metrics sync/mesh --out VALIDITY_RUN`` first, and writes
``docs/lip_sync_damage.json``; without it everything is made again from that file.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import ROOT, options

PAGE = ROOT / "docs" / "lip_sync.md"
DAMAGE = ROOT / "docs" / "lip_sync_damage.json"
CURVES = ROOT / "docs" / "lip_sync_damage.svg"
SCATTER = ROOT / "docs" / "lip_sync_published.svg"
QUANTITIES = ("sync_c_mesh", "sync_d_mesh", "sync_d_zero_mesh", "sync_in_tolerance_mesh", "sync_offset_mesh")
_SHOWN = ("sync_c_mesh", "sync_d_mesh", "sync_d_zero_mesh")
_PANELS = (
    ("desync", "sync_offset_mesh", "sound late by (ms)", "offset (ms)"),
    ("desync", "sync_d_zero_mesh", "sound late by (ms)", "D as played"),
    ("mouth_frozen", "sync_c_mesh", "mouth frozen (% of the time)", "C"),
    ("sound_noise", "sync_c_mesh", "noise (dB)", "C"),
)
CONTROL = "0"
Scores = Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]
"""Damage -> grade, from weak to strong -> quantity -> clip -> value; the undamaged clips are grade 0 of each."""


def collected(folder: Path) -> dict[str, Any]:
    """Of a ``t2av-bench validity`` run: its clips, and ``Scores``."""
    from t2av_bench.results.run import open_run
    from t2av_bench.validation.damages import DAMAGES, folder_of

    def values(name: str) -> dict[str, dict[str, float]]:
        records = open_run(folder / "runs" / name).records
        return {
            quantity: {clip: round(value, 4) for clip, value in sorted((records["sync/mesh", quantity].values or {}).items())}
            for quantity in QUANTITIES
        }  # fmt: skip

    control = values("control")
    found: dict[str, dict[str, Any]] = {}
    for name, damage in DAMAGES.items():
        grades = {f"{grade}": folder_of(name, grade) for grade in damage.grades}
        there = {grade: values(run) for grade, run in grades.items() if (folder / "runs" / run).is_dir()}
        if there:
            found[name] = {CONTROL: control, **there}
    return {"clips": len(open_run(folder / "runs" / "control").clips), "scores": found}


def table(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """The change of each quantity from the undamaged clips, mean ± standard error over the clips that have both."""
    from t2av_bench.gridface.validation.report import table as markdown
    from t2av_bench.validation.damages import DAMAGES

    heads = ["clips", "damage", "grade", "judged", "C", "D", "D as played", "in tolerance", "offset (ms)"]
    lines = []
    for set, about in sets.items():
        for damage, grades in about["scores"].items():
            for grade, found in grades.items():
                if grade == CONTROL and damage != next(iter(about["scores"])):
                    continue
                name = ["none", "–"] if grade == CONTROL else [DAMAGES[damage].what, f"{grade} {DAMAGES[damage].unit}"]
                judged = f"{len(found['sync_c_mesh'])}/{about['clips']}"
                lines.append([set, *name, judged, *_cells(grades[CONTROL], found, grade == CONTROL)])
    return markdown(heads, lines)


def _cells(control: Mapping[str, Mapping[str, float]], found: Mapping[str, Mapping[str, float]], of_control: bool) -> Iterator[str]:
    for quantity in QUANTITIES:
        clips = sorted(control[quantity].keys() & found[quantity].keys())
        before, after = (np.array([each[quantity][clip] for clip in clips]) for each in (control, found))
        digits = 0 if quantity == "sync_offset_mesh" else 2 if quantity == "sync_in_tolerance_mesh" else 3
        if not clips:
            yield "–"
        elif of_control:
            middle = np.median(after) if digits == 0 else after.mean()
            yield f"{middle:.{digits}f}"
        elif digits == 0:
            yield f"{np.median(after - before):+.0f}"
        else:
            error = np.std(after - before, ddof=1) / math.sqrt(len(clips)) if len(clips) > 1 else math.nan
            yield f"{np.mean(after - before):+.{digits}f} ± {error:.{digits}f}"


def curves(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """The figure of graded damage as SVG: thin lines are clips, thick ones the means of those judged at every grade."""
    from reports.plots.style import FONT, LIGHT, colour, label_x, label_y, new_figure, svg

    figure, axes = new_figure(11.5, 2.7, 1, len(_PANELS))
    for axis, (damage, quantity, below, beside) in zip(axes[0], _PANELS, strict=True):
        for index, (set, about) in enumerate(sets.items()):
            if damage not in about["scores"]:
                continue
            grades = about["scores"][damage]
            clips = sorted(frozenset.intersection(*(frozenset(found[quantity]) for found in grades.values())))
            lines = np.array([[found[quantity][clip] for found in grades.values()] for clip in clips])
            places = _places(list(grades))
            if quantity == "sync_offset_mesh":
                lines = lines - lines[:, :1]
            axis.plot(places, lines.T, color=colour(index), linewidth=0.6, alpha=0.45)
            middle = np.median(lines, axis=0) if quantity == "sync_offset_mesh" else lines.mean(axis=0)
            axis.plot(places, middle, "o-", color=colour(index), linewidth=1.8, markersize=4, label=f"{set} ({len(clips)})")
            axis.set_xticks(places, ["none" if damage == "sound_noise" and grade == CONTROL else grade for grade in grades])
        if quantity == "sync_offset_mesh":
            axis.plot(places, [-float(place) for place in places], color=LIGHT.soft, linewidth=0.8, linestyle=":")
        if quantity == "sync_c_mesh":
            axis.axhline(0, color=LIGHT.soft, linewidth=0.8)
        label_x(axis, below)
        label_y(axis, f"change of {beside}" if quantity == "sync_offset_mesh" else beside)
    axes[0, 0].legend(frameon=False, fontsize=FONT - 1, labelcolor=LIGHT.ink)
    return svg(figure, background="#fdfdfb")


def _places(grades: Sequence[str]) -> list[float]:
    """Where grades stand: at their own numbers, or one after the other where they fall (decibels)."""
    numbers = [float(grade) for grade in grades]
    return numbers if numbers == sorted(numbers) and len({*numbers}) == len(numbers) else [*map(float, range(len(grades)))]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--damage", action="append", default=[], metavar="NAME=RUN", help="a name and a validity run")
    arguments = parser.parse_args()
    from t2av_bench.gridface.validation.findings import filled
    from t2av_bench.utils.files import json_text, write_text

    if arguments.damage:
        given = (each.split("=", 1) for each in arguments.damage)
        write_text(DAMAGE, json_text({name: collected(Path(folder)) for name, folder in given}) + "\n")
    sets = json.loads(DAMAGE.read_text())
    write_text(CURVES, curves(sets))
    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), {"damage": table(sets)}))


if __name__ == "__main__":
    main()
