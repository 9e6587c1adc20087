"""A clip stays only while the code and the files that made it are the same; ``--regenerate`` makes it again anyway."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from experiment_factory import ROW, cli, items, log, only_made, scores, sounds, unheard, world, write  # noqa: F401

from t2av_bench import systems
from t2av_bench.experiment import run as benchmark_run
from t2av_bench.experiment.config import load
from t2av_bench.generation.records import made_from
from t2av_bench.generation.sources import _with_imports, code_digest, code_files
from t2av_bench.systems.base import System

PLUG_IN = """
from fake_systems import Noise

class Edited(Noise):
    '''Noise of one level.'''

    id, title = "edited", "Edited"

    @classmethod
    def load(cls, *, device="cpu"):
        from {helper} import LEVEL
        return cls(LEVEL)
"""
IMPORTED = """
from fake_systems import Noise
from pathlib import Path

class Imported(Noise):
    id, title = "imported", "Imported"

    @classmethod
    def load(cls, *, device="cpu", folder: {hint} = {default}):
        system = cls(0.1)
        system.folder = folder
        return system

    {declared}

    def generate(self, request, on_progress=None):
        self.level = float(open(f"{{self.folder}}/{{request.id}}.txt").read())
        return self._one(request, 1)
"""
EDITED = ROW.replace("fake-noise", "edited")


@pytest.fixture
def plug(tmp_path, monkeypatch):
    """Writes modules of a plug-in and, the first time, what installs it."""
    site = tmp_path / "own"

    def plug(files: dict[str, str], **entries: str) -> Path:
        described = site / "own_systems-1.0.dist-info"
        if not described.exists():
            described.mkdir(parents=True)
            (described / "METADATA").write_text("Metadata-Version: 2.1\nName: own-systems\nVersion: 1.0\n")
            monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ["PYTHONPATH"]]))
            monkeypatch.syspath_prepend(str(site))
        if entries:
            lines = [f"{id} = {value}" for id, value in entries.items()]
            (described / "entry_points.txt").write_text("\n".join(["[t2av_bench.systems]", *lines]) + "\n")
        for name, text in files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(text)
        forget()
        return site

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0].partition("_")[0] == "own"]:
            del sys.modules[name]
        systems.registry.forget()

    yield plug
    forget()


def made_again(tmp_path: Path, rows: str) -> list[str]:
    """The ids that the next command makes, and its notices."""
    log(tmp_path)
    only_made(tmp_path, rows)
    return sorted(line.split()[1] for line in log(tmp_path))


LAYOUTS = {
    "one module": ({"own.py": PLUG_IN.format(helper="own_level"), "own_level.py": "LEVEL = 0.1\n"}, "own:Edited"),
    "a package": ({"own/__init__.py": "", "own/deep/__init__.py": "", "own_level.py": "",
                   "own/deep/system.py": PLUG_IN.format(helper="own.level"), "own/level.py": "LEVEL = 0.1\n"},
                  "own.deep.system:Edited"),
    "relative": ({"own/__init__.py": "from .system import Edited\n", "own_level.py": "",
                  "own/system.py": PLUG_IN.format(helper=".level"), "own/level.py": "LEVEL = 0.1\n"}, "own:Edited"),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_code_counts_wherever_it_lies_and_comments_do_not(plug, layout):
    files, entry = LAYOUTS[layout]
    site = plug(files, edited=entry)
    before = code_digest(systems.system_class("edited"))
    helper = next(site / name for name in files if name.endswith("level.py") and files[name])
    helper.write_text('# as loud as before\n\nLEVEL = 0.1  # not much\n\n"""Not\nmuch."""\n')
    assert code_digest(systems.system_class("edited")) == before
    for text in ("LEVEL = 0.2\n", 'LEVEL = """0.1\n# no comment"""\n', "if True:\n    LEVEL = 0.1\n", "LEVEL = (", ""):
        helper.write_text(text)
        assert code_digest(systems.system_class("edited")) != before, text


def test_clips_of_code_that_was_edited_are_made_again_and_scored_again(tmp_path, plug):
    files, entry = LAYOUTS["a package"]
    plug(files, edited=entry)
    file = write(tmp_path, EDITED)
    benchmark_run.run(load(file), unheard, unheard)
    quiet = scores(tmp_path / "out", "noise")["a", "level"].value
    assert made_again(tmp_path, EDITED) == []
    plug({"own/level.py": "LEVEL = 0.2\n"}, edited=entry)
    notes = []
    shown = cli(file, "--dry-run")
    assert "noise: 3 clips are made again: the code of the system edited has changed" in shown.stderr
    result = benchmark_run.run(load(file), unheard, notes.append)
    assert result.rows[0].made == 3
    assert "noise: 3 clips are made again: the code of the system edited has changed" in notes
    assert scores(tmp_path / "out", "noise")["a", "level"].value == pytest.approx(4 * quiet, rel=0.1)


