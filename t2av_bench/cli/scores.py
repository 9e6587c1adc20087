"""``t2av-bench scores``: every score of every clip, for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from t2av_bench.cli.errors import usage_errors
from t2av_bench.utils.terminal_text import echo

if TYPE_CHECKING:
    from pandas import DataFrame

Format = Literal["csv", "json", "parquet"]


def scores(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders made by 'evaluate', or folders of a 'run'.",
                       show_default=False),
    ],
    format: Annotated[
        Format | None, typer.Option(help="Output format.  [default: that of --out's name, else csv]")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write this file instead of printing.")] = None,
    quantities: Annotated[
        str | None, typer.Option(help="Comma-separated quantities, metrics or families.  [default: all]")
    ] = None,
) -> None:  # fmt: skip
    """Print the score of every clip: a value, or the reason why there is none.

    One row for every clip and quantity: clip, metric, quantity, value, status, reason, weight, fingerprint (see
    docs/python.md), after the run's name where there are several runs.
    """
    from t2av_bench.utils.files import write_text

    with usage_errors():
        suffix = out.suffix.lstrip(".").lower() if out else ""
        chosen = format or (suffix if suffix in get_args(Format) else "csv")
        found = scores_of(runs, quantities)
        if chosen == "parquet":
            _write_parquet(found, out)
        elif out is not None:
            write_text(out, _text(found, chosen))
        else:
            echo(_text(found, chosen), nl=False)
    if out is not None:
        echo(f"{out}: {len(found):,} scores", err=True)


def scores_of(runs: list[Path], quantities: str | None = None) -> "DataFrame":
    """``Run.scores`` of some runs under each other. Raises ValueError where a quantity is in none of them."""
    import pandas as pd

    from t2av_bench.api.runs import open_run
    from t2av_bench.comparison.comparable import choose
    from t2av_bench.results.run import run_folders, system_names
    from t2av_bench.utils.text import names

    opened = [open_run(folder) for run in runs for folder in run_folders(run)]
    keys = choose(dict.fromkeys(key for run in opened for key in run.result.scores), names(quantities))
    parts = []
    for name, run in zip(system_names([run.result for run in opened]), opened, strict=True):
        part = run.scores
        part = part[[key in keys for key in zip(part["metric"], part["quantity"], strict=True)]].copy()
        if len(opened) > 1:
            part.insert(0, "run", pd.Series(name, part.index, dtype="object"))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _text(found: "DataFrame", format: str) -> str:
    from t2av_bench.utils.files import json_text
    from t2av_bench.utils.terminal_text import spreadsheet_field

    if format == "json":
        known = found.astype(object)
        return json_text(known.where(found.notna(), None).to_dict("records"), indent=1) + "\n"
    guarded = found.copy()
    for name in found.select_dtypes("object"):
        guarded[name] = [None if text is None else spreadsheet_field(text) for text in found[name]]
    text: str = guarded.to_csv(index=False, lineterminator="\n")
    return text


def _write_parquet(found: "DataFrame", out: Path | None) -> None:
    from t2av_bench.utils.files import replacing
    from t2av_bench.utils.optional import require

    if out is None:
        raise ValueError("Parquet is no text: name a file, such as --out scores.parquet")
    require("pyarrow", "parquet")
    texts = {name: "string" for name in found.select_dtypes("object")}
    with replacing(out) as temporary:
        found.astype(texts).to_parquet(temporary, engine="pyarrow", index=False)
