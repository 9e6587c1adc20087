"""``t2av-bench data``: build the benchmark that is made on the spot, prepare others from data, say what they are."""

import json
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from t2av_bench.cli.errors import FAILED, usage_errors
from t2av_bench.cli.options import Address, Device, Engine, Memory, Ship, Timeout, Workers
from t2av_bench.utils.terminal_text import echo

if TYPE_CHECKING:
    from t2av_bench.gridface.data.digests import Finding

data_app = typer.Typer(name="data", help="Build and prepare benchmarks, and list what there is.", no_args_is_help=True)


_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@data_app.command("build")
def build(
    benchmark: Annotated[Literal["embedded"], typer.Argument(help="The benchmark; 'embedded' is GridFace.",
                                                             show_default=False)],
    split: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A split ('data show gridface'). Repeatable."
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


_Home = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Its folder.  [default: NAME below "
                                            "T2AV_BENCH_DATA, or the user's cache]", show_default=False)]  # fmt: skip


@data_app.command("list")
def list_(as_json: _Json = False) -> None:
    """List the benchmarks: those that are made on the spot, and those that are prepared from data that you have."""
    from t2av_bench.benchmarks.prepared import PreparedBenchmark, data_folder
    from t2av_bench.benchmarks.registry import benchmark, benchmark_ids

    rows: list[dict[str, Any]] = []
    for id in benchmark_ids():
        row: dict[str, Any] = {"id": id, "state": "made on the spot", "languages": [], "licence": None}
        try:
            found = benchmark(id)
            row["splits"] = dict(found.splits)
            if isinstance(found, PreparedBenchmark):
                info = found.info()
                row |= {"languages": list(info.languages), "licence": info.licence.id,
                        "state": "prepared" if info.prepared else "to be prepared"}  # fmt: skip
        except ValueError as error:  # a broken plug-in, or a damaged benchmark.toml
            row |= {"splits": {}, "state": f"broken: {error}"}
        rows.append(row)
    if as_json:
        echo(json.dumps({"folder": str(data_folder()), "benchmarks": rows}, indent=1))
        return
    echo(f"in {data_folder()}; 'data show NAME' says more of one\n")
    width = max(len(row["id"]) for row in rows) + 2
    echo(f"{'benchmark':<{width}}{'items':>6}  {'languages':<11}{'licence':<17}state")
    for row in rows:
        items = sum(row["splits"].values())
        first, more = row["languages"][:3], len(row["languages"]) - 3
        languages = " ".join(first if more <= 0 else [*first[:2], f"+{more + 1}"]) or "-"
        echo(f"{row['id']:<{width}}{items:>6}  {languages:<11}{row['licence'] or '-':<17}{row['state']}")


