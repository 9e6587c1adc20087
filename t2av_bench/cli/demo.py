"""``t2av-bench demo``: the embedded benchmark's tables on a few clips: ``run`` with a packaged file, and a page."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from t2av_bench.cli.errors import usage_errors
from t2av_bench.utils.optional import require_all

if TYPE_CHECKING:
    from t2av_bench.cli.progress import Display

PACKAGES = (
    "PIL", "cv2", "espeakng_loader", "jiwer", "matplotlib", "onnxruntime", "pesq", "pocketsphinx", "pystoi",
    "python_speech_features", "pyworld", "resemblyzer", "speechmos", "torch", "transformers", "zhconv",
)  # fmt: skip
"""What its systems and metrics import, and its plots."""
FULL = Path(__file__).parents[1] / "gridface" / "experiment.toml"


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the clips, the runs and the tables.")] = Path("demo-run"),
    items: Annotated[int, typer.Option(min=3, max=100, help="Clips of each split.")] = 6,
) -> None:
    """Generate with the embedded systems, score, and print Tables 1 to 5 of the embedded benchmark.

    It takes minutes on 2 cores and needs no weights, no data and no GPU; the same command continues.
    """
    with usage_errors():
        require_all("demo", *PACKAGES)
        run(out, items)


def run(out: Path, items: int) -> None:
    """Generate with every embedded system, score, print Tables 1 to 5; all below ``out``. The same command continues.

    Of systems with several training seeds the first one is taken, of Table 4's arrangements joint generation alone.
    items: the first so many of each split. Raises ValueError and OSError for what cannot be carried out.
    """
    from reports.page.site import build_report
    from t2av_bench.cli.progress import Display
    from t2av_bench.cli.run import explain_failures, print_tables
    from t2av_bench.cli.run_tables import make_tables
    from t2av_bench.experiment import run as benchmark_run
    from t2av_bench.experiment.config import load

    started = time.monotonic()
    loaded = load(FULL, {"out": out, "items": items})
    rows = (row for row in loaded.rows if row.seed == 0 and (row.task == "t2av" or "checkpoint" not in row.options))
    loaded = replace(loaded, rows=tuple(rows))
    display = Display()
    with display:
        result = benchmark_run.run(loaded, display.step, display.note)
        tables = make_tables(loaded, out, display.note)
    # The page shows joint generation in English: every system, side by side.
    shown = [row.run for row in result.rows if row.row.split == "test-en" and "embedded:1" in row.row.tables]
    page = build_report(shown, out / "page", real="real", title="GridFace: joint generation, English")
    print_tables(tables)
    explain_failures(result, display)
    _tell(display, started, f"clips, runs and tables (md, tex, csv, html) are in {out}/", page.index)


def _tell(display: "Display", started: float, made: str, page: Path) -> None:
    display.note(
        f"{time.monotonic() - started:.0f} s; {made}\nthe page: {page} (open it, or: t2av-bench serve {page.parent})"
    )
