"""How a browser fares with the page of a large run: until it can be used, sorting, filters, scrolling, elements, sizes.

    python bench/page_speed.py --items 1000 --systems 6

Runs are made up (see growth.py). Every clip is one of four files, so pictures are decoded as for other runs, and
no face is tracked. Chromium is headless and draws on the processor: a screen and a graphics card do better.
"""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from growth import make_run
from measuring import options

from reports.page.site import build_report
from t2av_bench.evaluation.worker import _probe
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.utils.files import file_sha256

FLAGS = ["--no-sandbox", "--disable-gpu", "--mute-audio", "--disable-dev-shm-usage"]
LONG = """window.long = [];
new PerformanceObserver((list) => { for (const each of list.getEntries()) long.push(Math.round(each.duration)); })
  .observe({ type: "longtask", buffered: true });"""
TIMED = "async (act) => { const start = performance.now(); act(); " \
        "await new Promise((done) => requestAnimationFrame(() => setTimeout(done))); " \
        "return Math.round(performance.now() - start); }"  # fmt: skip
SCROLL = """async () => {
  const gaps = []; let last = performance.now();
  for (let i = 0; i < 120; i++) {
    scrollBy(0, 60);
    await new Promise(requestAnimationFrame);
    const now = performance.now(); gaps.push(now - last); last = now;
  }
  gaps.sort((a, b) => a - b);
  return { median: Math.round(gaps[60]), p95: Math.round(gaps[114]), worst: Math.round(gaps[119]) };
}"""
CLICK = "() => document.querySelectorAll('#scores thead button')[2].click()"
CHOOSE = "() => {{ const one = document.querySelector('{}'); one.selectedIndex = {}; " \
         "one.dispatchEvent(new Event('change', {{ bubbles: true }})); }}"  # fmt: skip
TYPE = "() => {{ const one = document.querySelector('[name=q]'); one.value = '{}'; " \
       "one.dispatchEvent(new Event('input', {{ bubbles: true }})); }}"  # fmt: skip
ACTS = {
    "index.html": {"sort": CLICK, "sort again": CLICK, "quantity": CHOOSE.format("#scores-controls select", 3)},
    "clips.html": {
        "worst first": CHOOSE.format("[name=order]", 1), "largest difference": CHOOSE.format("[name=order]", 3),
        "group": CHOOSE.format("[name=group]", 2), "all groups": CHOOSE.format("[name=group]", 0),
        "reason": CHOOSE.format("[name=show]", 2), "all items": CHOOSE.format("[name=show]", 0),
        "a letter": TYPE.format("0"), "two letters": TYPE.format("09"),
    },
}  # fmt: skip


def clips(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Path, digest and facts (JSON, as a run keeps them) of four clips of 4 s, 256 x 256, with sound."""
    folder.mkdir(exist_ok=True)
    for seed in range(4):
        random, path = np.random.default_rng(seed), folder / f"{seed}.mp4"
        frames = (np.roll(random.integers(0, 255, (256, 256, 3), np.uint8) // 4 + 90, at, axis=0) for at in range(100))
        write_mp4(path, frames, random.normal(0, 0.1, 64000).astype(np.float32), preset="ultrafast", crf=35)
        yield str(path), file_sha256(path), json.dumps({"generated": _probe(Clip(path))[0]})


def make_runs(folder: Path, items: int, systems: int) -> list[Path]:
    files, runs = list(clips(folder / "clips")), [folder / f"run{system}" for system in range(systems)]
    for system, run in enumerate(runs):
        make_run(run, system, items)
        with sqlite3.connect(run / "results.db") as database:
            for index in range(items):
                id, labels = f"clip-{index:05d}", {"language": ("en", "zh")[index % 2], "speaker": f"p{index % 40}"}
                item = json.dumps({"id": id, "text": "the quick brown fox jumps over a lazy dog", **labels})
                database.execute(
                    "UPDATE clips SET generated = ?, digest = ?, media = ?, item = ? WHERE clip = ?",
                    (*files[(index + system) % len(files)], item, id),
                )
    return runs


def measure(page: Any, report: Path, name: str, there: str) -> dict[str, Any]:
    page.goto((report / name).as_uri())
    page.wait_for_selector(there)
    loaded = page.evaluate("Math.round(performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd)")
    page.wait_for_timeout(1500)
    found = {"usable_ms": loaded, "elements": page.evaluate("document.getElementsByTagName('*').length"),
             "long_tasks_ms": page.evaluate("long.splice(0)")}  # fmt: skip
    return found | {f"{act}_ms": page.evaluate(f"({TIMED})({code})") for act, code in ACTS[name].items()}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--systems", type=int, default=6)
    parser.add_argument("--report", type=Path, help="a report that is there, instead of a made-up one")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        report = asked.report
        if report is None:
            report = Path(temporary) / "page"
            build_report(make_runs(Path(temporary), asked.items, asked.systems), report, plots=False)
        found = os.environ.get("CHROMIUM") or shutil.which("chromium")
        page = playwright.chromium.launch(executable_path=found, args=FLAGS).new_page()
        page.add_init_script(LONG)
        sizes = [path.stat().st_size for path in report.rglob("*") if path.is_file()]
        print(json.dumps({"files": len(sizes), "megabytes": round(sum(sizes) / 1e6, 1)}))
        print(json.dumps({"results": measure(page, report, "index.html", "#scores table")}))
        clips_page = measure(page, report, "clips.html", ".item .clip")
        print(json.dumps({"clips": clips_page | {"scroll_frames_ms": page.evaluate(SCROLL)}}))


if __name__ == "__main__":
    main()
