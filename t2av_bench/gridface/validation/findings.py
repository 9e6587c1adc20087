"""What the embedded runs say on the paper's claims: differences with intervals, a picture of them, and the tables of
``docs/findings.md``.

    python -m t2av_bench.gridface.validation.findings embedded-run

Writes ``reports/embedded/findings.csv`` and ``docs/findings.svg``, and the tables between the page's marks; its
sentences are written by hand and hold no measured number.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.tables import specification
from reports.tables.measured import Measured, over_all_clips, pool
from reports.tables.specification import ColumnSpecification
from t2av_bench.gridface.validation.report import table
from t2av_bench.results.run import RunResult, open_run
from t2av_bench.statistics.paired import paired_difference
from t2av_bench.statistics.permutation import holm
from t2av_bench.utils.files import write_text
from t2av_bench.utils.text import filled, p_text, signed

if TYPE_CHECKING:
    from pandas import DataFrame

DIFFERENCES = Path("reports/embedded/findings.csv")
PAGE = Path("docs/findings.md")
PICTURE = Path("docs/findings.svg")
LEVEL = 0.05
BETTER = ("better", "worse")
SEEDS = (0, 1, 2)
JOINT = ("wer_gridface", "cer_gridface", "dnsmos_ovrl", "fd_frame_gridface", "fd_clip_gridface", "sync_c_gridface",
         "sync_d_gridface")  # fmt: skip
CASCADES = {
    "cascaded": "Cascaded (Talker)",
    "cascaded-diffusion": "Cascaded (diffusion)",
    "cascaded-espeak": "Cascaded (espeak)",
}
ARRANGEMENTS = {
    "interleaved-av": "Interleaved (A-V)", "interleaved-va": "Interleaved (V-A)", "delay-1": "Delay-1",
    "delay-3": "Delay-3",
}  # fmt: skip
"""The experiment's rows and the names in the published table."""
TASKS = {"": JOINT, "-a2v": JOINT[3:], "-v2a": ("wer_gridface", "dnsmos_ovrl", *JOINT[5:])}
_LANGUAGES = {"en": "English", "zh": "Chinese"}


# --- measuring --------------------------------------------------------------------------------------------------------


def measure(run: Path) -> "DataFrame":
    """The differences in a finished run of ``gridface/experiment.toml``: a row for each claim, system, language,
    quantity and training seed (``all``: of each clip's mean over the seeds).

    first, second: set values of the claim's subject and of the other system; difference: first − second, with a 95 %
    interval (low, high) over the clips, and p of the paired test; p_holm: corrected over all contrasts of the claim.
    seeds_low, seeds_high: Welch's 95 % interval of the difference of both systems' means over training seeds.
    seeds_for: of all pairs of a seed of either system, those in which the first one is better.
    """
    import pandas as pd

    @cache
    def opened(name: str) -> RunResult:
        return open_run(run / "runs" / name)

    rows = []
    for claim, contrasts in (
        ("dual-branch", _dual_branch()), ("cascades", _cascades()), ("arrangements", _arrangements())
    ):  # fmt: skip
        found = [
            {"claim": claim, "system": system, "language": language, "seed": seed}
            | contrast([opened(name) for name in first], [opened(name) for name in second], quantity)
            for system, language, seed, first, second, quantities in contrasts for quantity in quantities
            if not (quantity.startswith("wer") and language == "zh" or quantity.startswith("cer") and language == "en")
        ]  # fmt: skip
        mine = [row for row in found if row["seed"] in ("all", "")]
        for row, p in zip(mine, holm([row["p"] for row in mine]), strict=True):
            row["p_holm"] = p
        rows += found
    return pd.DataFrame(rows).drop(columns="metric")


_Contrasts = Iterator[tuple[str, str, str, list[str], list[str], Sequence[str]]]


def _dual_branch() -> _Contrasts:
    for language in _LANGUAGES:
        for seed, chosen in (*((str(seed), [seed]) for seed in SEEDS), ("all", SEEDS)):
            ours, theirs = ([f"{system}-{language}-seed-{each}" for each in chosen]
                            for system in ("talker-t2av", "dual-branch"))  # fmt: skip
            yield "dual-branch", language, seed, ours, theirs, JOINT


