"""Every console block of the documents says what it needs, and does what it shows.

A comment before the block says it: ``<!-- run -->`` is carried out as it stands, ``<!-- fake -->`` with a
stand-in for what only a user has (a server of weights), and ``<!-- needs: … -->`` names what no test has. Blocks of one
page share a folder, in which lie the files that it speaks of. ``make test-slow`` carries them out.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import traceback
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner
from weights_server import CONTENT, SHA256, Bench, Server

import t2av_bench as tb
from t2av_bench.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    *(ROOT / f"{name}.md" for name in ("CONTRIBUTING", "PACKAGE", "RELEASING")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "reports").glob("*/README.md")),
]
_BLOCK = re.compile(r"(?:<!-- (?P<kind>run|fake|needs: [^>]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)```", re.S)
_COMMAND = re.compile(r"(\$ )?(t2av-bench|make|pip|python -m) ")
# Not 0 where the page says what it means: too few clips for a verdict, something that is missing on this machine.
_MAY_ANSWER = {"regress ": {0, 1, 2, 3}, "run paper-": {0, 2}}

_COMPARISON = """out = "comparison"
data = "gridface"
metrics = ["sync/gridface"]
[[rows]]
name = "real"
system = "embedded-real"
split = "test-en"
items = 2
[[rows]]
name = "talker"
system = "embedded-talker-t2av"
split = "test-en"
items = 2
"""


@dataclass(frozen=True)
class Block:
    page: Path
    number: int
    kind: str | None
    language: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.parent.name}-{self.page.stem}-{self.number}"


def blocks() -> list[Block]:
    """The blocks that show commands. A line is one that begins with ``$``, or all lines where none does."""
    found = []
    for page in PAGES:
        for number, match in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8"))):
            lines = match["text"].replace("\\\n", " ").splitlines()
            if match["language"] in ("", "console", "sh", "bash") and any(map(_COMMAND.match, lines)):
                shown = [line[2:] for line in lines if line.startswith("$ ")] or lines
                found.append(Block(page, number, match["kind"], match["language"], tuple(shown)))
    return found


BLOCKS = blocks()


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_what_it_needs(block):
    assert block.language == "console", f"{block.page.name}: ```console for {block.lines}"
    assert block.kind, f"{block.page.name}: no <!-- run -->, <!-- fake --> or <!-- needs: … --> before {block.lines}"


def test_most_blocks_are_carried_out():
    kinds = [str(block.kind).partition(":")[0] for block in BLOCKS]
    assert kinds.count("run") + kinds.count("fake") > kinds.count("needs")


def _pages(kinds: set[str]) -> list[Path]:
    return list(dict.fromkeys(block.page for block in BLOCKS if block.kind in kinds))


def _of(page: Path, kinds: set[str]) -> list[Block]:
    return [block for block in BLOCKS if block.page == page and block.kind in kinds]


@pytest.mark.slow
@pytest.mark.parametrize("page", _pages({"run"}), ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_blocks_do_what_they_show(page, gridface, tmp_path, monkeypatch):
    _prepare(tmp_path, monkeypatch)
    _files_of_a_user(page, gridface)
    for block in _of(page, {"run"}):
        for line in block.lines:
            _carry_out(line, page)


@pytest.fixture(scope="module")
def gridface(tmp_path_factory) -> Path:
    """A data folder with two clips of the embedded benchmark; Haar cascades miss smaller faces."""
    from t2av_bench.gridface.data import build

    folder = tmp_path_factory.mktemp("gridface")
    build.build(folder, ["test-en"], 2, workers=1, size=256)
    return folder


def _prepare(folder: Path, monkeypatch) -> None:
    """The programs, and a folder to work in."""
    programs = folder / "bin"
    programs.mkdir()
    for name, what in (("t2av-bench", "-m t2av_bench.cli.main"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {what} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for kind in ("CACHE", "DATA"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(folder / kind.lower()))
    place = folder / "work"
    place.mkdir()
    monkeypatch.chdir(place)


def _files_of_a_user(page: Path, gridface: Path) -> None:
    """What the pages speak of as the reader's own: clips of two models and the real ones, a face, a voice."""
    from t2av_bench.gridface.data import corpus

    place = Path.cwd()
    folder = shutil.copytree(gridface, place / "gridface") / "test-en"
    chosen = corpus.utterances("test-en")[:2] * (4 if page.stem == "study" else 1)
    kinds = ("my_model", "baseline", "real", "clips/main", "clips/candidate", "clips/real")
    for number, utterance in enumerate(chosen):
        for kind in kinds:
            (place / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "reference" / f"{utterance.id}.mp4", place / kind / f"{number:03}.mp4")
    items = [f'{{"id": "{number:03}", "text": "{each.text}", "language": "en", "reference": "real/{number:03}.mp4"}}'
             for number, each in enumerate(chosen)]  # fmt: skip
    (place / "items.jsonl").write_text("\n".join(items), encoding="utf-8")
    shutil.copy(folder / "identity" / f"{chosen[0].id}.png", place / "face.png")
    shutil.copy(folder / "voice" / f"{chosen[0].id}.wav", place / "voice.wav")
    shutil.copy(next((folder / "reference").glob("*.mp4")), place / "clip.mp4")
    (place / "my-comparison.toml").write_text(_COMPARISON, encoding="utf-8")
    spoken_of = any("runs/" in line for block in _of(page, {"run"}) for line in block.lines)
    if spoken_of and page != PAGES[0]:  # the README makes its runs itself
        for name in ("ours", "baseline", "real"):
            out = place / "runs" / name
            tb.evaluate(place / "my_model", reference=place / "real", metrics=["psnr"], name=name, out=out, workers=1)
    for block in re.findall(r"```toml\n(# (\S+\.toml)\b.*?)```", page.read_text(encoding="utf-8"), re.S):
        (place / block[1]).write_text(block[0], encoding="utf-8")


