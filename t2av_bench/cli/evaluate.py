"""``t2av-bench evaluate``: progress on stderr, the result on stdout."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from t2av_bench.cli.complete import metric_names
from t2av_bench.cli.errors import usage_errors
from t2av_bench.cli.options import options_of
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.utils.terminal_text import echo
from t2av_bench.utils.text import some

if TYPE_CHECKING:
    from t2av_bench.api.runs import Run
    from t2av_bench.cli.progress import Display


@options_of(
    EvaluateConfig, first=("generated", "reference", "manifest", "out", "metrics", "name"),
    complete={"metrics": metric_names},
)  # fmt: skip
def evaluate(
    folder: Annotated[Path | None, typer.Argument(help="Folder of generated clips.", show_default=False)] = None,
    *,
    config: Annotated[Path | None, typer.Option(help="TOML file with any of these options as keys.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of a table.")] = False,
    **given: Any,
) -> None:
    """Score a folder of clips: every clip gets a value or a reason, and the table is printed.

    Files pair by name; what the manifest, the generated folder or the reference folder names is an item, and one
    without a clip or with a broken line in the manifest has failed. What is wrong with the request is said before
    anything is measured. Clips that failed and metrics that were missing are tried again when the command is repeated.

    Exit status: 0 all well; 1 more failed clips than --max-failures, or a metric named in --metrics scored no clip
    (see --allow-missing), or --log failed; 2 the command cannot be carried out.
    """
    from t2av_bench.api.evaluating import evaluate
    from t2av_bench.cli.output import measuring
    from t2av_bench.cli.progress import Display
    from t2av_bench.evaluation.config import parse_options, parse_resources
    from t2av_bench.utils.config import ConfigError
    from t2av_bench.utils.registry import stdout_to_stderr

    display = Display()
    with usage_errors():
        if folder and given["generated"] not in (None, folder):
            raise ConfigError(f"two folders of clips: {folder}, and --generated {given['generated']}; give one of them")
        options = parse_options(given["options"]) if given["options"] else None
        given |= {"generated": folder or given["generated"], "options": options,
                  "resources": parse_resources(given["resources"]) if given["resources"] else None}  # fmt: skip
        with display, stdout_to_stderr():
            done = evaluate(config=config, progress=measuring(display, "scoring"), notice=display.notice, **given)
        show(done, display, as_json)
        if done.logged:
            display.note(f"{done.logged}{': exit status 1' if done.logged.reason else ''}")
        if given["out"] is None:
            display.note(f"the run folder: {done.path}")
    raise typer.Exit(done.exit_status)


def show(done: "Run", display: "Display", as_json: bool) -> None:
    """The scores of a run that was just made, why some are missing, and what its exit status comes from."""
    from t2av_bench.api.tables import table
    from t2av_bench.cli.output import show_table, tell
    from t2av_bench.evaluation.planning import requested
    from t2av_bench.metrics import metric_class, resolve
    from t2av_bench.scores import Status
    from t2av_bench.weights.needs import lacks

    asked = done.config
    assert asked is not None
    if as_json:
        echo(json.dumps(done.as_dict(), indent=1, ensure_ascii=False))
    else:
        show_table(table(done))
    tell(display.console, "failed", done.counted(Status.FAILED))
    # Of metrics that nobody named and that no clip has, the table's notes say enough.
    told = {*requested(asked.metrics), *(each.metric for each in done.result.columns if each.summary.scored)}
    reasons = [reason for reason in done.counted(Status.NOT_APPLICABLE) if told.intersection(reason.metrics)]
    tell(display.console, "not applicable", reasons)
    lacking = lacks(*map(metric_class, resolve(asked.metrics)))
    if lacking and lacking not in {reason.text for reason in reasons}:
        display.note(lacking)
    clips, missing = done.failed_clips, done.missing
    if clips > asked.max_failures:
        display.note(
            f"{clips} clip{'s' if clips > 1 else ''} failed in some metric, --max-failures allows "
            f"{asked.max_failures}: exit status 1. The same command tries them again."
        )
    if missing and not asked.allow_missing:
        display.note(f"{some(missing, 6)}: no clip was scored: exit status 1 (--allow-missing accepts that)")
