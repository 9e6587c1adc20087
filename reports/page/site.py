"""Writing the report's folder.

``report.json`` names every file that the report consists of. It is written first, so that a folder that was left half
done is known as a report and can be built again, and last, without the files of an older report that are gone by then.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from reports.page import data
from reports.page.content import Content, Part, gather
from reports.page.figures import Shown, figures
from reports.page.media import MediaFolder, Mode
from reports.page.tables import CLIPS, table_view
from reports.tables import from_specification, specification
from reports.tables.build import build
from reports.tables.model import Table
from reports.tables.specification import Loaded, Specification
from t2av_bench.errors import ItemError
from t2av_bench.results.run import RunResult
from t2av_bench.scores import Status
from t2av_bench.utils.files import write_text
from t2av_bench.utils.text import counted
from t2av_bench.version import __version__

INDEX, MANIFEST = "index.html", "report.json"
FORMAT = "t2av-bench report"
ASSETS = (
    "report.css", "report.js", "items.js", "players.js", "drawn.js", "closer.js", "row.js", "keys.js", "clips.js",
)  # fmt: skip

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class NamedTable:
    """A specification to show on a page. name: ``paper:1`` or a TOML file. title: instead of its own.

    runs: folders of those of the page's runs that it is of; all where None.
    """

    name: str
    title: str = ""
    runs: Sequence[Path] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A written report: its first page, and what a user should know about it."""

    index: Path
    notes: list[str] = field(default_factory=list)


def build_report(
    runs: Sequence[Path],
    out: Path,
    *,
    media: Mode = "link",
    real: str | None = None,
    title: str = "",
    tables: Sequence[str | NamedTable] = (),
    by: Sequence[str] = (),
    plots: bool = True,
    extrapolate: bool = False,
    progress: Progress | None = None,
    plain: bool = True,
    about: str = "",
    closing: str = "",
) -> Report:
    """Write the report of some runs; an older report in ``out`` is replaced file by file.

    media: link to the clips where they lie, copy them into the report, or leave them out. real: the run of real clips,
    by folder or name. tables: specifications (``paper:1``, a TOML file) to show as well, with their published rows;
    systems are called as their rows. plain: show the table of all runs and quantities; without, the plots are of the
    named tables, too, each of its own systems and quantities. about, closing: Markdown, above and below it all.
    by: keys of the items, each for a table of its groups. plots: draw the plots. extrapolate: also plot Fréchet
    distances against the number of clips, which takes a while.
    progress: called with items done, items in all, and the item's id.
    Raises ConfigError for an unknown table, ValueError for an unknown key, ItemError where ``out`` holds other files,
    StoreError where a run is none.
    """
    if not runs:
        raise ItemError("a report needs at least one run: t2av-bench report RUN --out DIR")
    named = [NamedTable(each) if isinstance(each, str) else each for each in tables]
    specifications = [specification.load(each.name) for each in named]
    content = gather(runs, real, [loaded.specification for loaded in specifications])
    measured, names = ([each.run for each in content.systems], [each.name for each in content.systems])
    from_names = [
        _of_specification(loaded, each, measured) for each, loaded in zip(named, specifications, strict=True)
    ]  # fmt: skip
    shown_tables = [
        *([content.table] if plain else []),
        *(build(measured, allow_mixed=True, intervals=True, by=key, names=names) for key in by), *from_names,
    ]  # fmt: skip
    if not plain:
        content.parts = [
            _part(table, loaded.specification, content)
            for table, loaded in zip(from_names, specifications, strict=True)
        ]  # fmt: skip
    views = [table_view(table, content) for table in shown_tables]
    before = claim(out)
    folder = MediaFolder(out, media)
    files: set[str] = set()

    def write(name: str, text: str) -> None:
        put(out, name, text)
        files.add(name)

    for name in ASSETS:
        write(f"assets/{name}", asset("reports.page", name))
    write("data/index.js", data.script("index", data.index(content)))
    notes = []
    for position, id in enumerate(content.items):
        if progress is not None:
            progress(position, len(content.items), id)
        write(f"data/item-{position}.js", data.script("item", position, data.item(content, id, folder)))
    shown: list[Shown] = []
    for figure in figures(content, extrapolate=extrapolate) if plots else ():
        for name, text in figure.files.items():
            write(f"plots/{name}", text)
        shown.append(figure)
    templates = environment("reports.page")
    heading = title or _heading(content)
    common = {"title": heading, "version": __version__, "content": content, "about": _html(about)}
    groups: dict[str, list[Shown]] = {}
    for figure in shown:
        groups.setdefault(figure.group, []).append(figure)
    write(CLIPS, templates.get_template("clips.html").render(page="clips", **common))
    write(
        INDEX,
        templates.get_template("index.html").render(
            page="index", tables=views, figures=groups, failures=failures(content),
            protocols=protocols(content), closing=_html(closing), **common,
        ),
    )  # fmt: skip
    folder.save_cache()
    files |= folder.written
    finish(out, files, before, sorted(folder.linked))
    if folder.unplayable and media != "none":
        notes.append(f"{counted(folder.unplayable)} cannot be played; the page says why at each")
    notes += _limits(folder)
    return Report(out / INDEX, notes)


def _of_specification(loaded: Loaded, asked: NamedTable, measured: Sequence[RunResult]) -> Table:
    if asked.runs is not None:
        wanted = {folder.resolve() for folder in asked.runs}
        measured = [run for run in measured if run.path.resolve() in wanted]
    table = from_specification.build(loaded, measured, allow_mixed=True, intervals=True)
    table.title = asked.title or table.title
    return table