@pytest.mark.parametrize("hint, default, options, declared", [
    ("str", "None", True, ""), ("'Path'", "None", True, ""), ("str", "FOLDER", False, ""),
    ("str", "FOLDER", False, "checkpoint_files = classmethod(lambda cls: ['FOLDER'])"),
])  # fmt: skip
def test_finished_clips_that_were_replaced_are_taken_again(
    tmp_path, plug, hint, default, options, declared, monkeypatch
):
    """A system that only hands over what lies in a folder, named in whatever way."""
    folder = tmp_path / "finished"
    folder.mkdir()
    for id in "abc":
        (folder / f"{id}.txt").write_text("0.1")
    code = IMPORTED.format(hint=hint, default=repr(str(folder)) if default == "FOLDER" else default,
                           declared=declared.replace("FOLDER", str(folder)))  # fmt: skip
    plug({"own.py": code}, imported="own:Imported")
    given = f'options = {{ folder = "{folder}" }}\n' if options else ""
    rows = ROW.replace("fake-noise", "imported") + given
    (plan,) = only_made(tmp_path, rows)
    before = sounds(plan.folder)
    assert made_again(tmp_path, rows) == []
    (folder / "b.txt").write_text("0.2")
    assert made_again(tmp_path, rows) == ["a", "b", "c"]
    after = sounds(plan.folder)
    assert {id for id in "abc" if after[id] != before[id]} == {"b"}, "and only this one is measured again"


def test_a_row_is_made_again_on_request_and_continues_where_it_was_interrupted(tmp_path, monkeypatch):
    rows = ROW + ROW.replace('"noise"', '"other"')
    (first, _) = only_made(tmp_path, rows)
    before = sounds(first.folder)
    log(tmp_path)
    file = write(tmp_path, rows)
    for names in (["nose"], ["all", "nose"]):
        refused = cli(file, "--dry-run", *[word for name in names for word in ("--regenerate", name)])
        assert (refused.exit_code == 2) == (names == ["nose"]), refused.output
    assert "--regenerate nose: no such row; did you mean noise?" in cli(file, "--regenerate", "nose").stderr
    (noise, other) = json.loads(cli(file, "--dry-run", "--json", "--regenerate", "noise").stdout)
    assert (noise["to_make"], noise["made_again"], other["to_make"]) == (3, {"--regenerate asks for it": 3}, 0)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("t2av_bench.utils.worker_pool.WorkerPool.run", interrupted)
        assert cli(file, "--regenerate", "noise").exit_code == 130
    assert made_again(tmp_path, rows) == ["a", "b", "c"], "the plain command continues"
    assert sounds(first.folder) == before


def test_clips_of_earlier_versions_stay_and_later_changes_are_noticed(tmp_path, plug):
    files, entry = LAYOUTS["one module"]
    plug(files, edited=entry)
    (plan,) = only_made(tmp_path, EDITED)
    for record in plan.folder.glob("?.json"):
        document = json.loads(record.read_text())
        del document["made_from"]
        record.write_text(json.dumps(document))
    log(tmp_path)
    told = [], []
    for notes in told:
        loaded = load(write(tmp_path, EDITED))
        plans, _ = benchmark_run._planned(loaded, {row.name: row.manifest for row in loaded.rows})
        benchmark_run._make(plans, loaded.config, unheard, notes.append)
    assert log(tmp_path) == []
    assert [sum("an earlier version made" in note for note in notes) for notes in told] == [1, 0]
    plug({"own_level.py": "LEVEL = 0.3\n"}, edited=entry)
    assert made_again(tmp_path, EDITED) == ["a", "b", "c"]


