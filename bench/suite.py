"""What there is to measure on a laptop: every step a process of its own under a time limit, into one JSON file.

    python bench/suite.py                      # all steps; make bench
    python bench/suite.py --only table1_speed  # one again, or several
    python bench/suite.py --missing            # those that have no result yet
    python bench/speed_page.py                 # then: docs/speed.md and the README's block

A step that fails, is too slow or cannot run here is a reason in the file ("status", "said"), beside what it had
measured by then, and stops no other. Each is written to the file as soon as it is over, with the machine that it ran on
where that is not the file's: the same command continues or does it again. A step with a result keeps it if it fails
when it is done again.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from measuring import ROOT, options

from t2av_bench.utils.files import write_text
from t2av_bench.utils.machine import cores, revision

KEPT = ROOT / "bench" / "results.json"
LIBRARIES = ("torch", "transformers", "onnxruntime", "av", "numpy", "scipy", "opencv-contrib-python", "clean-fid",
             "syncnet-python", "speechmos")  # fmt: skip


@dataclass(frozen=True)
class Step:
    """name: of the script in this folder. limit: seconds. needs: a package that not everybody has. long: arguments that
    take more than a laptop's patience, for ``--long``."""

    name: str
    arguments: tuple[str, ...] = ()
    limit: int = 240
    needs: str | None = None
    long: tuple[str, ...] | None = None

    @property
    def script(self) -> Path:
        return ROOT / "bench" / f"{self.name}.py"


STEPS = (
    Step("table1_speed", ("--repeats", "1"), 420),
    Step("sync_speed", ("--clock", "cpu", "--threads", "1", "--repeats", "2")),
    Step("sync_mesh_speed", ("--repeats", "2"), 120),
    Step("rescoring"),
    Step("growth", ("--clips", "10", "100", "--items", "300", "1000"), 300, long=()),
    Step(
        "generation_speed",
        ("--size", "release", "--batch", "1", "4", "--patches", "3", "--variants", "loop", "packed", "--threads", "1"),
        300,
    ),
    Step("ray_speed", ("--workers", "1", "2", "--clips", "60"), 300, "ray"),
)


def machine() -> dict[str, Any]:
    """What the numbers were made on."""
    import torch

    return {
        "processor": _processor(), "cores": cores(), "memory_gib": round(_memory() / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}", "python": platform.python_version(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }  # fmt: skip


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    facts = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    if not facts:
        return platform.processor() or platform.machine()
    return f"{facts.get('model name', platform.machine())}, model {facts.get('model', '?')}"


def _memory() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def reason(step: Step) -> str | None:
    """Why the step cannot run here."""
    if not step.script.is_file():
        return f"there is no bench/{step.script.name}"
    if step.needs and not importlib.util.find_spec(step.needs):
        return f"no {step.needs} here: pip install -c constraints.txt '.[{step.needs}]'"
    return None


def run(step: Step, prefix: Sequence[str] = ()) -> dict[str, Any]:
    """Status, and what was measured or said."""
    facts: dict[str, Any] = {
        "command": " ".join(["python", f"bench/{step.script.name}", *step.arguments]), "revision": revision(),
        "date": datetime.now(UTC).date().isoformat(), "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    if why := reason(step):
        return {**facts, "status": "skipped", "said": why}
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "result.json", Path(folder) / "log"
        command = [*prefix, "timeout", "--kill-after=5", str(step.limit), sys.executable, str(step.script),
                   *step.arguments, "--json", str(out)]  # fmt: skip
        started = time.monotonic()
        with log.open("w") as said:
            status = subprocess.run(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT).returncode
        if not prefix:  # which may wait
            facts["seconds"] = round(time.monotonic() - started)
        if out.is_file():
            facts["result"] = json.loads(out.read_text())
        text = log.read_text(errors="replace")
    if status == 0 and "result" in facts:
        return {**facts, "status": "ok"}
    over = status in (124, 137)
    return {**facts, "status": f"over its {step.limit} s" if over else "failed", "said": text[-2000:]}


def merged(kept: Mapping[str, Any], step: str, found: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept, with what a step has found: a result stays where there is no new one."""
    steps = dict(kept.get("steps", {}))
    before = steps.get(step, {})
    if before.get("status") != "ok" or found["status"] == "ok":
        other = kept.get("machine", here) != here
        steps[step] = {**found, **({"machine": dict(here)} if other else {})}
    order = [each.name for each in STEPS]
    steps = {name: steps[name] for name in order if name in steps}
    return {"machine": kept.get("machine", dict(here)), "steps": steps}


def main() -> None:
    parser = options(__doc__)
    names = [step.name for step in STEPS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="STEP", help=", ".join(names))
    parser.add_argument("--missing", action="store_true", help="the steps that have no result yet")
    parser.add_argument("--long", action="store_true", help="at full length, an hour a step at most: growth to 10,000")
    parser.add_argument("--prefix", default="", help="what each command is run by, such as 'taskset -c 0,1'")
    parser.add_argument("--json", type=Path, default=KEPT)
    asked = parser.parse_args()
    here = machine()
    kept = json.loads(asked.json.read_text()) if asked.json.is_file() else {}
    if kept and kept["machine"] != here and not asked.only and not asked.missing:
        kept = {}
    chosen = [step for step in STEPS if not asked.only or step.name in asked.only]
    if asked.missing:
        chosen = [step for step in chosen if kept.get("steps", {}).get(step.name, {}).get("status") != "ok"]
    if asked.long:
        chosen = [replace(step, arguments=step.long, limit=3600) for step in chosen if step.long is not None]
    for step in chosen:
        print(f"{step.name}: at most {step.limit} s", file=sys.stderr, flush=True)
        found = run(step, shlex.split(asked.prefix))
        said = found.get("said", "").strip().splitlines()
        print(f"{step.name}: {found['status']}{': ' + said[-1] if said else ''}", file=sys.stderr, flush=True)
        kept = merged(kept, step.name, found, here)
        write_text(asked.json, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
