"""Files go to another machine by their contents, and what is written there comes back under the sender's names."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from t2av_bench.utils.shipping import Mirror, Sender


@dataclass(frozen=True)
class Job:
    clip: Path
    sound: str
    out: Path
    told: str


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    (folder / "clips").mkdir(parents=True)
    (folder / "clips" / "a.mp4").write_bytes(b"pictures")
    (folder / "clips" / "a.wav").write_bytes(b"sound")
    monkeypatch.chdir(folder)
    return folder


def machine(tmp_path, sender, name="there"):
    return Mirror(tmp_path / name / "contents", tmp_path / name / "worker", sender.roots)


def sent(sender, mirror, value):
    """What arrives, and the digests whose contents had to be sent."""
    data, files = sender.pack(value)
    lacking = mirror.lacks(files)
    for digest in lacking:
        for chunk in sender.chunks(files[digest]):
            mirror.take(digest, chunk)
        mirror.take(digest, None)
    return mirror.unpack(data), lacking


def test_a_job_finds_its_files_elsewhere_and_each_content_goes_once(here, tmp_path):
    sender = Sender([here / "out"])
    mirror = machine(tmp_path, sender)
    job = Job(here / "clips" / "a.mp4", str(here / "clips" / "a.wav"), here / "out" / "a.mp4", "/no/such/file")
    found, digests = sent(sender, mirror, job)
    assert len(digests) == 2 and found.told == "/no/such/file"
    for path, content in ((found.clip, b"pictures"), (Path(found.sound), b"sound")):
        assert path.is_relative_to(tmp_path / "there") and path.read_bytes() == content
    assert found.out.is_relative_to(tmp_path / "there") and found.out.parent.is_dir()
    again, digests = sent(sender, mirror, job)
    assert again == found and digests == []
    assert sender.unpack(mirror.pack(found)) == job


def test_relative_paths_stay_relative(here, tmp_path):
    sender = Sender([Path("out")])
    mirror = machine(tmp_path, sender)
    job = Job(Path("clips/a.mp4"), "clips/a.wav", Path("out/a.mp4"), "")
    found, _ = sent(sender, mirror, job)
    assert found.clip.read_bytes() == b"pictures" and found.sound == "clips/a.wav"
    found.out.write_bytes(b"made")
    assert sender.unpack(mirror.pack(found)) == job
    sender.keep(mirror.written())
    assert (here / "out" / "a.mp4").read_bytes() == b"made"


def test_reasons_name_the_senders_paths(here, tmp_path):
    sender = Sender([])
    mirror = machine(tmp_path, sender)
    found, _ = sent(sender, mirror, here / "clips" / "a.mp4")
    assert sender.unpack(mirror.pack([f"cannot read {found}: it is empty"])) == [
        f"cannot read {here / 'clips' / 'a.mp4'}: it is empty"
    ]


def test_what_is_written_below_the_roots_comes_back_once(here, tmp_path):
    sender = Sender([here / "out"])
    (here / "out").mkdir()
    (here / "out" / "earlier.txt").write_bytes(b"earlier")
    mirror = machine(tmp_path, sender)
    job = Job(here / "out" / "earlier.txt", "", here / "out" / "deep" / "new.mp4", "")
    found, _ = sent(sender, mirror, job)
    assert mirror.written() == {}
    found.out.write_bytes(b"new")
    found.out.with_name(".unfinished").write_bytes(b"half")
    assert mirror.written() == {str(job.out): b"new"}
    assert mirror.written() == {}
    os.utime(found.out, ns=(1, 1))
    found.clip.unlink()
    found.clip.write_bytes(b"made again")
    written = mirror.written()
    assert written == {str(job.out): b"new", str(job.clip): b"made again"}
    sender.keep(written)
    assert job.clip.read_bytes() == b"made again" and job.out.read_bytes() == b"new"


def test_a_changed_file_is_another_content_and_one_that_changes_meanwhile_an_error(here, tmp_path):
    sender = Sender([])
    mirror = machine(tmp_path, sender)
    job = Job(here / "clips" / "a.mp4", "", here, "")
    sent(sender, mirror, job)
    job.clip.write_bytes(b"other pictures")
    found, digests = sent(sender, mirror, replace(job))
    assert len(digests) == 1 and found.clip.read_bytes() == b"other pictures"
    _, files = sender.pack(job)
    mirror.take("0" * 64, b"anything")
    with pytest.raises(ValueError, match="changed while it was sent"):
        mirror.take("0" * 64, None)
