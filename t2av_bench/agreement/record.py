"""Keeping what was found in a folder: as data, as a report, and a line for every time that votes were joined."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from t2av_bench.agreement.panel import Panel
from t2av_bench.utils.files import append_line, json_text, write_text

RESULT, REPORT, LOG = "panel.json", "panel.md", "runs.jsonl"


def keep(found: Panel, folder: Path) -> None:
    """Writes RESULT and REPORT anew, and adds a line to LOG: who looks often will find something by chance.

    The line (``time`` in UTC; version; SHA-256 of votes, directions, RESULT and REPORT; of a study ``failed_checks``;
    runs; metric id -> fingerprint of its protocol) comes first, so that a look is on record even if nothing else can
    be written.
    """
    result, report = json_text(found.as_dict(), indent=1) + "\n", found.to_markdown()
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"), **found.made,
        "metrics": {metric: each["fingerprint"] for metric, each in found.made["metrics"].items()},
        "result": hashlib.sha256(result.encode()).hexdigest(), "report": hashlib.sha256(report.encode()).hexdigest(),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    append_line(folder / LOG, json_text(line))
    write_text(folder / RESULT, result)
    write_text(folder / REPORT, report)
