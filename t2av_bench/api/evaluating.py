"""``evaluate``: a folder of clips -> a Run."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from t2av_bench.api.runs import Run
from t2av_bench.evaluation import evaluate as evaluation
from t2av_bench.evaluation.config import EvaluateConfig, check_device, dump, load, plan_of
from t2av_bench.evaluation.evaluate import Progress
from t2av_bench.utils.files import write_text
from t2av_bench.utils.machine import user_cache
from t2av_bench.utils.reasons import refusals

AnyPath = str | os.PathLike[str]
_NO_FOLDER = Path(os.devnull)
# What a run is about, apart from how and where it is computed.
_ABOUT = ("name", "generated", "reference", "manifest", "metrics", "options", "limit", "step")


def evaluate(
    generated: AnyPath | None = None,
    *,
    reference: AnyPath | None = None,
    manifest: AnyPath | None = None,
    out: AnyPath | None = None,
    metrics: str | Sequence[str] | None = None,
    name: str | None = None,
    workers: int | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    timeout: float | None = None,
    memory: float | None = None,
    max_seconds: float | None = None,
    max_gigapixels: float | None = None,
    max_failures: int | None = None,
    allow_missing: bool | None = None,
    limit: int | None = None,
    cache: AnyPath | None = None,
    step: int | None = None,
    options: Mapping[str, Mapping[str, str | int | float | bool]] | None = None,
    config: AnyPath | None = None,
    progress: Callable[[Progress], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Run:
    """Score a folder of clips: ``t2av-bench evaluate`` with its options as keywords, and the same defaults.

    generated: folder of clips. reference: folder of real clips with the same names. manifest: JSON Lines of items.
    metrics: families or ids, as a list or with commas between; all where None. options: metric id -> its options.
    config: a TOML file with any of these as keys; what is given here goes before.

    out: the run folder; the same call continues it. Without one it is a folder in the user's cache (see
    ``default_folder``), so that the same call measures nothing twice, and what has changed anew.

    progress: called after every measurement. notice: told what is to be known before the measurements, which
    ``Run.notices`` keeps.

    Raises ValueError, with the sentence that the command would print, where nothing can be scored. A clip that fails
    raises nothing: it has a reason. max_failures and allow_missing count for ``Run.exit_status``.
    """
    given: dict[str, Any] = {
        "generated": generated, "reference": reference, "manifest": manifest, "out": out,
        "metrics": names(metrics), "name": name, "workers": workers, "device": device, "batch_size": batch_size,
        "timeout": timeout, "memory": memory, "max_seconds": max_seconds, "max_gigapixels": max_gigapixels,
        "max_failures": max_failures, "allow_missing": allow_missing, "limit": limit, "cache": cache, "step": step,
        "options": options,
    }  # fmt: skip
    asked = load(Path(config) if config is not None else None, given, {"out": _NO_FOLDER})
    if asked.out == _NO_FOLDER:
        asked = asked.model_copy(update={"out": default_folder(asked)})
    return carry_out(asked, progress, notice)


def carry_out(
    config: EvaluateConfig,
    progress: Callable[[Progress], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Run:
    """``evaluate`` with its arguments checked."""
    notices: list[str] = []

    def note(text: str) -> None:
        notices.append(text)
        if notice:
            notice(text)

    with refusals():
        plan = plan_of(config)
        check_device(config.device)
        evaluation.evaluate(plan, config.out, progress or (lambda _: None), note)
        write_text(config.out / "evaluate.toml", dump(config))
    return Run(config.out, notices=notices, config=config)


def default_folder(config: EvaluateConfig) -> Path:
    """Where a run without a folder of its own is kept: ``runs/NAME-DIGEST`` in the user's cache.

    The digest is of the folders, the metrics and their options, so that another question is another run.
    """
    document = config.model_dump(include=set(_ABOUT))
    paths = {key: str(value.resolve()) if isinstance(value, Path) else value for key, value in document.items()}
    digest = hashlib.sha256(json.dumps(paths, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    name = "".join(letter if letter.isalnum() else "_" for letter in config.name or config.generated.resolve().name)
    return user_cache() / "runs" / f"{name[:40]}-{digest}"


def names(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """``"sync,wer"`` as on the command line, or a list of names."""
    if given is None:
        return None
    return tuple(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else tuple(given)