def test_a_broken_plug_in_costs_its_own_row_alone(tmp_path, plug):
    troubles = {
        "raises": ("raise RuntimeError('no licence file')", "RuntimeError: no licence file"),
        "leaves": ("import sys\nsys.exit(0)", "unexpected SystemExit: 0"),
        "checks": (PLUG_IN.format(helper="own_level")
                   + "\n    @classmethod\n    def check(cls, request):\n        raise SystemExit(0)\n",
                   "unexpected SystemExit: 0"),
        "declares": (PLUG_IN.format(helper="own_level")
                     + "\n    @classmethod\n    def checkpoint_files(cls):\n        return 1 / 0\n",
                     "ZeroDivisionError"),
    }  # fmt: skip
    plug({f"own_{name}.py": code.replace('"edited"', f'"{name}"') for name, (code, _) in troubles.items()},
         **{name: f"own_{name}:Edited" for name in troubles})  # fmt: skip
    rows = ROW + "".join(ROW.replace("fake-noise", name).replace('"noise"', f'"{name}"') for name in troubles)
    plans = {plan.row.name: plan for plan in only_made(tmp_path, rows)}
    assert plans["noise"].made == ["a", "b", "c"]
    for name, (_, wrong) in troubles.items():
        assert plans[name].failures.keys() == set("abc") and wrong in plans[name].failures["a"], name
        lines = (plans[name].folder / "failures.jsonl").read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines] == ["a", "b", "c"]


FULL = (
    PLUG_IN.format(helper="own_level").replace('"edited"', '"full"')
    + """
    def generate(self, request, on_progress=None):
        from t2av_bench.systems.base import GenerationFailed
        clip = self._one(request, 1)
        if request.id == "b":
            try:
                with open("/dev/full", "w") as file:
                    file.write("x")
            except OSError as error:
                raise GenerationFailed("cannot write it") from error
        return clip
"""
)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_run_with_a_sentence_and_is_no_clips_fault(tmp_path, plug):
    plug({"own.py": FULL, "own_level.py": "LEVEL = 0.1\n"}, full="own:Edited")
    file = write(tmp_path, ROW.replace("fake-noise", "full"))
    done = cli(file)
    assert done.exit_code == 2, done.output
    assert "b.mp4: No space left on device; free some space, then the same command continues" in done.stderr
    assert log(tmp_path) == ["full a 1", "full b 1"], "c is not tried in vain"
    clips = tmp_path / "out" / "clips" / "noise"
    assert (clips / "a.mp4").exists() and not (clips / "failures.jsonl").exists()
    plug({"own.py": FULL.replace('"b"', '"none"')}, full="own:Edited")
    file = write(tmp_path, ROW.replace("fake-noise", "full"))
    assert cli(file).exit_code == 0


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "out").write_text("a file")
    done = cli(write(tmp_path))
    assert done.exit_code == 2 and str(tmp_path / "out") in done.stderr and "Traceback" not in done.output


def test_interrupted_before_scoring_no_old_score_stands_for_a_new_clip(tmp_path, monkeypatch):
    from t2av_bench.results.run import open_run

    file = write(tmp_path)
    benchmark_run.run(load(file), unheard, unheard)
    items(tmp_path, {"a": "one", "b": "two again", "c": "three"})

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(benchmark_run, "_score", interrupted)
        with pytest.raises(KeyboardInterrupt):
            benchmark_run.run(load(file), unheard, unheard)
    run = open_run(tmp_path / "out" / "runs" / "noise")
    found = run.scores["fake/level", "level"]
    (level,) = (column for column in run.columns if column.quantity.name == "level")
    assert {clip: score.value is not None for clip, score in found.items()} == {"a": True, "b": False, "c": True}
    assert "changed since" in found["b"].reason and level.summary.scored == 2
    benchmark_run.run(load(file), unheard, unheard)
    assert all(score.value is not None for score in scores(tmp_path / "out", "noise").values())


def test_a_run_folder_that_cannot_be_used_costs_its_own_row_alone(tmp_path):
    rows = ROW + ROW.replace('"noise"', '"other"')
    file = write(tmp_path, rows)
    assert cli(file).exit_code == 0
    damaged = tmp_path / "out" / "runs" / "noise" / "results.db"
    damaged.write_bytes(b"no database")
    items(tmp_path, {"a": "one", "b": "two again", "c": "three"})
    done = cli(file)
    assert done.exit_code == 2 and f"noise: not scored: {damaged}" in done.stderr, done.output
    assert all(score.value is not None for score in scores(tmp_path / "out", "other").values())
    assert damaged.read_bytes() == b"no database"


def test_a_system_that_dies_while_it_is_loaded_is_not_loaded_for_each_clip(tmp_path, plug, monkeypatch):
    deadly = f"""
        open({str(tmp_path / "loads")!r}, "a").write("load ")
        import os, signal
        os.kill(os.getpid(), signal.SIGSEGV)
"""
    code = PLUG_IN.format(helper="own_level").replace('"edited"', '"deadly"')
    code = code.replace("        from own_level import LEVEL\n", deadly)
    plug({"own.py": code, "own_level.py": "LEVEL = 0.1\n"}, deadly="own:Edited")
    deadly, noise = only_made(tmp_path, ROW.replace("fake-noise", "deadly").replace('"noise"', '"deadly"') + ROW)
    assert set(deadly.failures.values()) == {"deadly cannot be loaded: the generating process died: SIGSEGV"}
    assert (tmp_path / "loads").read_text() == "load load ", "two tries"
    assert noise.made == ["a", "b", "c"]