def _carry_out(line: str, page: Path) -> None:
    words = shlex.split(line, comments=True)
    if words[:2] == ["pip", "install"]:
        _check_extras(words)
    elif words[:1] == ["make"]:
        done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif words[:2] == ["t2av-bench", "serve"]:
        _serve(words)
    else:
        with _one_core():
            answer, printed, said = _type(line, words)
        typed = " ".join(words[1:])
        expected = next((answers for start, answers in _MAY_ANSWER.items() if typed.startswith(start)), {0})
        assert answer in expected, f"{page.name}: {line}\n{printed[-2000:]}\n{said[-4000:]}"
        assert "Traceback" not in said, said


def _type(line: str, words: list[str]) -> tuple[int, str, str]:
    """Exit status, stdout, stderr. What needs no shell is carried out here, where workers have their libraries."""
    if words[0] == "t2av-bench" and not re.search("[|&;<>*$]", line.partition(" #")[0]):
        done = CliRunner().invoke(app, words[1:])
        raised = done.exception if not isinstance(done.exception, SystemExit) else None
        return done.exit_code, done.stdout, done.stderr + "".join(traceback.format_exception(raised) if raised else [])
    if words[:3] == ["python", "-m", "reference_model.train"]:
        line = shlex.join([*words, "steps=20"])  # the last one counts, and minutes would show no more
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=900)
    return ran.returncode, ran.stdout, ran.stderr


@contextmanager
def _one_core() -> Iterator[None]:
    """A command then starts one worker: of two, for two clips, each would import every library."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(cores)[mine % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _check_extras(words: list[str]) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extras in re.findall(r"\[(.+?)\]", " ".join(words)):
        assert set(extras.split(",")) <= set(known)


def _serve(words: list[str]) -> None:
    with subprocess.Popen(
        [*words, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
            with urllib.request.urlopen(address, timeout=30) as answer:
                assert answer.status == 200 and b"<html" in answer.read()
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


@pytest.mark.slow
def test_weights_are_fetched_as_their_page_shows(tmp_path, monkeypatch):
    """With a server of our own in the publishers' place, and a table that names it."""
    page = ROOT / "docs" / "weights.md"
    (block,) = _of(page, {"fake"})
    server, bench = Server(), Bench(tmp_path)
    ids = [word for word in shlex.split(block.lines[0])[3:] if not word.startswith("--") and word != "research"]
    for id in ids:
        bench.row(id, origins=[server.serve(f"/{id}")], sha256=SHA256, size=len(CONTENT), group="research")
    for name, value in bench.environment().items():
        monkeypatch.setenv(name, value)
    _prepare(tmp_path, monkeypatch)
    for line in block.lines:
        if line.startswith("export "):
            name, _, folder = shlex.split(line, comments=True)[1].partition("=")
            assert name in bench.environment()  # a folder of the reader's: ours holds what was just fetched
        else:
            _carry_out(line, page)
    assert all((bench.home / f"{id}.bin").read_bytes() == CONTENT for id in ids)
