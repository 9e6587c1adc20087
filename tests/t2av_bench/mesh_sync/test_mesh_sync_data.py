"""Clips by digest from a folder of files or a git directory; what is another file is refused."""

import hashlib
import json
import re
import subprocess

import pytest
from mesh_sync_factory import features

from t2av_bench.errors import Unscorable
from t2av_bench.mesh_sync import data
from t2av_bench.mesh_sync.data import ListedClip, Repository

SCORES = """idx,category,video,audio,offsets,best_conf,min_dist,has_face,runtime_s
1,a,a\\one.mp4,a\\one.wav,[-1],4.5,9.25,True,1
2,a,a\\two.mp4,a\\two.wav,"[0, 3]",4.5,9.25,True,1
3,a,a\\three.mp4,a\\three.wav,[],,,False,1
"""
MEDIA = {f"mocha-generation/a/{name}.mp4": name.encode() * 10 for name in ("one", "two", "three")}


@pytest.fixture(params=["files", "git"])
def folder(request, tmp_path, monkeypatch):
    """A repository of three clips, as files or as a bare git directory; its list names them."""
    tree = tmp_path / "tree"
    for path, content in {**MEDIA, "eval-lipsync/mocha-eval-results/sync_scores.csv": SCORES.encode()}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    author = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "clips"]):
        subprocess.run(["git", "-C", str(tree), *command], check=True)
    commit = subprocess.run(
        ["git", "-C", str(tree), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    bare = tmp_path / "bare"
    subprocess.run(["git", "clone", "-q", "--bare", str(tree), str(bare)], check=True)
    clips = [[path, hashlib.sha256(content).hexdigest(), "train", path] for path, content in MEDIA.items()]
    listing = tmp_path / "clips.json"
    listing.write_text(json.dumps({"source": "someone/Clips", "commit": commit, "clips": clips}), encoding="utf-8")
    monkeypatch.setattr(data, "LIST", listing)
    data.listed.cache_clear()
    yield tree if request.param == "files" else bare
    data.listed.cache_clear()


def test_a_clip_is_a_file_of_its_name_and_content(folder):
    with Repository(folder).file(data.listed()[1]) as path:
        assert path.name == "two.mp4" and path.read_bytes() == b"two" * 10


def test_another_file_is_refused(folder):
    wrong = ListedClip("mocha-generation/a/one.mp4", "0" * 64, "train", "one")
    expected = hashlib.sha256(b"one" * 10).hexdigest()[:12]
    with pytest.raises(ValueError, match=rf"one.mp4 in .* has the sha256 {expected}…, expected 0{{12}}…"):
        with Repository(folder).file(wrong):
            pass


def test_a_file_that_is_missing_is_refused(folder):
    with pytest.raises(ValueError, match=r"a/four.mp4 is not in .*: expected all of someone/Clips"):
        with Repository(folder).file(ListedClip("mocha-generation/a/four.mp4", "0" * 64, "train", "one")):
            pass


def test_a_folder_of_something_else_is_refused(folder, tmp_path):
    for other in (tmp_path / "absent", tmp_path):
        with pytest.raises(ValueError, match="git clone https://github.com/someone/Clips"):
            Repository(other)


def test_published_scores_are_those_of_clips_with_one_face(folder):
    assert Repository(folder).published() == {"mocha-generation/a/one.mp4": data.Published(-1, 4.5, 9.25)}


def test_unusable_clips_are_left_out_with_their_reasons(folder, monkeypatch):
    def measured(clip):
        found = features(60, 1)
        if clip.path.stem == "two":
            raise Unscorable("no face")
        share = 0.69 if clip.path.stem == "three" else 0.7
        return type(found)(found.mouth, found.seen, found.sound, share)

    monkeypatch.setattr(data, "mesh_sync_features", measured)
    left, steps = {}, []
    found = data.samples(Repository(folder), "train", None, steps.append, left.__setitem__)
    assert [sample.clip.path for sample in found] == ["mocha-generation/a/one.mp4"]
    assert left == {
        "mocha-generation/a/two.mp4": "no face",
        "mocha-generation/a/three.mp4": "the face is in 69% of the pictures, 70% are needed",
    }
    assert [step.done for step in steps] == [0, 1, 2, 3] and steps[-1].total == 3


def test_the_packaged_list_keeps_persons_and_the_panel_apart():
    clips = data.listed()
    assert len({clip.path for clip in clips}) == len({clip.sha256 for clip in clips}) == len(clips) == 219
    split = {name: [clip for clip in clips if clip.split == name] for name in ("train", "test", "panel")}
    assert {name: len(found) for name, found in split.items()} == {"train": 150, "test": 53, "panel": 16}
    persons = {name: {clip.person for clip in found} for name, found in split.items()}
    assert not persons["train"] & persons["test"]
    for clip in clips:
        assert clip.person == "_".join(re.sub(r"^\d+_", "", clip.path.rpartition("/")[2][:-4]).split("_")[:3])
    by_picture = json.loads(data.LIST.read_text(encoding="utf-8"))["panel_by_picture"].values()
    assert len(by_picture) == 3 and set(by_picture) <= {clip.path for clip in split["panel"]}