def _part(table: Table, specification: Specification, content: Content) -> Part:
    """What a table compares: its systems, by its quantities, which are then called as its columns.

    A column in another unit, such as percent, names none: its heading would not fit what plots show.
    """
    systems = {system.run.path: place for place, system in enumerate(content.systems)}
    rows = [(row, [systems[path] for path in row.runs]) for row in table.rows if row.origin == "measured"]
    shown = {
        (cell.metric, cell.quantity): column
        for row, _ in rows for cell, column in zip(row.cells, table.columns, strict=True)
    }  # fmt: skip
    places = [
        index for index, column in enumerate(content.table.columns)
        if column.quantity and (column.metric, column.quantity.name) in shown
    ]  # fmt: skip
    for index in places:
        column = content.table.columns[index]
        assert column.quantity is not None
        like = shown[column.metric, column.quantity.name]
        if like.scale == column.scale:
            content.table.columns[index] = replace(column, label=like.label)
    references = {row.name for row in specification.rows if row.reference}
    return Part(
        table.title, tuple(place for _, mine in rows for place in mine),
        tuple(places),
        frozenset(place for row, mine in rows if row.name in references for place in mine),
    )  # fmt: skip


def _html(markdown: str) -> Any:
    """Markdown as the page shows it; markup in it is text."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)) if markdown else ""


def _limits(folder: MediaFolder) -> Iterator[str]:
    """What licences say of how many of their clips may be shown, where the report has more."""
    for limit, count in folder.limited.items():
        if count > limit.most and folder.mode == "copy":
            yield f"{limit}: {count - limit.most} of {count} clips are left out"
        elif count > limit.most and folder.mode == "link":
            yield f"{limit}, and this report shows {count}: do not publish it; --media copy leaves out the others"


def claim(out: Path) -> set[str]:
    """Files of an older report in ``out``. Raises ItemError where the folder holds anything else."""
    if out.exists() and not out.is_dir():
        raise ItemError(f"--out {out} is a file; name a folder")
    out.mkdir(parents=True, exist_ok=True)
    before: set[str] = set()
    try:
        old = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        before = {str(name) for name in old["files"]} if old.get("format") == FORMAT else set()
    except FileNotFoundError:
        if any(out.iterdir()):
            raise ItemError(
                f"--out {out} holds files, but no report: name a new folder, or one that an older report is in"
            ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ItemError(f"{out / MANIFEST} is damaged ({error}); remove the folder, or name another --out") from error
    write_manifest(out, before, [])
    return before


def put(out: Path, name: str, text: str) -> None:
    """Write one file of a page, which the same command makes again, so nobody waits for the disk."""
    # A file name that is no valid text has halves of characters, which a page cannot hold: they are written out.
    write_text(out / name, text.encode("utf-8", "backslashreplace").decode("utf-8"), synced=False)


def finish(out: Path, files: set[str], before: set[str], linked: list[str]) -> None:
    """Remove an older report's files that the new one has not, and say which files it consists of."""
    root = out.resolve()
    for name in sorted(before - files):
        path = (root / name).resolve()
        # What an edited manifest names outside of the report is not ours to remove.
        if path.is_relative_to(root) and path.is_file():
            path.unlink()
    write_manifest(out, files, linked)


def write_manifest(out: Path, files: Iterable[str], linked: Sequence[str] = ()) -> None:
    """Say which files a report in ``out`` consists of, and which it links to: ``serve`` gives out no others."""
    document = {"format": FORMAT, "files": sorted(files), "linked": list(linked)}
    # In ASCII: the names of files need not be Unicode.
    write_text(out / MANIFEST, json.dumps(document, indent=1) + "\n")


def _heading(content: Content) -> str:
    names = [system.name for system in content.systems]
    if len(names) > 3:
        return f"{names[0]}, {names[1]} and {len(names) - 2} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def asset(package: str, name: str) -> str:
    """A script or style sheet of a package."""
    return resources.files(package).joinpath("assets", name).read_text(encoding="utf-8")


def environment(package: str, folder: str = "templates") -> Any:
    """The templates of a package: texts are escaped, unknown names are errors."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    return environment


def failures(content: Content) -> list[dict[str, Any]]:
    """Why clips have no score: each reason with its metrics and the number of clips by system, most frequent first."""
    kinds = data.kinds_of(
        str(score.reason) for system in content.systems for scores in system.run.scores.values()
        for score in scores.values() if score.value is None
    )  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    for position, system in enumerate(content.systems):
        for (metric, _), scores in system.run.scores.items():
            for clip, score in scores.items():
                if score.status is Status.FAILED:
                    entry = found.setdefault(kinds[str(score.reason)], {"metrics": {}, "clips": {}})
                    entry["metrics"][metric] = None
                    entry["clips"].setdefault(position, set()).add(clip)
    rows = [
        {
            "reason": reason,
            "metrics": list(entry["metrics"]),
            "count": sum(map(len, entry["clips"].values())),
            "systems": [
                {"name": content.systems[position].name, "count": len(clips),
                 "href": f"{CLIPS}#{urlencode({'system': position, 'show': reason})}"}
                for position, clips in sorted(entry["clips"].items())
            ],
        } for reason, entry in found.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row["count"], row["reason"]))


def protocols(content: Content) -> list[dict[str, Any]]:
    """Every protocol behind the tables, with the systems that were measured by it."""
    found: dict[str, dict[str, Any]] = {}
    for system in content.systems:
        for metric, entry in system.descriptions.items():
            row = found.setdefault(
                entry["fingerprint"],
                {"metric": metric, "fingerprint": entry["fingerprint"], "title": entry["title"],
                 "paper": entry["paper"], "licence": entry["licence"], "embedded": entry["embedded"],
                 "position": entry["position"], "document": entry["protocol"], "systems": []},
            )  # fmt: skip
            row["systems"].append(system.name)
    return sorted(found.values(), key=lambda row: (row["position"], row["metric"], row["fingerprint"]))
