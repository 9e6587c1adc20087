"""``t2av-bench data``: build the benchmarks that are made on the spot, and say what they are and what is on disk."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from t2av_bench.cli.errors import FAILED, usage_errors
from t2av_bench.utils.terminal_text import echo

if TYPE_CHECKING:
    from t2av_bench.gridface.data.digests import Finding

data_app = typer.Typer(name="data", help="Build benchmark data, and list what there is.", no_args_is_help=True)


_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@data_app.command("build")
def build(
    benchmark: Annotated[Literal["embedded"], typer.Argument(help="The benchmark; 'embedded' is GridFace.",
                                                             show_default=False)],
    split: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A split ('data list' shows them). Repeatable."
                                                    "  [default: the test sets]", show_default=False)] = None,
    items: Annotated[int | None, typer.Option(metavar="N", help="Only the first N items of every split.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder to build in.  [default: T2AV_BENCH_DATA, or "
                                             "the user's cache]", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; changes no byte.  [default: cores]",
                                                show_default=False)] = None,
    size: Annotated[int, typer.Option(help="Width and height of the pictures: 128 or 256.")] = 128,
    verify: Annotated[bool, typer.Option("--verify", help="Compare with the recorded digests; exit status 1 where "
                                         "they differ and should not.")] = False,
    record: Annotated[Path | None, typer.Option(metavar="FILE", help="Record the digests in this TOML file (for "
                                                "maintainers, with a new version).", show_default=False)] = None,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Make the clips of a benchmark: manifest, references, voices and portraits of each split.

    The same command continues an interrupted build, makes damaged items again, and is quick where all is there.
    Prints the manifests, for 'evaluate --manifest'.
    """
    from t2av_bench.cli.output import phase
    from t2av_bench.cli.progress import Display
    from t2av_bench.gridface.data import digests
    from t2av_bench.gridface.data.build import build as build_embedded
    from t2av_bench.gridface.data.build import default_folder
    from t2av_bench.gridface.data.corpus import SPLITS, TEST_SPLITS

    splits = tuple(dict.fromkeys(split or TEST_SPLITS))
    started = time.monotonic()
    findings: list[Finding] = []
    finished: list[int] = []  # what was there, then after each item
    with usage_errors():
        with Display() as display:
            show = phase(display, "building", "items")

            def progress(done: int, total: int, id: str) -> None:
                finished.append(done)
                show(done, total, id)

            manifests = build_embedded(out, splits, items, workers, progress, size=size)
        folder = out if out is not None else default_folder(size)
        counts = {name: items or SPLITS[name] for name in splits}
        if verify:
            findings = [found for name, count in counts.items() for found in digests.verify(folder, name, count, size)]
        if record is not None:
            digests.write([
                digests.measure(folder, name, number, size)
                for name, count in counts.items() for number in {min(count, digests.SUBSET), count}
            ], record)  # fmt: skip
    made = finished[-1] - finished[0]
    took = f"{made} items made in {time.monotonic() - started:.0f} s, " if made else ""
    echo(f"{took}{finished[0]} were there", err=True)
    if as_json:
        shown = {"manifests": {name: str(path) for name, path in manifests.items()}, "made": made}
        if verify:
            shown["digests"] = [
                {"split": found.split, "items": found.count, "layer": found.layer, "state": found.state,
                 "reason": found.reason} for found in findings
            ]  # fmt: skip
        echo(json.dumps(shown, indent=1))
    else:
        for path in manifests.values():
            echo(path)
        for line in _lines(findings):
            echo(line, err=True)
    if any(found.state is digests.State.DIFFERENT for found in findings):
        raise typer.Exit(FAILED)


@data_app.command("list")
def list_(
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Look here instead of the default folder.",
                                             show_default=False)] = None,
    size: Annotated[int, typer.Option(help="Width and height of the pictures: 128 or 256.")] = 128,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """List the splits: items, persons, voices, and how many items are finished on disk."""
    from t2av_bench.gridface.data import corpus
    from t2av_bench.gridface.data.build import default_folder, on_disk, plan

    with usage_errors():
        planned = plan(tuple(corpus.SPLITS), None, size)
    folder = out if out is not None else default_folder(size)
    rows: list[dict[str, Any]] = []
    for split, found in planned.items():
        finished, size_in_bytes = on_disk(folder, split, size)
        rows.append({
            "split": split, "items": len(found), "languages": sorted({utterance.language for utterance in found}),
            "identities": len({utterance.identity for utterance in found}),
            "speakers": len({utterance.speaker for utterance in found}),
            "voices": sorted({utterance.voice for utterance in found}),
            "finished": finished, "bytes": size_in_bytes,
        })  # fmt: skip
    if as_json:
        facts = {"benchmark": corpus.NAME, "version": corpus.VERSION, "size": size, "frame_rate": corpus.FRAME_RATE,
                 "audio_rate": corpus.AUDIO_RATE, "folder": str(folder), "splits": rows}  # fmt: skip
        echo(json.dumps(facts, indent=1))
        return
    echo(
        f"embedded: GridFace version {corpus.VERSION}, {size}x{size} pixels, {corpus.FRAME_RATE} frames/s, "
        f"{corpus.AUDIO_RATE} Hz\nin {folder}\n"
    )
    echo(f"{'split':<9}{'items':>6}{'persons':>9}{'speakers':>10}  {'finished':<18}voices")
    for row in rows:
        state = f"{row['finished']} ({row['bytes'] / 1e6:.0f} MB)" if row["finished"] else "-"
        echo(
            f"{row['split']:<9}{row['items']:>6}{row['identities']:>9}{row['speakers']:>10}  {state:<18}"
            f"{' '.join(row['voices'])}"
        )


def _lines(findings: "list[Finding]") -> list[str]:
    """What was compared, a line for each set of items, and a line for each layer that is not the same."""
    lines = []
    for split, count in dict.fromkeys((found.split, found.count) for found in findings):
        of = [found for found in findings if (found.split, found.count) == (split, count)]
        same = [found.layer for found in of if found.state == "same"]
        lines.append(f"{split}, {count} items: same {', '.join(same) or 'nothing'}")
        lines += [f"  {found.layer} {found.state}: {found.reason}" for found in of if found.state != "same"]
    return lines
