"""``docs/speed.md``, and what README.md says of speed, from ``bench/results.json`` and ``bench/profiled.json``.

A test keeps both what ``python bench/speed_page.py`` makes of those files.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from measuring import ROOT, number, table
from suite import KEPT, STEPS

from t2av_bench.utils.files import write_text
from t2av_bench.utils.text import filled

PAGE, README = ROOT / "docs" / "speed.md", ROOT / "README.md"
PROFILED = ROOT / "bench" / "profiled.json"
MARK = "speed: made by bench/speed_page.py"
NEAR = 1.3
"""The aim of every network: seconds over those that its operations take at least."""
EXACT, FASTER = 1.5, 5.0
"""The aims of a whole table against the tools in turn: by exact protocols, and with options."""
AGAIN, EFFICIENCY, LINEAR, WHOLE = 100, 0.9, 1.1, 10_000
"""Of re-scoring against computing again, of workers against one, and of time as a power of so many items."""

TOOLS = {
    "sync/exact": "syncnet-python's pipeline",
    "fid/legacy_pytorch": "OpenCV, PNG files, clean-fid",
    "fvd/styleganv": "OpenCV, the network as StyleGAN-V calls it",
    "wer/whisper-base": "ffmpeg, transformers' pipeline, jiwer",
    "utmos/strong-v1": "librosa, the network as SpeechMOS calls it",
    "dnsmos/p835": "speechmos",
}
OF_SETS = {"fid/legacy_pytorch": "clean-fid", "fvd/styleganv": "SciPy's matrix root, as StyleGAN-V"}
Steps = Mapping[str, Mapping[str, Any]]


def times(value: float) -> str:
    """A ratio, with two decimals below 10."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def verdict(value: float, aim: float, least: bool = True) -> str:
    return "met" if (value >= aim if least else value <= aim) else "missed"


