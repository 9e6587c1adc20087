"""An attestation counts for the specification and shim that it names, wherever it lies, and for no others."""

import json

import pytest

from t2av_bench.systems.external import attestations
from t2av_bench.systems.external.spec import digests

DAY = "2030-01-02T03:04:05+00:00"
MADE = [{"name": "start", "status": "ok", "words": ""}, {"name": "item a2v", "status": "ok", "words": ""}]


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """The user's folder and the package's, neither of which is there."""
    monkeypatch.setattr(attestations, "user_data", lambda: tmp_path / "data")
    monkeypatch.setattr(attestations, "_BUNDLED", tmp_path / "bundled")
    attestations._read.cache_clear()
    yield tmp_path / "data" / "attestations", tmp_path / "bundled"
    attestations._read.cache_clear()


def put(folder, name="sonic.json", **fields):
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"schema": attestations.SCHEMA, "id": "sonic", "date": DAY, "results": MADE, **digests("sonic")} | fields
    (folder / name).write_text(json.dumps(facts))
    attestations._read.cache_clear()


def status():
    return attestations.status("sonic", digests("sonic"))


def test_without_any_folder_nothing_was_run():
    assert status() == attestations.caveat("sonic", digests("sonic")) == "never run with weights"
    assert attestations.never_run("sonic") and attestations.attestation("sonic") is None


def test_a_folder_of_clips_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv("T2AV_BENCH_SPECS", str(tmp_path))
    text = 'id = "theirs"\ntitle = "T"\npaper = "P"\ncarrier = "folder"\nseed_support = "none"\n[tasks]\na2v = []\n'
    (tmp_path / "theirs.toml").write_text(text)
    assert attestations.caveat("theirs", digests("theirs")) == ""
    (tmp_path / "theirs.toml").write_text(text.replace("folder", "worker"))
    assert attestations.caveat("theirs", digests("theirs")) == "never run with weights"


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", ["sonic.json", "sonic-of-a-friend.json"])
def test_an_attestation_of_todays_files_counts_wherever_it_lies(folders, place, name):
    put(folders[place], name)
    assert status() == "passed its check with weights on 2030-01-02"
    assert attestations.caveat("sonic", digests("sonic")) == "" and not attestations.never_run("sonic")
    assert attestations.never_run("float") and attestations.never_run("ovi"), "it is of no other system"


@pytest.mark.parametrize(("changed", "said"), [
    ({"spec": "0" * 64}, "spec changed since"), ({"shim": "0" * 64}, "shim changed since"),
    ({"spec": "0" * 64, "shim": None}, "spec and shim changed since"),
])  # fmt: skip
def test_a_specification_or_shim_with_another_digest_has_changed_since(folders, changed, said):
    put(folders[1], **changed)
    assert status() == f"passed its check with weights on 2030-01-02; {said}"
    assert attestations.caveat("sonic", digests("sonic")) == status(), "readers of numbers learn of it"


def test_one_of_just_these_files_comes_before_a_newer_one_of_others(folders):
    put(folders[0], date="2031-01-01", spec="0" * 64)
    assert "2031" in status()
    put(folders[1], "sonic-earlier.json")
    assert status() == "passed its check with weights on 2030-01-02"
    attested = attestations.attestation("sonic")
    assert attested is not None and attested["date"] == "2031-01-01", "the newest"


@pytest.mark.parametrize("fields", [
    {"schema": 99}, {"date": ""}, {"fake": True}, {"results": []}, {"results": [{"name": 3, "status": "ok"}]},
    {"results": [*MADE, {"name": "resume", "status": "failed", "words": ""}]}, {"results": None}, {"id": None},
])  # fmt: skip
def test_what_attests_nothing_says_nothing(folders, fields):
    put(folders[0], **fields)
    assert status() == "never run with weights"


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "[" * 100_000, "\udcff"])
def test_files_that_are_none_are_passed_over(folders, text):
    put(folders[1])
    folders[0].mkdir(parents=True)
    (folders[0] / "broken.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert status() == "passed its check with weights on 2030-01-02"


def test_a_written_one_counts_at_once(folders, tmp_path):
    assert status() == "never run with weights"
    attestations.write(tmp_path / "mine.json", {"id": "sonic", "date": DAY, "results": MADE, **digests("sonic")})
    assert status() == "passed its check with weights on 2030-01-02"
    assert (folders[0] / "sonic.json").read_bytes() == (tmp_path / "mine.json").read_bytes()
