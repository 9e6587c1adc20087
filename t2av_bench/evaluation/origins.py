"""What the records beside a run's clips say of them, see ``results.origins``."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from t2av_bench.benchmarks.manifest import Entry
from t2av_bench.errors import MediaError
from t2av_bench.media.clip import Clip
from t2av_bench.results.origins import Origin, of_record


def read_origins(
    entries: Iterable[Entry], digests: Mapping[str, Sequence[str | None]]
) -> dict[str, tuple[Origin, ...]]:  # fmt: skip
    """Clip -> origins, of the clips whose record says anything that readers of their scores should know.

    digests: clip -> as of ``planning.file_digests``.
    """
    found = {}
    for entry in entries:
        if entry.generated is not None and not entry.reason:
            # A sound of its own is part of that digest, and not of the record's.
            known = digests[entry.item.id][0] if entry.item.audio is None else None
            origins = of_record(_record(entry.generated, known))
            if origins:
                found[entry.item.id] = origins
    return found


def _record(clip: Path, digest: str | None) -> Any:
    """The record of this very clip; None for one of another clip that had its name, and where there is none.

    digest: of the clip, where it is known.
    """
    try:
        record = json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    files = record.get("sha256") if isinstance(record, dict) else None
    if isinstance(files, Mapping):
        try:
            return record if files.get(clip.name) == (digest or Clip(clip).digest) else None
        except MediaError:
            return None
    return record