def _cascades() -> _Contrasts:
    """Against the seed whose weights the cascades' stages have."""
    for language in _LANGUAGES:
        for system in CASCADES:
            yield system, language, "", [f"talker-t2av-{language}-seed-0"], [f"{system}-{language}"], JOINT


def _arrangements() -> _Contrasts:
    for task, quantities in TASKS.items():
        for name in ARRANGEMENTS:
            yield f"{name}{task}", "en", "", [f"{name}{task}"], [f"add{task}"], quantities


def contrast(first: Sequence[RunResult], second: Sequence[RunResult], quantity: str) -> dict[str, Any]:
    """One row of ``measure``; the runs are one system's training seeds each.

    Raises ValueError where the two were not measured alike on the same clips.
    """
    ours, theirs = _measured(first, quantity), _measured(second, quantity)
    column = ours.column
    if theirs.column.fingerprint != column.fingerprint or theirs.run.items.keys() != ours.run.items.keys():
        raise ValueError(f"{quantity} of {first[0].path} and {second[0].path} is not of the same protocol and clips")
    clips = sorted({*ours.scored} & {*theirs.scored})
    # Second minus first, as everywhere: the claim's subject is the second of them.
    found = paired_difference(theirs.sample(clips), ours.sample(clips), quantity, column.fingerprint, draws=10_000)
    row = {
        "metric": column.metric, "quantity": quantity, "first": found.second, "second": found.first,
        "difference": found.value, "low": found.interval and found.interval.low,
        "high": found.interval and found.interval.high, "p": found.p, "p_holm": None, "clips": found.clips,
        "speakers": found.units,
    }  # fmt: skip
    values = [[part.summary.score.value for part in each.singles] for each in (ours, theirs)]
    return row | _over_seeds(quantity, values[0], values[1])


def _measured(runs: Sequence[RunResult], quantity: str) -> Measured:
    found = pool([
        over_all_clips(run, next(column for column in run.columns if column.quantity.name == quantity)) for run in runs
    ])  # fmt: skip
    assert isinstance(found, Measured)
    return found


def _over_seeds(quantity: str, first: Sequence[Any], second: Sequence[Any]) -> dict[str, Any]:
    if len(first) < 2:
        return dict.fromkeys(("seeds_low", "seeds_high", "seeds_for"))
    from scipy import stats

    ends = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    sign = 1 if _column(quantity).direction == "higher" else -1
    better = sum(sign * (one - other) > 0 for one in first for other in second)
    return {"seeds_low": ends.low, "seeds_high": ends.high, "seeds_for": f"{better} of {len(first) * len(second)}"}


@cache
def _columns() -> dict[str, ColumnSpecification]:
    return {column.quantity: column for number in (4, 1)
            for column in specification.load(f"embedded:{number}").specification.columns}  # fmt: skip


def _column(quantity: str) -> ColumnSpecification:
    return _columns()[quantity]


# --- showing ----------------------------------------------------------------------------------------------------------


def tables(found: "DataFrame") -> dict[str, str]:
    """Name of a mark in the page -> its table in Markdown."""
    return {
        "sizes": _sizes(found),
        "published": _published_table(),
        "dual-branch": _dual_branch_table(found[(found.claim == "dual-branch") & (found.seed == "all")]),
        "cascades": _cascades_table(found[found.claim == "cascades"]),
        "arrangements": _arrangements_table(found[found.claim == "arrangements"]),
        "given": _given_table(found[found.claim == "arrangements"]),
    }


def _sizes(found: "DataFrame") -> str:
    said = []
    for section, (claim, trained) in enumerate(
        {"dual-branch": f"{len(SEEDS)} training seeds a side", "cascades": "one", "arrangements": "one"}.items(), 1
    ):
        rows = found[found.claim == claim].drop_duplicates(["language", "clips", "speakers"])
        sizes = (
            f"{row.clips} clips of {row.speakers} speakers ({_LANGUAGES[row.language]})" for row in rows.itertuples()
        )
        said.append(f"Section {section}: {', '.join(sizes)}; {trained}.")
    return f"*Sizes.* {' '.join(said)}"


