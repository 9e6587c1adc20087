"""Manifests and pairing: strict, helpful when wrong, and one broken line never costs the others."""

import json
from pathlib import Path

import pytest

from t2av_bench.items import Item, ItemError, pair, read_manifest


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def manifest(folder: Path, *lines: object) -> Path:
    path = folder / "items.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_files_pair_by_relative_name_without_suffix(tmp_path):
    touch(tmp_path / "made", "a.mp4", "deep/b.avi", "notes.txt", ".hidden.mp4")
    touch(tmp_path / "real", "a.mov", "deep/b.mp4", "c.mp4")
    entries, notices = pair(tmp_path / "made", tmp_path / "real")
    assert [(entry.item.id, entry.generated.name, entry.reference.name) for entry in entries] == [
        ("a", "a.mp4", "a.mov"),
        ("deep/b", "b.avi", "b.mp4"),
    ]
    assert notices == []


def test_a_video_goes_before_the_audio_beside_it_and_the_user_is_told(tmp_path):
    touch(tmp_path / "made", "a.wav", "a.mp4")
    entries, notices = pair(tmp_path / "made")
    assert [entry.generated.name for entry in entries] == ["a.mp4"]
    assert "a.wav" in notices[0]


def test_two_videos_of_one_name_are_a_failed_clip_that_names_both(tmp_path):
    touch(tmp_path / "made", "a.mp4", "a.avi", "b.mp4")
    entries, _ = pair(tmp_path / "made")
    assert entries[0].reason == "2 files are named 'a': a.avi, a.mp4"
    assert entries[1].reason is None


def test_a_manifest_item_without_a_file_stays_and_names_the_nearest(tmp_path):
    touch(tmp_path / "made", "clip_01.mp4")
    entries, notices = pair(tmp_path / "made", manifest=manifest(tmp_path, {"id": "clip_1"}, {"id": "clip_01"}))
    assert entries[0].reason == "no generated file is named 'clip_1'; the nearest name is 'clip_01'"
    assert entries[1].generated == tmp_path / "made" / "clip_01.mp4"
    assert notices == []


def test_files_that_the_manifest_leaves_out_are_mentioned(tmp_path):
    touch(tmp_path / "made", "a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4")
    _, notices = pair(tmp_path / "made", manifest=manifest(tmp_path, {"id": "a"}))
    assert notices == [f"4 files of {tmp_path / 'made'} are not scored: b.mp4, c.mp4, d.mp4 and 1 more"]


BROKEN_LINES = {
    "not JSON": ('{"id": "a"', "line 1 is not JSON"),
    "not an object": ('["a"]', "line 1 holds list, expected an object"),
    "no id": ('{"text": "hello", "language": "en"}', "'id' is missing"),
    "empty id": ('{"id": ""}', "'id': String should have at least 1 character"),
    "id of a wrong type": ('{"id": 7}', "'id': Input should be a valid string, got 7"),
    "text of a wrong type": ('{"id": "a", "text": ["x"], "language": "en"}', "'text': Input should be a valid string"),
    "unknown key": ('{"id": "a", "txt": "x"}', "unknown key 'txt'; did you mean 'text'?"),
    "unlike any key": ('{"id": "a", "qqq": 1}', "unknown key 'qqq'; known keys: id, text"),
    "bad language": ('{"id": "a", "language": "English!"}', "'language'"),
    "text without language": ('{"id": "a", "text": "hi"}', "'text' needs a 'language'"),
    "absolute reference": ('{"id": "a", "reference": "/etc/passwd"}', "'reference' is an absolute path"),
    "Windows path": ('{"id": "a", "reference": "C:\\\\clips\\\\a.mp4"}', "'reference' is an absolute path"),
    "climbing out": ('{"id": "a", "reference": "../../secret.mp4"}', "'reference' leaves its folder"),
    "voice climbing out": ('{"id": "a", "reference_voice": "x/../../y.wav"}', "'reference_voice' leaves its folder"),
    "absolute generated": ('{"id": "a", "generated": "/tmp/a.mp4"}', "'generated' is an absolute path"),
    "null character": ('{"id": "a", "reference": "a\\u0000.mp4"}', "null character"),
    "control character in the id": ('{"id": "a\\u0007"}', "'id'"),
    "deep nesting": ("[" * 100_000, "is not JSON"),
}


@pytest.mark.parametrize(("line", "expected"), BROKEN_LINES.values(), ids=BROKEN_LINES.keys())
def test_a_broken_line_gets_its_reason_and_costs_no_other(tmp_path, line, expected):
    touch(tmp_path / "made", "a.mp4", "good.mp4")
    entries, _ = pair(tmp_path / "made", manifest=manifest(tmp_path, line, {"id": "good"}))
    assert expected in entries[0].reason
    assert (entries[1].item.id, entries[1].reason) == ("good", None)


def test_a_repeated_id_fails_with_both_line_numbers(tmp_path):
    entries = read_manifest(manifest(tmp_path, {"id": "a"}, {"id": "b"}, {"id": "a"}))
    assert [entry.item.id for entry in entries] == ["a", "b", "a (line 3)"]
    assert entries[2].reason == "id 'a' is already used on line 1"


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    touch(tmp_path, "outside.mp4", "inside/made/a.mp4")
    (tmp_path / "inside" / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    path = manifest(tmp_path / "inside", {"id": "a", "reference": "link.mp4"})
    entries, _ = pair(tmp_path / "inside" / "made", manifest=path)
    assert "leaves its folder" in entries[0].reason


def test_a_link_to_a_parent_folder_does_not_loop(tmp_path):
    touch(tmp_path / "made", "a.mp4")
    (tmp_path / "made" / "again").symlink_to(tmp_path / "made")
    entries, _ = pair(tmp_path / "made")
    assert [entry.item.id for entry in entries] == ["a"]


def test_a_file_name_that_is_not_utf8_becomes_a_readable_id(tmp_path):
    (tmp_path / "made").mkdir()
    with open(bytes(tmp_path / "made") + b"/caf\xe9\n.mp4", "wb"):
        pass
    entries, _ = pair(tmp_path / "made")
    assert entries[0].item.id == "caf\\xe9\\x0a"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda folder: pair(folder / "absent"), "is not a folder"),
        (lambda folder: pair(folder), "holds no media file"),
        (lambda folder: pair(folder, manifest=folder / "absent.jsonl"), "cannot read the manifest"),
        (lambda folder: pair(folder, manifest=manifest(folder)), "holds no items"),
    ],
    ids=["no folder", "empty folder", "no manifest", "empty manifest"],
)
def test_nothing_to_score_is_an_error(tmp_path, make, expected):
    with pytest.raises(ItemError, match=expected):
        make(tmp_path)


def test_references_that_pair_with_nothing_are_an_error_that_shows_names(tmp_path):
    touch(tmp_path / "made", "a.mp4")
    touch(tmp_path / "real", "x.mp4")
    with pytest.raises(ItemError, match=r"no file of .*real is named like one of .*made: x against a; .*--manifest"):
        pair(tmp_path / "made", tmp_path / "real")


def test_manifest_references_become_absolute_and_the_byte_order_mark_is_ignored(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text(
        '\ufeff{"id": "a", "reference": "real/a.mp4", "text": "你好", "language": "zh"}\n', encoding="utf-8"
    )
    (entry,) = read_manifest(path)
    assert entry.item == Item(id="a", reference=str(tmp_path / "real" / "a.mp4"), text="你好", language="zh")
