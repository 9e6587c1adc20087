"""Table 1 from nothing to LaTeX by one command, with trees that stand for the systems and networks that are small.

No number means anything here. What counts is that each stands under the published ones, as measured, and says by what.
"""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import paper_files
import pytest
from shim_bench import FAKES, needs_ffmpeg
from tiny_networks import save_i3d, save_ltx2
from typer.testing import CliRunner

from reports.render.formats import FORMATS
from reports.tables import specification
from reports.tables.make import of_runs
from t2av_bench.cli.main import app
from t2av_bench.systems.external.spec import spec
from t2av_bench.utils.config import dump_toml
from t2av_bench.weights.table import _TABLE as TABLE

pytestmark = [
    pytest.mark.slow, needs_ffmpeg,
    pytest.mark.skipif(find_spec("diffusers") is None, reason="diffusers is not installed"),
]  # fmt: skip

FAKED = ("ovi", "universe-1", "talker-t2av-release", "f5-tts", "cosyvoice", "sonic")
# Attention over every frame is nearly all that a clip costs: five a second.
TINY = 'options = { model = "FOLDER", height = 32, width = 32, frame_rate = "5", steps = 1, image_crf = 0 }'


def tree(id: str, place: Path) -> None:
    """What stands for a checkout, with its weights' names inside."""
    shutil.copytree(FAKES / id, place)
    listed = [line for line in (place / "placeholders.txt").read_text().split()]
    for line in dict.fromkeys([*listed, *(weight.path for weight in spec(id).weights)]):
        target = place / line
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir() if line.endswith("/") or line not in listed else target.touch()


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: items, settings, a network for FVD, LTX-2, and a copy of the run file for its options."""
    from t2av_bench.gridface.data import build

    home = tmp_path_factory.mktemp("user")
    for split, manifest in build.build(home / "data", ["test-zh", "test-en"], 2, workers=1, size=256).items():
        items = [json.loads(line) | {"reference_voice_text": "some words"} for line in manifest.open(encoding="utf-8")]
        manifest.with_name("items.jsonl").write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
        manifest.parent.rename(home / f"{split.removeprefix('test-')}-200")
    lines = []
    for id in FAKED:
        tree(id, home / "src" / id)
        lines += [f"[{id}]", f'python = "{sys.executable}"', f'checkout = "src/{id}"']
    (home / "systems.toml").write_text("\n".join(lines) + "\n")
    (home / "weights").mkdir()
    save_i3d(home / "weights" / "i3d.pt")
    digest = hashlib.sha256((home / "weights" / "i3d.pt").read_bytes()).hexdigest()
    table = tomllib.loads(TABLE.read_text(encoding="utf-8")) | {"i3d_torchscript": {
        "purpose": "a test", "file": "i3d.pt", "origins": ["file:///nowhere"], "licence": "none", "group": "free",
        "format": "torchscript", "loader": "test", "sha256": digest,
    }}  # fmt: skip
    (home / "weights.toml").write_text(dump_toml(table), encoding="utf-8")
    save_ltx2(home / "ltx")
    text = paper_files.path(1).read_text(encoding="utf-8")
    assert text.count('system = "ltx-2"\n') == 2
    (home / "table1.toml").write_text(
        text.replace('system = "ltx-2"\n', f'system = "ltx-2"\n{TINY}\n').replace("FOLDER", str(home / "ltx"))
    )
    return home


@pytest.fixture(scope="module")
def out(user: Path) -> Path:
    """Where the command has worked."""
    environment = {
        "T2AV_BENCH_SYSTEMS": user / "systems.toml", "T2AV_BENCH_WEIGHTS": user / "weights",
        "T2AV_BENCH_WEIGHTS_TABLE": user / "weights.toml", "XDG_CACHE_HOME": user / "cache",
        "XDG_DATA_HOME": user / "share",
    }  # fmt: skip
    done = CliRunner().invoke(
        app,
        ["run", str(user / "table1.toml"), "--workers", "1",
         *(word for name in ("zh-200", "en-200") for word in ("--manifest", f"{name}={user / name / 'items.jsonl'}")),
         "--max-failures", "1000", "--allow-missing"],
        env={name: str(value) for name, value in environment.items()},
    )  # fmt: skip
    assert done.exit_code == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return user / "paper-table1"


def rows_of(out: Path) -> dict[str, list[str]]:
    """Origin -> names of its rows in the LaTeX table."""
    text = (out / "tables" / "paper-1.tex").read_text(encoding="utf-8")
    published, measured = text.split(r"\midrule", 1)[1].split("Measured here")
    return {
        origin: [
            line.split(" & ")[0].split(" (")[0].split("\\")[0] for line in part.split(r"\bottomrule")[0].splitlines()
            if " & " in line and "tiny" not in line
        ]
        for origin, part in (("published", published), ("measured", measured))
    }  # fmt: skip


def test_measured_rows_stand_under_the_published_ones(out):
    found = rows_of(out)
    assert found["published"] == [row.name for row in specification.load("paper:1").rows]
    assert len(found["measured"]) == len({row["label"] for row in paper_files.read(1)["rows"]})


def test_clips_of_every_stand_in_are_measured_in_both_languages(out):
    for name in ("ovi", "ltx-2", "universe-1", "talker-t2av-release", "f5-tts-sonic", "cosyvoice-sonic"):
        for language in ("zh", "en"):
            failures = out / "clips" / f"{name}-{language}" / "failures.jsonl"
            assert not failures.exists(), failures.read_text()
    with (out / "tables" / "paper-1.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["system"]: row for row in csv.DictReader(file) if row["origin"] == "measured"}
    for label in ("Ovi", "LTX-2", "UniVerse-1", "Talker-T2AV (its own code)", "F5-TTS + Sonic", "CosyVoice + Sonic"):
        assert float(rows[label]["en_fvd"]) > 0 and "never run with weights" in rows[label]["note"], label
        assert rows[label]["zh_fvd"] or "frames at 25 fps; 16 are needed" in rows[label]["zh_fvd_reason"], label


def test_what_cannot_be_made_is_a_row_with_its_reason(out):
    failures = [json.loads(line) for line in (out / "clips" / "talker-t2av-en" / "failures.jsonl").open()]
    assert len(failures) == 2 and all("weights" in each["reason"] for each in failures)
    notes = (out / "tables" / "paper-1.md").read_text(encoding="utf-8")
    assert "talker-t2av needs weights that are missing: talker" in notes.replace("\\", "")


def test_no_stand_in_looks_published(out):
    """Nothing that was measured takes a mark from what the paper prints, and its protocol is named below."""
    published, measured = (out / "tables" / "paper-1.md").read_text(encoding="utf-8").split("Measured here")
    alone = [cells(line) for line in FORMATS["md"](of_runs([], "paper:1")).splitlines() if line.startswith("|")]
    rows = [cells(line) for line in published.splitlines() if line.startswith("|")]
    assert rows[2:-1] == alone[2:]
    assert "Rows measured here were scored by fvd/styleganv" in measured and "fvd/styleganv" not in published


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX on this machine: pdflatex compiles the table")
def test_the_table_is_set(out, tmp_path):
    table = (out / "tables" / "paper-1.tex").read_text(encoding="utf-8")
    (tmp_path / "table.tex").write_text(
        "\\documentclass{article}\\usepackage[a4paper,margin=2cm]{geometry}\\usepackage{booktabs}\\begin{document}\n"
        + table + "\\end{document}\n", encoding="utf-8",
    )  # fmt: skip
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"], cwd=tmp_path, capture_output=True,
        text=True, encoding="latin-1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert not [line for line in done.stdout.splitlines() if line.startswith("Overfull \\hbox")]