def verdict(row: Any, words: Sequence[str] = ("for", "against")) -> str:
    """What the clips say: the first word where the corrected test finds the first system better, the second where it
    finds it worse, else ``open``."""
    if row.p_holm > LEVEL:
        return "open"
    return words[(row.difference > 0) != (_column(row.quantity).direction == "higher")]


def _label(quantity: str) -> str:
    return f"{_column(quantity).label} {'↑' if _column(quantity).direction == 'higher' else '↓'}"


def _number(value: float, quantity: str) -> str:
    return f"{value:.{_column(quantity).decimals}f}"


def _signed(row: Any, ends: tuple[str, str] = ("low", "high"), value: bool = True) -> str:
    decimals = _column(row.quantity).decimals
    low, high = (signed(getattr(row, end), decimals) for end in ends)
    return f"{signed(row.difference, decimals)} " * value + f"[{low}, {high}]"


def _dual_branch_table(found: "DataFrame") -> str:
    heads = ["", "quantity", "Talker-T2AV", "Dual-branch", "difference, over clips", "over seeds; pairs for",
             "the clips say"]  # fmt: skip
    return table(heads, (
        [_LANGUAGES[row.language], _label(row.quantity), _number(row.first, row.quantity),
         _number(row.second, row.quantity), _signed(row),
         f"{_signed(row, ('seeds_low', 'seeds_high'), value=False)}; {row.seeds_for}",
         f"{verdict(row)}, p {'' if row.p_holm < 0.001 else '= '}{p_text(row.p_holm)}"]
        for row in found.itertuples()
    ))  # fmt: skip


def _cells(rows: "DataFrame", quantities: Iterable[str], words: Sequence[str] = ("for", "against")) -> list[str]:
    by_name = {row.quantity: row for row in rows.itertuples()}
    return [f"{_signed(by_name[name])} {verdict(by_name[name], words)}" for name in quantities]


def _cascades_table(found: "DataFrame") -> str:
    shown = ("sync_c_gridface", "sync_d_gridface", "fd_clip_gridface")
    heads = ["", "Talker-T2AV less …", *map(_label, shown), "WER or CER ↓"]
    lines = []
    for language, name in _LANGUAGES.items():
        for system, label in CASCADES.items():
            rows = found[(found.language == language) & (found.system == system)]
            rate = "wer_gridface" if language == "en" else "cer_gridface"
            lines.append([name, label, *_cells(rows, (*shown, rate))])
    return table(heads, lines)


def _published(name: str) -> "DataFrame":
    """A table of the paper, with every digit as printed."""
    import pandas as pd

    return pd.read_csv(specification.PUBLISHED / name, dtype="string")


def _published_table() -> str:
    rows = _published("table1_t2av.csv").set_index("method")
    others = rows.drop(index="Talker-T2AV").drop(columns="family").astype(float)
    lines = []
    for name, best in (("wer", "min"), ("utmos", "max"), ("fid", "min"), ("fvd", "min"), ("sync_c", "max"),
                       ("sync_d", "min")):  # fmt: skip
        cells = []
        for language in _LANGUAGES:
            column = f"{language}_{'cer' if (name, language) == ('wer', 'zh') else name}"
            other = getattr(others[column], f"idx{best}")()
            cells += [rows.loc["Talker-T2AV", column], f"{rows.loc[other, column]} ({other})"]
        arrow = "↓" if best == "min" else "↑"
        shown = {"wer": "WER, CER", "sync_c": "Sync-C", "sync_d": "Sync-D"}.get(name, name.upper())
        lines.append([f"{shown} {arrow}", *cells])
    heads = [head for name in _LANGUAGES.values() for head in (f"{name}: Talker-T2AV", "best of the others")]
    return table(["published", *heads], lines)


def _arrangements_table(found: "DataFrame") -> str:
    """Joint generation: each arrangement less Add, as published and here."""
    rows = _published("table4_ablation_en.csv").query("task == 't2av'").set_index("arrangement")
    pairs = {"wer": ("wer_gridface", 3), "fvd": ("fd_clip_gridface", 2), "sync_c": ("sync_c_gridface", 3)}
    heads = ["less Add", "paper: WER ↓", "here: WER ↓", "paper: FVD ↓", "here: FD-clip ↓", "paper: Sync-C ↑",
             "here: Sync-C ↑"]  # fmt: skip
    lines = []
    for system, label in ARRANGEMENTS.items():
        here = _cells(found[found.system == system], [quantity for quantity, _ in pairs.values()], BETTER)
        paper = [signed(float(rows.loc[label, name]) - float(rows.loc["Add", name]), digits)
                 for name, (_, digits) in pairs.items()]  # fmt: skip
        lines.append([label, *(cell for pair in zip(paper, here, strict=True) for cell in pair)])
    return table(heads, lines)


