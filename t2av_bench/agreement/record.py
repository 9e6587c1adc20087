"""Keeping what was found in a folder: as data, as a report, and a line for every time that votes were joined."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from t2av_bench.agreement.panel import Panel
from t2av_bench.utils.files import json_text, write_text

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
    log = folder / LOG
    # A line that was cut short must not swallow the next.
    cut = log.exists() and log.read_bytes()[-1:] not in (b"", b"\n")
    with log.open("a", encoding="utf-8", newline="\n") as file:
        file.write("\n" * cut + json_text(line) + "\n")
    write_text(folder / RESULT, result)
    write_text(folder / REPORT, report)