def test_ends_of_lines_that_are_none_stay_in_texts(tmp_path):
    texts = {"a": "one\u2028two", "b": "three\u2029four", "c": "five\x85six", "d": "refuse\u2028"}
    folder = tmp_path / "data"
    lines = [json.dumps({"id": id, "text": text, "language": "en", "reference": f"real/{id}.wav"}, ensure_ascii=False)
             for id, text in texts.items()]  # fmt: skip
    items(tmp_path, texts)
    (folder / "items.jsonl").write_bytes("".join(f"{line}\n" for line in lines).encode())
    file = write(tmp_path)
    (row,) = benchmark_run.run(load(file), unheard, unheard).rows
    assert (row.items, row.made, set(row.not_made)) == (4, 3, {"d"})
    manifest = tmp_path / "out" / "items" / "noise.jsonl"
    written = manifest.read_text(encoding="utf-8")
    assert len(written.splitlines()) == 4, "whatever a reader takes for the end of a line"
    kept = {item["id"]: item["text"] for item in map(json.loads, written.splitlines())}
    assert kept == texts
    assert benchmark_run.run(load(file), unheard, unheard).rows[0].kept == 3


def test_a_reference_that_was_replaced_or_removed_is_not_scored_by_an_older_copy(tmp_path):
    """Also where the new one has the size and the time of the old one, as copying tools give it."""
    from t2av_bench.generation.requests import read_items, write_manifest

    (row,) = load(write(tmp_path)).rows
    real = tmp_path / "data" / "real" / "a.wav"
    out = tmp_path / "items"
    write_manifest(read_items(row, row.manifest), out, row)
    (copy,) = out.rglob("a.wav")
    old, status = real.read_bytes(), real.stat()
    real.unlink()
    real.write_bytes(old[:-2] + b"\x01\x02")
    os.utime(real, ns=(status.st_atime_ns, status.st_mtime_ns))
    write_manifest(read_items(row, row.manifest), out, row)
    assert copy.read_bytes() == real.read_bytes() != old
    real.unlink()
    write_manifest(read_items(row, row.manifest), out, row)
    assert not copy.exists()


def test_the_code_of_this_projects_systems_is_what_their_own_folder_holds(tmp_path, monkeypatch):
    """Asked of a copy: an edit of the module or of its helpers counts, one of what all systems share does not."""
    project = Path(systems.__file__).parents[2]
    names = {id: set(code_files(systems.system_class(id))) for id in systems._BUILT_IN}
    assert all(names.values()), "every system has code"
    talker = names["embedded-talker-t2av"]
    assert {"t2av_bench/gridface/systems/talker.py", "t2av_bench/systems/latent/system.py"} <= talker
    shared = {f"t2av_bench/systems/{name}.py" for name in ("__init__", "base", "output", "delivery", "inputs")}
    for id, files in names.items():
        assert not files & shared and all((project / name).is_file() for name in files), id
    kind = systems.system_class("embedded-espeak")
    before = code_digest(kind)
    copy = tmp_path / "t2av_bench"
    for folder in ("systems", "gridface/systems"):
        shutil.copytree(project / "t2av_bench" / folder, copy / folder)
    module = sys.modules[kind.__module__]
    monkeypatch.setattr(module, "__file__", str(copy / "gridface" / "systems" / "espeak.py"))
    assert code_digest(kind) == before, "the place does not count"
    for name, counts in (
        ("gridface/systems/espeak.py", True),
        ("systems/output.py", False),
        ("systems/latent/system.py", False),
    ):
        text = (copy / name).read_text()
        (copy / name).write_text(text + "\n_ADDED = 1\n")
        assert (code_digest(kind) != before) == counts, name
        (copy / name).write_text(text)


def test_an_imported_module_is_found_whether_source_package_or_compiled(tmp_path):
    package = tmp_path / "kin" / "inner"
    package.mkdir(parents=True)
    for name in ("__init__.py", "native.cpython-311-x86_64-linux-gnu.so", "both.py", "both.so", "notes.txt"):
        (package / name).write_text("")
    (tmp_path / "kin" / "user.py").write_text("from kin.inner import native, both, notes, nothing\nimport json\n")
    found = {
        path.relative_to(tmp_path).as_posix() for path in _with_imports(tmp_path / "kin" / "user.py", tmp_path, None)
    }
    inner = {f"kin/inner/{name}" for name in ("__init__.py", "native.cpython-311-x86_64-linux-gnu.so", "both.py")}
    assert found == {"kin/user.py", *inner}