@data_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A benchmark ('data list').", show_default=False)],
    out: _Home = None,
    size: Annotated[int, typer.Option(help="Of GridFace: width and height of the pictures, 128 or 256.")] = 128,
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Say what a benchmark is, who may use it, how to get its data, and whose decisions are in it.

    Of GridFace: its splits with their persons and voices, and how many items are finished on disk.
    """
    from t2av_bench.benchmarks.info import INFO, BenchmarkInfo, read_info
    from t2av_bench.benchmarks.prepared import PreparedBenchmark
    from t2av_bench.benchmarks.registry import GRIDFACE, benchmark

    with usage_errors():
        found = benchmark(name)
        if found.id == GRIDFACE:
            _show_gridface(out, size, as_json)
            return
        if not isinstance(found, PreparedBenchmark):
            echo(json.dumps({"id": found.id, "splits": dict(found.splits)}, indent=1))
            return
        info: BenchmarkInfo = read_info(out) if out is not None and (out / INFO).is_file() else found.info()
    if as_json:
        echo(info.model_dump_json(indent=1))
        return
    licence = info.licence
    splits = ", ".join(f"{split} {count}" for split, count in info.splits.items())
    echo(f"{info.name}: {info.title}, version {info.version}; {splits} items; {' '.join(info.languages)}; for "
         f"{' '.join(info.tasks)}")  # fmt: skip
    figures = "" if licence.figures_max is None else f"; {licence.figures_max} pictures a publication at most"
    may = "may" if licence.redistribute else "must not"
    echo(f"\nlicence: {licence.id}, {licence.terms}; prepared files {may} be handed on{figures}")
    echo(f"consent: {licence.consent}")
    for note in licence.notes:
        echo(f"  {note}")
    echo(f"get it: {info.get}")
    for heading, decisions in (("the paper fixed", info.paper), ("we decided", info.ours)):
        if decisions:
            echo(f"\n{heading}:")
            for key, text in decisions.items():
                echo(f"  {key}: {text}")
    if info.prepared is None:
        from t2av_bench.preparation.benchmarks.recipe import registry

        if info.name in registry:
            sources = " ".join(f"--source {key}=FOLDER" for key in registry.class_of(info.name).sources)
            echo(f"\nto be prepared: t2av-bench data prepare {info.name} {sources}")
    else:
        made = info.prepared
        heard = f"; texts heard by {' and '.join(made.recognisers)}" if made.recognisers else ""
        echo(f"\nprepared by recipe {made.recipe} {made.version}: {made.left_out} clips left out, {made.missing} items "
             f"missing{heard}")  # fmt: skip


@data_app.command("prepare")
def prepare(
    name: Annotated[str, typer.Argument(help="A benchmark ('data list').", show_default=False)],
    source: Annotated[list[str], typer.Option(metavar="[NAME=]FOLDER", help="Where its data are ('data show NAME'); "
                                              "once for each of several sources.", show_default=False)],
    out: _Home = None,
    follow: Annotated[Path | None, typer.Option("--list", metavar="FILE", help="Make the items of a published list "
        "(NAME.list.json), in place of a draw.", show_default=False)] = None,
    exclude: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="Ids that are no items, one a line, or a "
        "table such as Talker-T2AV-Data's metadata/train.csv. Repeatable.", show_default=False)] = None,
    withdrawn: Annotated[Path | None, typer.Option(metavar="FILE", help="Ids whose consent was taken back, one a "
                                                   "line.", show_default=False)] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the recipe (docs/benchmarks.md). "
                                                     "Repeatable.", show_default=False)] = None,
    recogniser: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Two that must agree on the words: "
        "qwen3-asr-1.7b, whisper-large-v3, whisper-base; the first one's writing counts.  [default: the first two]",
        show_default=False)] = None,
    detector: Annotated[str, typer.Option(help="What finds faces: s3fd (licensed weights), blazeface (Apache-2.0, "
                                          "confirmed by a face mesh) or haar.")] = "s3fd",
    device: Device = "cpu",
    workers: Workers = None,
    timeout: Timeout = 1800.0,
    memory: Memory = None,
    engine: Engine = "local",
    address: Address = None,
    ship: Ship = False,
) -> None:  # fmt: skip
    """Make a benchmark from data that you have: nothing is downloaded, and the data stay as they are.

    The same command continues. prepare.jsonl says of every clip which items it became, or why none; NAME.list.json is
    what may be published. Prints the folder.

    Exit status: 0 all items are there; 1 some are missing or differ from the list; 2 the command cannot be carried out.
    """
    from t2av_bench.benchmarks.prepared import data_folder
    from t2av_bench.cli.output import show_left_out
    from t2av_bench.cli.progress import Display
    from t2av_bench.preparation.benchmarks.prepare import prepare as make
    from t2av_bench.preparation.benchmarks.recipe import folders_of, registry
    from t2av_bench.preparation.benchmarks.text import DEFAULT
    from t2av_bench.utils.registry import stdout_to_stderr

    display = Display()
    with usage_errors():
        recipe = registry.create(name, **_options(option or []))
        folders = folders_of(recipe, source)
        with display, stdout_to_stderr():
            made = make(
                recipe, folders, out or data_folder() / recipe.id, exclude=exclude or (), withdrawn=withdrawn,
                follow=follow, recognisers=recogniser or DEFAULT, detector=detector, device=device, workers=workers,
                timeout=timeout, memory=memory, engine=engine, address=address, ship=ship, on_step=display.step,
                notice=display.notice,
            )  # fmt: skip
    echo(made.folder)
    show_left_out(display.console, made.left_out)
    show_left_out(display.console, [*made.missing.items()], "missing")
    show_left_out(
        display.console, [(id, f"its {what} is not that of the list") for id, what in made.differing], "differs"
    )
    items = ", ".join(f"{split} {count}" for split, count in made.splits.items())
    display.note(f"items: {items}; {len(made.left_out)} clips became none: reasons in {made.folder / 'prepare.jsonl'}")
    raise typer.Exit(FAILED if made.missing or made.differing else 0)


def _options(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--option {text!r}: expected KEY=VALUE")
        found[key.replace("-", "_")] = value
    return found


@data_app.command("verify")
def verify(
    name: Annotated[
        str, typer.Argument(help="A prepared benchmark ('data list'), or the folder of one.", show_default=False)
    ],
    out: _Home = None,
) -> None:
    """Compare a prepared benchmark's files with the digests that were recorded; exit status 1 where they differ."""
    from t2av_bench.benchmarks.info import INFO
    from t2av_bench.benchmarks.prepared import PreparedBenchmark
    from t2av_bench.benchmarks.prepared import verify as compare
    from t2av_bench.benchmarks.registry import benchmark

    with usage_errors():
        if out is None and (Path(name) / INFO).is_file():
            folder = Path(name)
        else:
            found = benchmark(name)
            if not isinstance(found, PreparedBenchmark):
                raise ValueError(
                    f"{found.id} is not prepared from data; GridFace: t2av-bench data build embedded --verify"
                )
            folder = out or found.folder()
        wrong = compare(folder)
    for line in wrong:
        echo(line)
    echo(f"{folder}: {'all files are as they were prepared' if not wrong else f'{len(wrong)} files differ'}", err=True)
    raise typer.Exit(FAILED if wrong else 0)


