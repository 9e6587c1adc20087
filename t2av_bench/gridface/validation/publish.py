"""From a finished run of ``gridface/experiment.toml`` to what the repository shows: tables, curves, and each model's
own scores.

    python -m t2av_bench.gridface.validation.publish embedded-run --command "t2av-bench run ... --items 50"

Writes ``reports/embedded/`` (tables as Markdown, LaTeX, CSV and HTML; ``learning_curves.svg``; ``README.md`` with the
command; ``first_clips.json``, the scores that a test measures again) and the ``scores`` of ``checkpoints/index.toml``.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2av_bench.experiment.config import load
from t2av_bench.gridface.models import checkpoints
from t2av_bench.gridface.training import generators as training
from t2av_bench.gridface.training.recipes import EXTRACTORS
from t2av_bench.results.columns import RESULTS as DATABASE
from t2av_bench.results.run import open_run
from t2av_bench.utils.files import write_text

RESULTS = Path("reports/embedded")
CURVES = "learning_curves.svg"
FIRST_CLIPS = "first_clips.json"
FIRST_ROWS = ("real-en", "talker-t2av-en-seed-0", "dual-branch-en-seed-0")
FIRST_COUNT = 4
_SUFFIXES = (".md", ".tex", ".csv", ".html")


def publish(run: Path, command: str, target: Path = RESULTS, *, folder: Path = checkpoints.FOLDER) -> list[Path]:
    """Copy tables, draw curves, record scores; returns the files of ``target``. Raises ValueError for an empty run."""
    tables = sorted(path for path in (run / "tables").glob("embedded*") if path.suffix in _SUFFIXES)
    if not tables:
        raise ValueError(f"{run} has no tables: finish it with t2av-bench run")
    target.mkdir(parents=True, exist_ok=True)
    for table in tables:
        shutil.copyfile(table, target / table.name)
    for name, scores in _scores(run).items():
        checkpoints.describe(name, {"scores": scores}, folder)
    write_text(target / FIRST_CLIPS, json.dumps(first_clips(run), indent=1) + "\n")
    draw_curves(target / CURVES, folder)
    write_text(target / "README.md", _page(command, tables))
    return sorted(target.iterdir())


def first_clips(
    run: Path, rows: Sequence[str] = FIRST_ROWS, count: int = FIRST_COUNT
) -> dict[str, dict[str, dict[str, float]]]:
    """Row -> clip -> quantity -> value, of the first clips of a few rows."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        result = open_run(run / "runs" / row)
        found[row] = {name: {} for name in result.clips[:count]}
        for score in result.score_rows():
            # A distance between sets has no value of one clip.
            own = not score.quantity.startswith("fd_")
            if own and score.clip in found[row] and score.score.value is not None:
                found[row][score.clip][score.quantity] = round(score.score.value, 6)
    return found


def draw_curves(path: Path, folder: Path = checkpoints.FOLDER) -> None:
    """Validation losses of every generator over its updates, one panel a loss, as SVG."""
    from reports.plots.style import LIGHT, colour, label_x, label_y, new_figure, svg, title

    found = {name: checkpoints.facts(name, folder) for name in checkpoints.names(folder) if name not in EXTRACTORS}
    panels = {"speech_loss": "speech", "motion_loss": "motion"}
    figure, axes = new_figure(9.0, 3.4, columns=len(panels))
    models = list(dict.fromkeys(training.Run.parse(name).model for name in found))
    for axis, (loss, what) in zip(axes[0], panels.items(), strict=True):
        for name, facts in found.items():
            run, curve = training.Run.parse(name), facts["validation_curve"]
            if points := [(row["step"], row[loss]) for row in curve if loss in row and row["step"]]:
                place = models.index(run.model)
                label = run.model if run.seed == 0 else None
                style = "-" if place < len(LIGHT.colours) else ":"
                axis.plot(*zip(*points, strict=True), style, color=colour(place), linewidth=1.2, label=label)
        axis.grid(True, axis="y", color=LIGHT.line, linewidth=0.5)
        title(axis, f"validation loss, {what}")
        label_x(axis, "update")
        label_y(axis, "flow-matching loss")
    named = {label: line for axis in axes[0] for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    axes[0, -1].legend(
        named.values(), named.keys(), frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.02, 1.0)
    )
    write_text(path, svg(figure, background="white"))


def _scores(run: Path) -> dict[str, dict[str, Any]]:
    """Checkpoint -> run -> quantity -> value, for every row that one generator made."""
    found: dict[str, dict[str, Any]] = {}
    for row in load(Path(__file__).parents[1] / "experiment.toml").rows:
        name = row.options.get("checkpoint") or _DEFAULTS.get(row.system)
        if name not in checkpoints.names() or not (run / "runs" / row.name / DATABASE).is_file():
            continue
        found.setdefault(name, {})[row.name] = {
            column.quantity.name: round(column.summary.score.value, 4)
            for column in open_run(run / "runs" / row.name).columns if column.summary.score.value is not None
        }  # fmt: skip
    return found


_DEFAULTS = {
    "embedded-talker-t2av": "talker_t2av-seed0", "embedded-dual-branch": "dual_branch-seed0",
    "embedded-audio-driven": "audio_driven-seed0", "embedded-length-matched-tts": "length_matched_tts-seed0",
}  # fmt: skip


def _page(command: str, tables: list[Path]) -> str:
    lines = [
        "# The embedded benchmark's results", "",
        "Generated; a check of the pipeline on synthetic clips with small models, not a claim about published systems.",
        "Made by", "", "<!-- needs: two hours -->", "```console", f"$ {command}",
        f'$ python -m t2av_bench.gridface.validation.publish embedded-run --command "{command}"', "```", "",
        f"![Validation losses over training]({CURVES})", "",
    ]  # fmt: skip
    for table in tables:
        if table.suffix == ".md":
            lines += [f"## {table.stem}", "", table.read_text(encoding="utf-8").rstrip(), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of the finished run")
    parser.add_argument("--command", required=True, help="the command that made it, for the page")
    options = parser.parse_args()
    for path in publish(options.run, options.command):
        print(path)


if __name__ == "__main__":
    main()