def test_code_that_lies_in_no_file_has_no_digest():
    class Local(System):
        __module__ = "__nowhere__"

    assert code_digest(Local) is None


def test_names_and_reasons_reach_the_terminal_as_text(tmp_path):
    """Markup of the progress display, and characters that move a terminal's cursor, in ids and reasons."""
    import io

    from t2av_bench.cli.console import Console
    from t2av_bench.cli.progress import Display
    from t2av_bench.utils.progress import Step

    stream = io.StringIO()
    display = Display(Console(file=stream, force_terminal=True, width=120, color_system=None))
    with display:
        for name in ("[/red]", "\x9b2J\x1b]0;title\x07"):
            display.step(Step("making", 1, 2, "clips", name))
            display.note(f"{name}: failed")
    shown = stream.getvalue()
    assert "[/red]: failed" in shown and "\x9b" not in shown and "\x1b]0" not in shown
    items(tmp_path, {}, ('{"id": "up\x9b2J", "text": "x", "language": "en"}', '{"id": "[/red]", "text": "x"}'))
    done = cli(write(tmp_path), "--dry-run")
    assert "\x9b" not in done.stderr and "up" in done.stderr


def test_a_configuration_that_cannot_be_read_is_named(tmp_path):
    for text in ("x = " + "[" * 100_000, "seed = " + "1" * 5000, "x = 1\nx = 2"):
        (tmp_path / "bad.toml").write_text(text)
        done = cli(tmp_path / "bad.toml")
        assert done.exit_code == 2 and "cannot read the configuration" in done.stderr, done.output


def test_a_system_that_forks_prints_and_leaves_costs_one_clip_and_no_output(tmp_path, plug):
    code = PLUG_IN.format(helper="own_level").replace('"edited"', '"rude"') + """
    def generate(self, request, on_progress=None):
        import os, subprocess, time
        print("hello from python")
        os.write(1, b"hello from below\\n")
        subprocess.run(["echo", "hello from a program"])
        if request.id == "b":
            if os.fork() == 0:
                time.sleep(100)
            os._exit(3)
        if request.id == "c":
            raise SystemExit(0)
        return self._one(request, 1)
"""  # fmt: skip
    plug({"own.py": code, "own_level.py": "LEVEL = 0.1\n"}, rude="own:Edited")
    file = write(tmp_path, ROW.replace("fake-noise", "rude") + ROW.replace('"noise"', '"other"'))
    command = [sys.executable, "-m", "t2av_bench.cli.main", "run", str(file), "--json"]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 1 and time.monotonic() - begun < 90
    noise, other = json.loads(done.stdout)["rows"]
    assert noise["not_made"].keys() == {"b", "c"} and other["not_made"] == {}
    assert noise["not_made"]["b"] == "the generating process ended with exit status 3"
    assert "SystemExit" in noise["not_made"]["c"]
    assert done.stderr.count("hello from a program") == 3


def test_parts_that_are_defaults_count(tmp_path, plug):
    whole = """
from own_part import Edited

class Whole(Edited):
    id, title = "whole", "Whole"

    @classmethod
    def load(cls, *, device="cpu", tts="edited"):
        from t2av_bench import systems
        return cls(systems.load(tts, device=device).level)
"""
    plug({"own_whole.py": whole.replace("from own_part import Edited", "from fake_systems import Noise as Edited"),
          "own_part.py": PLUG_IN.format(helper="own_level"), "own_level.py": "LEVEL = 0.1\n"},
         whole="own_whole:Whole", edited="own_part:Edited")  # fmt: skip
    rows = ROW.replace("fake-noise", "whole")
    only_made(tmp_path, rows)
    plug({"own_level.py": "LEVEL = 0.2\n"})
    assert made_again(tmp_path, rows) == ["a", "b", "c"]


def test_the_parts_of_a_system_count_however_they_are_typed():
    names = ("Embedded_Espeak", "embedded-espeak")
    typed, exact = (made_from("cascaded", {"tts": name}, str)["code"] for name in names)
    assert list(typed.values()) == list(exact.values()) and len(exact) == 2


def test_a_variant_that_is_called_like_its_system_is_no_part_of_it():
    """LTX-2's is "ltx-2" by default."""
    code = made_from("ltx-2", {}, lambda _: None)["code"]
    assert list(code) == ["ltx-2"] and made_from("ltx-2", {"variant": "LTX_2"}, lambda _: None)["code"] == code