def _show_gridface(out: Path | None, size: int, as_json: bool) -> None:
    """Its splits: items, persons, voices, and how many items are finished on disk."""
    from t2av_bench.gridface.data import corpus
    from t2av_bench.gridface.data.build import default_folder, on_disk, plan

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


@data_app.command("freeze")
def freeze(
    run: Annotated[Path, typer.Argument(help="Run folder made by 'evaluate' or 'run'.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the regression set.", show_default=False)],
    items: Annotated[int | None, typer.Option(min=1, metavar="N", help="Draw so many items.  [default: all]")] = None,
    ids: Annotated[Path | None, typer.Option(metavar="FILE", help="Only these items: an id a line.")] = None,
    media: Annotated[Literal["copy", "link"], typer.Option(help="Copy the items' files, or give them a second name "
                                                           "where the file system can.")] = "copy",
    as_json: _Json = False,
) -> None:  # fmt: skip
    """Make a small benchmark of a run's items, with its scores as the baseline: what 'regress' tests checkpoints on.

    Exit status: 1 where an item could not be taken; the others are.
    """
    from t2av_bench.cli.output import phase
    from t2av_bench.cli.progress import Display
    from t2av_bench.comparison.freezing import freeze
    from t2av_bench.results.run import open_run

    with usage_errors():
        wanted = None
        if ids is not None:
            wanted = [line.strip() for line in ids.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        with Display() as display:
            found = freeze(open_run(run), out, items=items, ids=wanted, media=media,
                           on_item=phase(display, "freezing", "items"))  # fmt: skip
    if as_json:
        echo(json.dumps({
            "folder": str(out), "manifest": str(found.manifest), "config": str(found.config),
            "baseline": str(found.baseline), "items": list(found.items), "left_out": dict(found.left_out),
            "notes": list(found.notes),
        }, indent=1, ensure_ascii=False))  # fmt: skip
    else:
        echo(f"{len(found.items)} items in {found.manifest}, their scores in {found.baseline}. A candidate:")
        echo(f"  {shlex.join(['t2av-bench', 'evaluate', 'CLIPS', '--config', str(found.config), '--out', 'RUN'])}")
        echo(f"  {shlex.join(['t2av-bench', 'regress', str(out), 'RUN'])}")
    for note in found.notes:
        echo(f"note: {note}", err=True)
    for id, reason in found.left_out.items():
        echo(f"left out: {id}: {reason}", err=True)
    if found.left_out:
        raise typer.Exit(FAILED)


def _lines(findings: "list[Finding]") -> list[str]:
    """What was compared, a line for each set of items, and a line for each layer that is not the same."""
    lines = []
    for split, count in dict.fromkeys((found.split, found.count) for found in findings):
        of = [found for found in findings if (found.split, found.count) == (split, count)]
        same = [found.layer for found in of if found.state == "same"]
        lines.append(f"{split}, {count} items: same {', '.join(same) or 'nothing'}")
        lines += [f"  {found.layer} {found.state}: {found.reason}" for found in of if found.state != "same"]
    return lines
