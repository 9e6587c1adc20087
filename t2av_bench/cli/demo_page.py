"""What ``demo`` tells of its tables: on the page that it writes, and below the tables in the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from t2av_bench.errors import ItemError

if TYPE_CHECKING:
    from reports.tables.model import Table
    from t2av_bench.cli.run_tables import TableResult
    from t2av_bench.experiment.run import Result

TITLE = "GridFace: small models, generated and scored"
TITLES = {
    "embedded:1": "Table 1: speech and picture from a text",
    "embedded:2": "Table 2: a picture for given speech",
    "embedded:3": "Table 3: speech for a given picture",
    "embedded:4": "Table 4: arrangements of the tokens",
    "embedded:5": "Table 5: speech through the codec",
}
ROWS = {
    "Real clips": "GridFace's own clips, which the systems are to match",
    "Original": "GridFace's own sound",
    "Reconstruction": "the real clips through the codecs of the systems, and nothing else",
    "Stranger's audio": "the real picture with the sound of another clip: it must lose",
    "Talker-T2AV": "one model that makes speech and motion together, patch by patch",
    "Dual-branch": "one diffusion model with a branch for speech and one for motion",
    "Cascaded (Talker)": "first speech, then motion for it, both by Talker-T2AV",
    "Cascaded (diffusion)": "speech by Talker-T2AV, then motion by the audio-driven diffusion",
    "Cascaded (espeak)": "speech by espeak-ng, which also spoke the real clips, then motion by Talker-T2AV",
    "Talker-T2AV, A2V": "motion for the real speech, by Talker-T2AV",
    "Audio-driven diffusion": "motion for the real speech, by a diffusion model made for that",
    "Talker-T2AV, V2A": "speech for the real picture, by Talker-T2AV",
    "Length-matched text to speech": "speech of the picture's length that does not look at it",
    "Add": "Talker-T2AV at a quarter of the size, speech and motion of a moment in one token",
    "Interleaved A-V": "the same with two tokens a moment, speech first",
    "Interleaved V-A": "the same with two tokens a moment, motion first",
    "Delay-1": "as Add, motion one patch behind speech",
    "Delay-3": "as Add, motion three patches behind speech",
    "WORLD features, without PCA": "speech through the first half of the codec",
    "GridFace codec (WORLD and PCA, 32 values a frame)": "speech through the whole codec",
}
_SIGNS = (
    "↑: higher is better, ↓: lower is better. ‡: measured by a small stand-in that comes with the package, and not "
    "comparable with published numbers of the metric."
)
_COLUMNS = {
    "WER": "the share of words heard wrongly", "CER": "the same of characters",
    "DNSMOS": "the quality of the sound from 1 to 5", "PESQ": "how near the sound is to the real one, up to 4.64",
    "STOI": "how well it is understood beside it, up to 1", "SIM": "how alike the voices are",
    "FD": "the distance of the set of frames, or of clips, from the real set",
    "Sync-C": "how surely lips and sound go together", "Sync-D": "how far apart they are",
}  # fmt: skip
"""Beginning of a column's label -> what it measures."""
_SMALL = (
    "Drawn faces say short sentences in synthetic speech; no person is seen or heard. The systems are small and were "
    "trained on a CPU for minutes: the numbers show that the pipeline measures what it should, and say nothing about "
    "published systems."
)


def make_page(result: "Result", made: "Sequence[TableResult]", folder: Path, items: int) -> Path:
    """The page of the tables whose systems take the same English clips, in the folder; its first file.

    Raises ItemError where no table could be made.
    """
    from reports.page.site import NamedTable, build_report

    usable = [each for each in made if each.table is not None]
    if not usable:
        raise ItemError(str(made[0].reason))
    together = [each for each in usable if each.name in ("embedded:1", "embedded:2", "embedded:4")] or usable[:1]
    beside = [TITLES[each.name].partition(":")[0] for each in usable if each not in together]
    rows = [row for row in result.rows if not (row.row.split or "").endswith("-zh")]
    tables = [
        NamedTable(each.name, TITLES[each.name], [row.run for row in rows if each.name in row.row.tables])
        for each in together
    ]
    runs = list(dict.fromkeys(run for table in tables for run in table.runs or ()))
    about = introduction([each.table for each in together if each.table], items, beside)
    return build_report(runs, folder, real="real", title=TITLE, tables=tables, plain=False, about=about,
                        closing=closing()).index  # fmt: skip


