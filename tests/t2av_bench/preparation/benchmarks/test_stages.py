"""Stages on disk: what is kept, what is made again, and what trouble costs."""

import json

import pytest
from staged_tasks import Tools, doubled

from t2av_bench.errors import NotApplicable
from t2av_bench.preparation.benchmarks.stages import Job, Stages
from t2av_bench.utils.worker_pool import WorkerPool


def jobs(**contents):
    return [Job(id, doubled, content, [1, content]) for id, content in contents.items()]


def run(folder, given, loads=True, valid=lambda row: True):
    """The rows, and the ids that were made by this call."""
    made = []
    with WorkerPool() as pool:
        stages = Stages(folder, pool, Tools, (loads,), workers=2, timeout=60, memory=None,
                        on_step=lambda step: made.append(step.text) if step.text else None)  # fmt: skip
        return stages.run("probe", given, valid), sorted(made)


def test_rows_are_kept_while_they_stand_on_the_same_ground(tmp_path):
    rows, made = run(tmp_path, jobs(b=2, a=1, c="refused"))
    assert made == ["a", "b", "c"] and [*rows] == ["a", "b", "c"]
    assert rows["a"]["value"] == 2 and rows["c"]["reason"] == "it shows no face" and "value" not in rows["c"]
    before = (tmp_path / ".prepare" / "probe.jsonl").read_bytes()
    assert run(tmp_path, jobs(c="refused", a=1, b=2))[1] == []
    assert (tmp_path / ".prepare" / "probe.jsonl").read_bytes() == before
    rows, made = run(tmp_path, jobs(a=1, b=5, d=4))
    assert made == ["b", "d"] and {id: row["value"] for id, row in rows.items()} == {"a": 2, "b": 10, "d": 8}
    assert run(tmp_path, jobs(a=1, b=5, d=4), valid=lambda row: row["id"] != "d")[1] == ["d"]


def test_a_part_with_a_torn_end_is_continued(tmp_path):
    run(tmp_path, jobs(a=1, b=2, c=3))
    whole = tmp_path / ".prepare" / "probe.jsonl"
    lines = whole.read_bytes().splitlines(keepends=True)
    whole.unlink()
    whole.with_name("probe.part.jsonl").write_bytes(lines[0] + lines[1][:25])
    rows, made = run(tmp_path, jobs(a=1, b=2, c=3))
    assert made == ["b", "c"] and len(rows) == 3
    assert whole.read_bytes() == b"".join(lines) and not whole.with_name("probe.part.jsonl").exists()


def test_a_clip_that_breaks_costs_itself_alone_and_is_tried_again(tmp_path):
    rows, _ = run(tmp_path, jobs(a=1, b="killed", c="defect", d=4))
    assert rows["a"]["value"] == 2 and rows["d"]["value"] == 8
    assert "SIGKILL" in rows["b"]["reason"] and "KeyError" in rows["c"]["reason"]
    assert run(tmp_path, jobs(a=1, b="killed", c="defect", d=4))[1] == ["b", "c"]


def test_what_concerns_all_clips_ends_the_stage(tmp_path):
    with pytest.raises(NotApplicable, match="weights are missing"):
        run(tmp_path, jobs(a="no weights"))
    with pytest.raises(NotApplicable, match="cannot be loaded: these tools load nothing"):
        run(tmp_path / "other", jobs(a=1), loads=False)
    written = tmp_path / ".prepare" / "probe.part.jsonl"
    assert not written.exists() or not [json.loads(line) for line in written.read_text().splitlines()]
