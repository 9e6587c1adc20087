"""What an actor does on its machine before and beside its worker, and what the command makes of its answer."""

import time
from multiprocessing import Pipe
from types import SimpleNamespace

import pytest
from ray_nodes import plug

from t2av_bench.utils import ray_host
from t2av_bench.utils.ray_host import Host, place_of, versions
from t2av_bench.utils.ray_transport import Remote
from t2av_bench.utils.worker_pool import Done, Finished, Working


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_host.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_what_a_killed_command_sent_goes_and_what_is_in_use_stays(temporary):
    killed = Host({}, "killed")
    running = Host({}, "running")
    (temporary / "t2av-bench-other").mkdir()
    assert place_of("killed").is_dir() and place_of("running").is_dir()
    killed._held.close()  # as its process's end does
    other = Host({}, "other")
    left = {folder.name for folder in temporary.iterdir()}
    assert left == {place_of("running").name, place_of("other").name, "t2av-bench-other"}
    assert not running._held.closed and not other._held.closed


def test_variables_of_the_command_do_not_replace_those_of_the_machine(monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_OURS", "machine")
    monkeypatch.delenv("T2AV_BENCH_NEW", raising=False)
    Host({"T2AV_BENCH_OURS": "command", "T2AV_BENCH_NEW": "command"})
    assert [ray_host.os.environ[f"T2AV_BENCH_{name}"] for name in ("OURS", "NEW")] == ["machine", "command"]
    monkeypatch.delenv("T2AV_BENCH_NEW")


def test_plug_ins_and_this_code_are_part_of_the_versions(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        plug(tmp_path / "site", patch)
        assert versions()["fakes"] == "1.0"
    copy = tmp_path / "t2av_bench" / "utils" / "ray_host.py"
    copy.parent.mkdir(parents=True)
    digests = set()
    monkeypatch.setattr(ray_host, "__file__", str(copy))
    for text in ("one", "two"):
        copy.write_text(text)
        ray_host._code.cache_clear()
        digests.add(versions()["t2av-bench"])
    ray_host._code.cache_clear()
    assert len(digests) == 2


def test_a_machine_that_would_give_other_numbers_is_named():
    found = {"machine": "node7", "plug": "1.0", "weights sync": "ab"}
    calls = SimpleNamespace(
        sender=None, facts={"plug": "1.0", "weights sync": "cd", "other": "2.0"}, kill=lambda actor: None,
        listen=lambda reference, heard: heard(found, None),
    )  # fmt: skip
    actor = SimpleNamespace(start=SimpleNamespace(remote=lambda *given: None))
    remote = Remote(calls, lambda: actor, (None,))
    said = r"node7 .*other numbers: weights sync ab there, cd here; other absent there, 2.0 here\. Install"
    with pytest.raises(ValueError, match=said):
        remote.there()
    remote.kill()


def test_what_a_worker_says_during_a_job_is_told_at_once_when_it_is_over():
    theirs, mine = Pipe()
    worker = SimpleNamespace(
        fileno=mine.fileno, receive=mine.recv, ended=lambda: False, memory_held=lambda: 5, exit_reason=lambda: "died",
    )  # fmt: skip
    host = Host({})
    host._worker = worker
    said = [Working("a"), Done("a", 1), Finished(), Working("b")]
    for message in said:
        theirs.send(message)
    begun = time.monotonic()
    assert host.hear() == ray_host.Heard(said[:3], None, 5)
    assert time.monotonic() - begun < ray_host.BEAT_SECONDS / 2
    assert host.hear().messages == said[3:]
    theirs.close()
    assert host.hear() == ray_host.Heard([], "died", None)