def introduction(tables: "Sequence[Table]", items: int, beside: Sequence[str] = ()) -> str:
    """Markdown: what the page shows, what to look at first, how to read the numbers, what the rows are.

    beside: tables that were made as well, of other clips than the page's.
    """
    names = dict.fromkeys(row.name for table in tables for row in table.rows)
    rows = "\n".join(f"| {name} | {ROWS[name]} |" for name in names)
    found = "\n".join(f"{number}. {text}" for number, text in enumerate(_findings(tables), start=1))
    few = _few(tables)
    if any(column.group == "Chinese" for table in tables for column in table.columns):
        beside = ["Table 1's Chinese half", *beside]
    others = f" Of other clips, and so not here but in the folder of tables: {', '.join(beside)}." if beside else ""
    return f"""
**GridFace** is a talking-portrait benchmark that is made on the spot. {_SMALL}

## What to look at first

{found}

Open a number, or [all clips](clips.html): the systems play side by side, each with the same sentence to say.

## How to read the numbers

{_SIGNS}

{_measured(tables, items)}

{few}

Each number links to its clips and says how it was measured when the pointer is on it.{others}

## What the rows are

| row | its clips |
|---|---|
{rows}
""".lstrip()


def _measured(tables: "Sequence[Table]", items: int) -> str:
    """What the columns that are there measure."""
    labels = [column.label for table in tables for column in table.columns if column.group != "Chinese"]
    found = [(name, text) for name, text in _COLUMNS.items() if any(label.startswith(name) for label in labels)]
    told = ", ".join(f"{name} {text}" for name, text in found).replace(" ", " is ", 1)
    rough = f" FD compares sets: of {items} clips it is rough." if "FD" in dict(found) else ""
    return f"{told}.{rough}"


def closing() -> str:
    """Markdown for the end of the page: the commands that come next."""
    return f"""
## What to do next

This page was made by `t2av-bench demo`. All five tables, on more clips:

    t2av-bench demo --all --items 40

A page of your own clips, beside the real ones of the same names:

{_commands()}
""".lstrip()


def reading(made: "Sequence[TableResult]") -> str:
    """Markdown for below the tables: the same in short."""
    tables = [each.table for each in made if each.table]
    parts = [_SIGNS, *_findings(tables), _few(tables)]
    return "".join(f"- {part}\n" for part in parts if part)


def what_next(out: Path) -> str:
    """Markdown: where the whole tables are, and the commands that come next."""
    return f"""
The tables with all their notes, in Markdown, LaTeX, CSV and HTML: {out}/tables

Next: `t2av-bench demo --all --items 40`, or clips of your own beside the real ones of the same names:

{_commands()}
""".lstrip()


def _commands() -> str:
    return """    t2av-bench evaluate mine/ --reference real/ --metrics psnr,ssim --out run
    t2av-bench report run --out page
"""


def _findings(tables: "Sequence[Table]") -> list[str]:
    """What the anchors of the tables show, with their numbers."""
    found = []
    words, sync = (_anchors(tables, name) for name in ("wer_gridface", "sync_c_gridface"))
    stranger = "*Stranger's audio* is the real picture with the sound of another clip. It must lose"
    told = []
    if sync:
        told.append((f"lip sync (Sync-C {sync['stranger']} against {sync['real']} of the real clips)", sync["lost"]))
    if words:
        told.append((f"words (WER {words['stranger']} against {words['real']})", words["lost"]))
    if told:
        verdict = "and does" if all(lost for _, lost in told) else "and here it does not, so trust nothing else here"
        found.append(f"{stranger}, {verdict}: {', '.join(text for text, _ in told)}.")
    if sync and sync["codec"]:
        found.append(
            f"*Reconstruction* is what the codecs cost by themselves (Sync-C {sync['codec']}). Whatever speaks through "
            "them can hardly be above it; what brings its sound from elsewhere can."
        )
    found.append("Then the systems: how far is each from the real clips, and in what?")
    return found


def _anchors(tables: "Sequence[Table]", quantity: str) -> dict[str, str | bool] | None:
    """An English quantity of the anchors as printed; lost: whether the stranger is worse than the real clips."""
    for table in tables:
        for index, column in enumerate(table.columns):
            if column.quantity is None or column.quantity.name != quantity or column.group == "Chinese":
                continue
            cells = {row.name: row.cells[index] for row in table.rows}
            real, stranger = cells.get("Real clips") or cells.get("Original"), cells.get("Stranger's audio")
            if real is None or stranger is None or real.value is None or stranger.value is None:
                continue
            codec = cells.get("Reconstruction")
            worse = stranger.value < real.value if column.direction == "higher" else stranger.value > real.value
            return {"real": real.text, "stranger": stranger.text, "lost": worse, "codec": codec.text if codec else ""}
    return None


def _few(tables: "Sequence[Table]") -> str:
    """That there are too few clips to rank, where a table says so."""
    from reports.tables.ranking import TOO_FEW

    return next((note for table in tables for note in table.notes if note.startswith(TOO_FEW)), "")
