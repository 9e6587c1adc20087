"""The results file: nothing of anybody else's is touched, readers write nothing, every trouble is one sentence."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from evaluate_factory import make_clips
from run_factory import SYNC_C, UTMOS, make_run
from typer.testing import CliRunner, Result

from t2av_bench.cli.main import app
from t2av_bench.results import store_file
from t2av_bench.results.store import Store, StoreError
from t2av_bench.results.store_file import APPLICATION_ID
from t2av_bench.scores import Protocol, Score, Status


def everything(folder: Path) -> dict[str, str]:
    """Digest and time of change of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def one_sentence(done: Result) -> str:
    assert done.exit_code == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("t2av-bench: ") and done.stdout == ""
    return done.stderr


def foreign(path: Path, statements: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(statements)
    connection.close()


FOREIGN = {
    "tables": "CREATE TABLE photos (name TEXT); INSERT INTO photos VALUES ('holiday')",
    "same_names": "CREATE TABLE run (key TEXT, value TEXT); CREATE TABLE clips (clip TEXT)",
    "log": "PRAGMA journal_mode = WAL; CREATE TABLE photos (name TEXT)",
    "other_id": f"PRAGMA application_id = {APPLICATION_ID + 1}; CREATE TABLE run (key TEXT, value TEXT)",
    "no_tables": "PRAGMA user_version = 7",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_database_of_another_program_is_not_changed_by_a_byte(tmp_path, kind):
    make_clips(tmp_path / "made", ["a"])
    (tmp_path / "run").mkdir()
    foreign(tmp_path / "run" / "results.db", FOREIGN[kind])
    before = everything(tmp_path / "run")
    for create in (True, False):
        with pytest.raises(StoreError, match="a database of another program"):
            Store(tmp_path / "run" / "results.db", create=create)
    asked = ["evaluate", "--generated", tmp_path / "made", "--out", tmp_path / "run", "--metrics", "psnr"]
    for words in (asked, ["table", tmp_path / "run"]):
        assert "a database of another program" in one_sentence(command(*words))
    after = everything(tmp_path / "run")
    after.pop(".lock", None)
    assert after == before


NO_DATABASE = {
    "text": b"dear diary " * 100,
    "short": b"SQLite format 3\x00",
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
}


@pytest.mark.parametrize("kind", NO_DATABASE)
def test_a_file_that_is_no_database_is_refused(tmp_path, kind):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.db").write_bytes(NO_DATABASE[kind])
    assert "is not a results file" in one_sentence(command("table", tmp_path / "run"))
    with pytest.raises(StoreError, match="is not a results file"):
        Store(tmp_path / "run" / "results.db", create=True)
    assert (tmp_path / "run" / "results.db").read_bytes() == NO_DATABASE[kind]


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", {SYNC_C: [1.0, 2.0, 3.0], UTMOS: [3.0, 4.0, 5.0]})


def readings(run: Path) -> list:
    return [["table", run], ["compare", run, run], ["baseline", "write", run, "--out", run.parent / "baseline.json"],
            ["report", run, "--out", run.parent / "report"]]  # fmt: skip


def test_a_finished_run_is_one_file_that_readers_do_not_change(run):
    assert [path.name for path in run.glob("results.db*")] == ["results.db"]
    before = everything(run)
    for words in readings(run):
        done = command(*words)
        assert "Traceback" not in done.stderr and "results.db" not in done.stderr
    assert everything(run) == before


def test_an_interrupted_run_with_its_log_is_read_whole_from_a_folder_that_cannot_be_written(run, monkeypatch):
    """What another process left in the log counts; the folder is as on read-only storage."""
    with Store(run / "results.db", create=True) as store:
        store.put_measurement(
            "clip_000", Protocol("utmos/strong-v1", {"version": 1}), "x", {"utmos": Score.ok(1.5)}, Status.OK, None, {}
        )
        kept = run.parent / "kept"
        shutil.copytree(run, kept)  # as a killed process leaves it: file and log
    assert (kept / "results.db-wal").stat().st_size > 0
    (kept / "results.db-shm").unlink()
    before = everything(kept)
    connect = sqlite3.connect

    def read_only(path, **more):
        if "mode=ro" in str(path):  # what SQLite says where it cannot make its index beside the file
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return connect(path, **more)

    monkeypatch.setattr(store_file.sqlite3, "connect", read_only)
    with Store(kept / "results.db") as store:
        assert ("clip_000", "utmos", Score.ok(1.5)) in [(row.clip, row.quantity, row.score) for row in store.scores()]
    assert everything(kept) == before


@pytest.fixture
def read_only_mount(tmp_path):
    """A folder on a file system of its own, and a function that makes it read-only; needs the right to mount."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    subprocess.run(["umount", folder], check=True)


def test_runs_on_read_only_storage_are_read_also_with_a_log(run, read_only_mount):
    folder, close = read_only_mount
    shutil.copytree(run, folder / "finished")
    with Store(run / "results.db", create=True) as store:
        store.set("claim", {"name": "from the log", "generated": "made", "reference": None, "manifest": None})
        shutil.copytree(run, folder / "interrupted")
        (folder / "interrupted" / "results.db-shm").unlink()
    assert (folder / "interrupted" / "results.db-wal").stat().st_size > 0
    close()
    finished, interrupted = (command("table", folder / name) for name in ("finished", "interrupted"))
    assert finished.exit_code == interrupted.exit_code == 0, finished.stderr + interrupted.stderr
    assert "| system" in finished.stdout and "| from the log" in interrupted.stdout
    for words in readings(run):
        done = command(*[folder / "finished" if word == run else word for word in words])
        assert done.exception is None or isinstance(done.exception, SystemExit)
        assert "Read-only" not in done.stderr and "results.db" not in done.stderr
    make_clips(run.parent / "made", ["a"])
    for out in ("finished", "new"):
        asked = ["evaluate", "--generated", run.parent / "made", "--out", folder / out, "--metrics", "psnr"]
        assert "Read-only file system; choose another --out folder" in one_sentence(command(*asked))


def test_a_full_disk_is_one_sentence_and_loses_nothing_that_was_finished(run):
    with Store(run / "results.db", create=True) as store:
        pages = store._query("PRAGMA page_count")[0][0]
        store._query(f"PRAGMA max_page_count = {pages + 1}")  # SQLite's own "database or disk is full"
        with pytest.raises(StoreError, match="the disk is full: .*make room and repeat"):
            for index in range(100):
                store.put_measurement(
                    f"clip_{index:03d}", Protocol("utmos/strong-v1", {"version": 1}), "x", {}, Status.OK, None,
                    {"x": "y" * 3000},
                )  # fmt: skip
        with pytest.raises(StoreError, match="the disk is full"):
            store.set("x", "y" * 50_000)
        assert not store._connection.in_transaction
    with Store(run / "results.db") as store:
        assert len(store.scores()) == 6


def test_a_disk_that_fills_up_during_a_run_ends_it_with_status_2(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        make_clips(tmp_path / "made", [f"clip_{index:02d}" for index in range(60)])
        asked = ["evaluate", "--generated", tmp_path / "made", "--out", folder / "run", "--metrics", "psnr,ssim"]
        done = command(*asked, "--workers", 1)
        assert done.exit_code == 2 and "Traceback" not in done.stderr
        assert "the disk is full" in done.stderr.splitlines()[-1]
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_feature_folder_that_cannot_be_written_ends_the_run_instead_of_failing_every_clip(tmp_path, fake_metrics):
    make_clips(tmp_path / "made", ["a", "b"])
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "cpu").write_text("a file where a folder should be")
    done = command(
        "evaluate", "--generated", tmp_path / "made", "--reference", tmp_path / "made", "--out", tmp_path / "run",
        "--metrics", "fake/spread", "--cache", tmp_path / "cache",
    )  # fmt: skip
    assert "features cannot be kept in" in one_sentence(done)


def test_a_locked_file_is_one_sentence(run, monkeypatch):
    monkeypatch.setattr(store_file, "BUSY_SECONDS", 0.2)
    other = sqlite3.connect(run / "results.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for create in (True, False):
        with pytest.raises(StoreError, match="is locked by another program .*repeat the command"):
            Store(run / "results.db", create=create)
    other.execute("ROLLBACK")
    other.close()


def test_readers_and_a_writer_do_not_wait_for_each_other(run):
    with Store(run / "results.db", create=True) as writer, Store(run / "results.db") as reader:
        with writer.transaction():
            writer.set("step", 5)
            assert reader.setting("step") is None and len(reader.scores()) == 6
        assert reader.setting("step") == 5


def test_a_reader_cannot_write(run):
    with Store(run / "results.db") as store, pytest.raises(StoreError, match="cannot be written"):
        store.set("step", 5)


@pytest.mark.parametrize("where", ["zeros", "noise", "cut", "document", "missing_table", "no_version", "odd_version"])
def test_a_damaged_file_is_one_sentence(run, where):
    path = run / "results.db"
    data = path.read_bytes()
    if where in ("zeros", "noise"):
        middle = bytes(len(data) - 200) if where == "zeros" else b"\xa5" * (len(data) - 200)
        path.write_bytes(data[:100] + middle + data[-100:])
    elif where == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        statement = {
            "document": "UPDATE protocols SET description = '{'", "missing_table": "DROP TABLE scores",
            "no_version": "DELETE FROM run WHERE key = 'schema_version'",
            "odd_version": "UPDATE run SET value = '[2]' WHERE key = 'schema_version'",
        }[where]  # fmt: skip
        foreign(path, statement)
    said = one_sentence(command("table", run))
    assert "is damaged" in said or "schema version" in said


def test_other_versions_are_one_sentence_with_what_to_type(run):
    path = run / "results.db"
    foreign(path, "UPDATE run SET value = '99' WHERE key = 'schema_version'")
    before = everything(run)
    for create in (True, False):
        with pytest.raises(StoreError, match="by another t2av-bench .*install a newer t2av-bench"):
            Store(path, create=create)
    assert everything(run) == before
    foreign(path, FIRST_RELEASE)
    with pytest.raises(StoreError, match=r"older t2av-bench .*'t2av-bench evaluate --config .*evaluate.toml'"):
        Store(path)
    with Store(path, create=True) as store:
        assert len(store.scores()) == 6 and store.set_scores() == []
    assert "| system" in command("table", run).stdout
    assert int.from_bytes(path.read_bytes()[68:72], "big") == APPLICATION_ID


# What the first release wrote: no id, and tables without what the scores were made from.
FIRST_RELEASE = """
UPDATE run SET value = '1' WHERE key = 'schema_version';
ALTER TABLE clips DROP COLUMN inputs;
ALTER TABLE set_scores DROP COLUMN inputs;
PRAGMA application_id = 0;
PRAGMA journal_mode = WAL;
"""


def test_ids_and_texts_of_all_kinds_come_back(tmp_path):
    ids = ["a'); DROP TABLE clips; --", "名前", "e\u0301", "\u2028"]
    with Store(tmp_path / "results.db", create=True) as store:
        store.put_clips((id, {"id": id, "text": "\ud800"}, None, None, "no file") for id in ids)
        assert [row["clip"] for row in store.clips()] == ids
        assert json.dumps(store.clips()[0]["item"]["text"]) == '"\\ud800"'