def _given_table(found: "DataFrame") -> str:
    """With one modality given: each arrangement less Add. Add's published A2V is the system of Table 2."""
    rows = _published("table4_ablation_en.csv").query("task == 'a2v'").set_index("arrangement")
    add = float(_published("table2_a2v.csv").set_index("method").loc["Talker-T2AV", "en_sync_c"])
    heads = ["less Add", "paper: A2V Sync-C ↑", "here: A2V Sync-C ↑", "here: A2V FD-clip ↓", "here: V2A Sync-C ↑",
             "here: V2A WER ↓"]  # fmt: skip
    lines = []
    for system, label in ARRANGEMENTS.items():
        paper = signed(float(rows.loc[label, "sync_c"]) - add, 2) if label in rows.index else "–"
        cells = _cells(found[found.system == f"{system}-a2v"], ("sync_c_gridface", "fd_clip_gridface"), BETTER)
        cells += _cells(found[found.system == f"{system}-v2a"], ("sync_c_gridface", "wer_gridface"), BETTER)
        lines.append([label, paper, *cells])
    return table(heads, lines)


def draw(found: "DataFrame") -> str:
    """Claims 1 and 2 as SVG: a panel a quantity, how much better Talker-T2AV is, in the quantity's own unit."""
    from reports.plots.style import LIGHT, colour, label_x, legend, marker, name_rows, new_figure, svg, title

    rows = {("dual-branch", str(seed)): f"Dual-branch, seed {seed}" for seed in SEEDS}
    rows |= {("dual-branch", "all"): "Dual-branch, all seeds"}
    rows |= {(system, ""): label for system, label in CASCADES.items()}
    panels = [("wer_gridface", "cer_gridface"), *((name,) for name in JOINT[2:])]
    figure, axes = new_figure(9.6, 5.6, rows=2, columns=3, sharey=True)
    for axis, quantities in zip(axes.flat, panels, strict=True):
        axis.axvline(0, color=LIGHT.soft, linewidth=1)
        axis.axhline(len(SEEDS) + 0.5, color=LIGHT.line, linewidth=0.8)
        shown = found[found.quantity.isin(quantities) & (found.claim != "arrangements")]
        for row in shown.itertuples():
            sign = 1 if _column(row.quantity).direction == "higher" else -1
            place = [*_LANGUAGES].index(row.language)
            height, tint = [*rows].index((row.system, row.seed)) + (place - 0.5) * 0.3, colour(place)
            axis.plot([sign * row.low, sign * row.high], [height] * 2, color=tint, linewidth=1.3, zorder=2)
            clear = np.isfinite(row.p_holm) and row.p_holm <= LEVEL
            axis.plot([sign * row.difference], [height], marker(place), color=tint, markersize=4.5, zorder=3,
                      markerfacecolor=tint if clear else "none")  # fmt: skip
        name_rows(axis, list(rows.values()))
        title(axis, " or ".join(_column(name).label for name in quantities))
        label_x(axis, "← Talker-T2AV worse · better →")
    legend(figure, [
        axes[0, 0].plot([], [], marker(place), color=colour(place), markersize=5, label=name)[0]
        for place, name in enumerate(_LANGUAGES.values())
    ])  # fmt: skip
    return svg(figure, background="white")


def read(file: Path = DIFFERENCES) -> "DataFrame":
    """The differences as ``main`` wrote them."""
    import pandas as pd

    found = pd.read_csv(file, dtype={"seed": "string"}, keep_default_na=True)
    return found.assign(seed=found.seed.fillna(""))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of the finished run")
    write_text(DIFFERENCES, measure(parser.parse_args().run).to_csv(index=False, float_format="%.6g"))
    found = read()
    write_text(PICTURE, draw(found))
    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), tables(found)))


if __name__ == "__main__":
    main()