def totals(facts: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of the whole table by way, without the distances of the sets, which are computed once."""
    return {way: sum(found.values()) for way, found in facts["seconds"].items()}


def metrics(facts: Mapping[str, Any]) -> str:
    best, ways = facts["seconds"], totals(facts)
    rows = []
    for name in (name for name in TOOLS if name in best["ours"]):
        mine, theirs, faster = (best.get(way, {}).get(name) for way in ("ours", "tools", "faster"))
        rows.append((
            f"`{name}`", TOOLS[name], number(theirs), number(mine), times(theirs / mine), number(faster),
            times(theirs / faster) if faster else "–",
        ))  # fmt: skip
    faster = ways.get("faster")
    rows.append((
        "**all**", "in turn", number(ways["tools"]), number(ways["ours"]),
        f"**{times(ways['tools'] / ways['ours'])}**", number(faster),
        f"**{times(ways['tools'] / faster)}**" if faster else "–",
    ))  # fmt: skip
    made = table(("metric", "tool", "tool s", "ours s", "tool / ours", "with options s", "tool / with options"), rows)
    theirs, mine = facts["sets"]["tools"], facts["sets"]["ours"]
    return made + "\nThe Fréchet distance of 200 clips, once for a row:\n\n" + table(
        ("metric", "tool", "tool s", "ours s", "tool / ours"),
        [(f"`{name}`", OF_SETS[name], number(theirs[name]), number(mine[name]), times(theirs[name] / mine[name]))
         for name in mine],
    )  # fmt: skip


def networks(facts: Mapping[str, Any]) -> str:
    rows = [
        (each["network"], each["unit"], each["dtype"], number(each["operations"]), number(each["seconds"]),
         number(each["floor_s"]), times(each["ratio"]), verdict(each["ratio"], NEAR, least=False))
        for each in facts["networks"] if "reason" not in each
    ]  # fmt: skip
    lacking = "".join(f"\n- {each['network']}: {each['reason']}" for each in facts["networks"] if "reason" in each)
    made = table(("network", "a pass", "dtype", "10⁹ operations", "seconds", "floor", "ratio", f"≤ {NEAR}"), rows)
    return made + (f"\nNot measured:\n{lacking}\n" if lacking else "")


def aims(steps: Steps) -> list[tuple[str, str, str, str]]:
    """What was aimed at, where it stands, the verdict, and of which step it is."""
    rows = []
    if facts := result(steps, "table1_speed"):
        ways = totals(facts)
        share = ways["tools"] / ways["ours"]
        rows.append(("Table 1 by exact protocols, tools in turn over ours", f"≥ {EXACT}", times(share),
                     verdict(share, EXACT)))  # fmt: skip
        if "faster" in ways:
            share = ways["tools"] / ways["faster"]
            rows.append(("Table 1 with `detect_every=5` and `dtype=bfloat16`", f"≥ {FASTER:g}", times(share),
                         verdict(share, FASTER)))  # fmt: skip
        for dtype in ("float32", "bfloat16"):
            ratios = [each["ratio"] for each in facts["networks"] if each.get("dtype") == dtype]
            if ratios:
                near = sum(ratio <= NEAR for ratio in ratios)
                rows.append((f"networks in {dtype} within {NEAR} of their floor", f"{len(ratios)} of {len(ratios)}",
                             f"{near} of {len(ratios)}", verdict(near, len(ratios))))  # fmt: skip
    if facts := result(steps, "rescoring"):
        least = min((row for row in facts["rows"] if row["ratio"] is not None), key=lambda row: row["ratio"])
        rows.append((f"re-scoring of {least['clips']} clips against computing again, the slowest command "
                     f"(`{least['command']}`)", f"≥ {AGAIN}", times(least["ratio"]),
                     verdict(least["ratio"], AGAIN)))  # fmt: skip
    if facts := result(steps, "ray_speed"):
        most = max((row for row in facts["rows"] if row["efficiency"] is not None and row["workers"] <= facts["cores"]),
                   key=lambda row: row["workers"])  # fmt: skip
        rows.append((f"efficiency of {most['workers']} workers on Ray", f"≥ {EFFICIENCY}", times(most["efficiency"]),
                     verdict(most["efficiency"], EFFICIENCY)))  # fmt: skip
    if facts := result(steps, "growth"):
        steepest = max((row for row in facts["rows"] if row["growth"] is not None), key=lambda row: row["growth"])
        largest = max(row["size"] for row in facts["rows"])
        told = verdict(steepest["growth"], LINEAR, least=False)
        if largest < WHOLE:  # start-up weighs too much in smaller ones
            told = f"open below {WHOLE:,} items: `python bench/suite.py --only growth --long`"
        rows.append((f"exponent of growth up to {largest:,} items, the steepest (`{steepest['command']}`)",
                     f"≤ {LINEAR}", times(steepest["growth"]), told))  # fmt: skip
    return rows


def result(steps: Steps, name: str) -> Mapping[str, Any] | None:
    """What a step measured, where it went through."""
    step = steps.get(name, {})
    return step.get("result") if step.get("status") == "ok" else None


def rows_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of a step as they are: a column for every key that has values."""
    keys = [key for key in rows[0] if any(row.get(key) is not None for row in rows)]

    def cell(value: Any) -> str:
        if value is None:
            return "–"
        if not isinstance(value, float):
            return str(value)
        return f"{value:.0f}" if abs(value) >= 100 else number(value)

    return table(keys, [[cell(row.get(key)) for key in keys] for row in rows])


def sync(facts: Mapping[str, Any]) -> str:
    theirs, mine = facts["seconds"]["syncnet-python"], facts["seconds"]["t2av-bench"]
    made = table(
        ("part", "syncnet-python s", "ours s", "ratio"),
        [(part, number(theirs[part]), number(mine[part]), times(facts["ratios"][part])) for part in mine],
    )
    return f"One clip of {facts['frames']} frames, {facts['clock']} seconds.\n\n{made}"


def mesh(facts: Mapping[str, Any]) -> str:
    seconds = facts["processor_seconds"]
    return (
        f"`sync/exact` {number(seconds['sync/exact'])} s, `sync/mesh` {number(seconds['sync/mesh'])} s for a clip of "
        f"{facts['frames']} frames: **{times(facts['ratio'])}** times cheaper, with columns of its own.\n"
    )


TITLES = {
    "table1_speed": "Table 1 against the official tools",
    "sync_speed": "Lip sync by part",
    "sync_mesh_speed": "`sync/mesh` beside `sync/exact`",
    "rescoring": "Computing again, and not",
    "growth": "How cost grows",
    "generation_speed": "Generation",
    "ray_speed": "Ray on one machine",
}
TABLE1 = """\
Processor seconds of {clips} clips of {frames} frames of 512x512 with as many references: drawn faces that speak. `tool`
is each official tool with a decoding of its own, as one would run them one after another; `ours` is the worker code of
`evaluate`, which decodes a file once for all metrics (what a metric is first to decode counts for it); `with options`
is ours with `detect_every=5` and `dtype=bfloat16`, which are [protocols of their own](faster.md). All on one core, so
that a tool's threads gain nothing; networks are loaded before. Weights are the same on both sides, random ones of the
published sizes but for Whisper base and DNSMOS. UTMOS' package brings fairseq: on its side stands the same module as on
ours. Where both sides run the same network (FVD, UTMOS, DNSMOS) there is little to gain but its layout in memory.
DNSMOS repeats a sound until a window of 9 s is full and hears a window for every second of that: short clips cost most.

"""
FLOORS = """
**Networks and their floors.** What the machine reached, on the core and in the run that measured the networks:

{rates}
`floor` is what a network's counted operations take at these rates (a decoder's: its weights' bytes); `seconds` the
fastest pass as the metric makes it. Convolutions count at the best convolution's rate and everything else nothing, so 1
is out of reach: normalisations, rectifiers, pooling and thin first layers are bound by memory.

"""


def table1(facts: Mapping[str, Any]) -> str:
    text = TABLE1.format(clips=facts["clips"], frames=facts["frames"])
    rates = table(
        ("dtype", "matrix product, 10⁹ operations/s", "best convolution", "sum, 10⁹ bytes/s"),
        [(dtype, *(f"{rate[key]:.0f}" for key in ("matmul", "convolution", "bytes")))
         for dtype, rate in facts["rates"].items()],
    )  # fmt: skip
    made = text + metrics(facts) + FLOORS.format(rates=rates) + networks(facts)
    return made + (f"\nNot measured: {'; '.join(facts['not_measured'])}.\n" if facts["not_measured"] else "")


SHOWN = {"table1_speed": table1, "sync_speed": sync, "sync_mesh_speed": mesh}
"""How a step is shown whose results are no rows."""


def section(name: str, step: Mapping[str, Any]) -> str:
    parts = [f"## {TITLES[name]}\n"]
    facts = step.get("result")
    if step["status"] != "ok":
        said = step.get("said", "").strip().splitlines()
        parts.append(f"Not finished: {step['status']}{': ' + said[-1] if said else ''}.\n")
        if facts and facts.get("rows"):
            parts.append("What was measured by then:\n\n" + rows_table(facts["rows"]))
    else:
        parts.append(SHOWN[name](facts) if name in SHOWN else rows_table(facts["rows"]))
    where = "" if "machine" not in step else f"; on {described(step['machine'])}"
    parts.append(
        f"`{step['command']}`: {step['date']}, revision {str(step['revision'])[:12]}, load {step['load']:g} before"
        f"{where}.\n"
    )
    return "\n".join(parts)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def described(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items() if version)
    return (
        f"{machine['processor']} ({machine['instructions']}), {machine['cores']} cores, {machine['memory_gib']:g} GiB, "
        f"{machine['system']}, Python {machine['python']}; {versions}"
    )


HEAD = """\
# Speed

Written by `python bench/speed_page.py` from `bench/results.json`, which `make bench` writes; a test keeps it so.

Every figure is a ratio of runs in one process, or seconds on one machine; the same command on another makes another
file: `make bench`, or `python bench/suite.py --only STEP` for one step. Where there is no figure, the reason stands in
its place. `load` counts the programs that wanted a core before the step began, also where it was then given the cores.

{machine}

"""


def page(kept: Mapping[str, Any]) -> str:
    """The documentation page of what was measured."""
    steps, machine = kept["steps"], kept["machine"]
    parts = [HEAD.format(machine=_wrapped(f"The machine: {described(machine)}."))]
    if rows := aims(steps):
        parts.append("## Aims\n\n" + table(("aim", "wanted", "measured", ""), rows))
    for step in STEPS:
        parts.append(section(step.name, steps[step.name]) if step.name in steps else (
            f"## {TITLES[step.name]}\n\nNot measured yet: `python bench/suite.py --only {step.name}`.\n"
        ))  # fmt: skip
    parts.append(profiled(json.loads(PROFILED.read_text(encoding="utf-8"))))
    return "\n".join(parts).replace("\n\n\n", "\n\n")


def profiled(found: Mapping[str, Any]) -> str:
    """The section on the costliest places of two commands, before and after they were mended."""

    def seconds(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.3g}"

    whole = [(f"`{each['command']}`", *(seconds(mean(each[when])) for when in ("before", "after")), each["same"])
             for each in found["whole"]]  # fmt: skip
    places = [(each["command"], each["name"], seconds(each["before"]), seconds(each["after"]), each["done"])
              for each in found["places"]]  # fmt: skip
    left = [(each["command"], each["name"], seconds(each["seconds"]), each["of"]) for each in found["left"]]
    return "\n".join((
        "## What profiling found\n",
        _wrapped(f"In {found['unit']}. Whole commands, means of runs: {found['whole_between']}.") + "\n",
        table(("command", "before s", "after s", "the same"), whole),
        "The costliest places outside the networks' own passes:\n",
        table(("command", "place", "before s", "after s", "done"), places),
        "Found, and left:\n",
        table(("command", "place", "s", "of"), left),
    ))  # fmt: skip


def block(kept: Mapping[str, Any]) -> str:
    """What README.md says of speed, between its marks."""
    steps, rows = kept["steps"], []
    if facts := result(steps, "table1_speed"):
        ways = totals(facts)
        rows.append(("Table 1's metrics of a clip", "the official tools in turn", times(ways["tools"] / ways["ours"])))
        if "faster" in ways:
            rows.append(("the same with [options at a price](docs/faster.md)", "the same",
                         times(ways["tools"] / ways["faster"])))  # fmt: skip
    if facts := result(steps, "sync_speed"):
        rows.append(("SyncNet scoring, file to number", "syncnet-python's pipeline", times(facts["ratios"]["total"])))
    if facts := result(steps, "sync_mesh_speed"):
        rows.append(("`sync/mesh`", "`sync/exact`", times(facts["ratio"])))
    if facts := result(steps, "generation_speed"):
        rows += _generation(facts["rows"])
    made = table(("what", "against", "times as fast"), rows)
    missed = [row[0] for row in aims(steps) if row[3] == "missed"]
    told = f"Aims that are missed: {'; '.join(missed)}. " if missed else "All aims are met. "
    return f"{made}\n{told}[By how much, and all figures](docs/speed.md); `make bench` measures them here."


def _generation(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """The fastest way of the largest batch of each precision, item for item, by processor seconds."""
    found = []
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        some = [row for row in rows if row["dtype"] == dtype]
        page_of = next(row for row in some if row["variant"] == "page")
        others = [row for row in some if row["variant"] != "page"]
        most = max(others, key=lambda row: (row["batch"], -row["cpu_s"]), default=None)
        if most:
            found.append((f"the reference model, {most['batch']} items at once, {dtype}", "its loop on a page",
                          times(page_of["cpu_s"] * most["batch"] / most["cpu_s"])))  # fmt: skip
    return found


def main() -> None:
    kept = json.loads(KEPT.read_text())
    write_text(PAGE, page(kept))
    write_text(README, filled(README.read_text(encoding="utf-8"), {MARK: block(kept)}))


if __name__ == "__main__":
    main()
