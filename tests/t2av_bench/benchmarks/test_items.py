"""Manifests and pairing: strict, helpful when wrong, and one broken line never costs the others."""

import json
import time
import unicodedata
from pathlib import Path

import pytest
from media_factory import audio_only, clip_without_audio, tone_clip

from t2av_bench.benchmarks.manifest import Item, read_manifest
from t2av_bench.benchmarks.names import Nearest
from t2av_bench.benchmarks.pairing import pair
from t2av_bench.errors import ItemError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def manifest(folder: Path, *lines: object) -> Path:
    path = folder / "items.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_files_pair_by_relative_name_without_suffix(tmp_path):
    touch(tmp_path / "made", "a.mp4", "deep/b.avi")
    touch(tmp_path / "real", "a.mov", "deep/b.mp4")
    entries, notices = pair(tmp_path / "made", tmp_path / "real")
    assert [(entry.item.id, entry.generated.name, entry.reference.name) for entry in entries] == [
        ("a", "a.mp4", "a.mov"),
        ("deep/b", "b.avi", "b.mp4"),
    ]
    assert notices == []


def test_a_reference_without_a_clip_is_a_failed_item_and_a_clip_without_a_reference_knows_why(tmp_path):
    touch(tmp_path / "made", "a.mp4", "clip_2.mp4")
    touch(tmp_path / "real", "a.mp4", "clip_02.mp4", "zebra.mp4")
    entries, notices = pair(tmp_path / "made", tmp_path / "real")
    assert {entry.item.id: entry.reason for entry in entries} == {
        "a": None,
        "clip_2": None,
        "clip_02": "no clip in made/ is named 'clip_02'; the nearest name is 'clip_2'",
        "zebra": "no clip in made/ is named 'zebra'",
    }
    assert {entry.item.id: entry.unpaired for entry in entries if entry.generated} == {
        "a": None,
        "clip_2": "no reference is named 'clip_2'; the nearest name is 'clip_02'",
    }
    assert notices == []


def test_whatever_may_be_media_is_an_item_and_the_rest_is_listed(tmp_path):
    clips = ["a.gif", "b.3gp", "c.m2ts", "d.ogv", "e.unheardof", "f", "g.MP4", "deep/h.mxf"]
    touch(tmp_path / "made", *clips, "notes.txt", "a.json", "deep/i.PNG", ".hidden.mp4", ".trash/j.mp4", "README")
    (tmp_path / "made" / "elsewhere").symlink_to(tmp_path)
    entries, (notice,) = pair(tmp_path / "made")
    found = {entry.generated.relative_to(tmp_path / "made").as_posix() for entry in entries}
    assert found == set(clips) and not any(entry.reason for entry in entries)
    assert notice.startswith(
        f"7 files of {tmp_path / 'made'} are left out as no media: 2 hidden (.hidden.mp4, .trash/)"
    )
    for kind in ("1 .txt (notes.txt)", "1 .json (a.json)", "1 .png (deep/i.PNG)", "1 link to a folder (elsewhere/)"):
        assert kind in notice


def test_names_pair_in_any_normal_form_of_unicode(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Café Ångström 한글") for form in ("NFC", "NFD"))
    assert composed != decomposed
    touch(tmp_path / "made", f"{decomposed}/x.mp4", "plain.mp4")
    touch(tmp_path / "real", f"{composed}/x.mp4", "plain.mp4")
    entries, notices = pair(tmp_path / "made", tmp_path / "real")
    assert [(entry.item.id, entry.reference is not None) for entry in entries] == [
        (f"{composed}/x", True), ("plain", True)
    ]  # fmt: skip
    assert notices == []
    line = {"id": f"{decomposed}/x", "generated": f"{composed}/x.mp4", "reference": f"real/{decomposed}/x.mp4"}
    (entry,), _ = pair(tmp_path / "made", manifest=manifest(tmp_path, line))
    assert entry.item.id == f"{composed}/x"
    assert entry.generated.is_file() and entry.reference.is_file()


def test_two_files_that_differ_in_the_normal_form_alone_are_not_chosen_between(tmp_path):
    touch(tmp_path / "made", "caf\u00e9.mp4", "cafe\u0301.mp4", "b.mp4")
    entries, _ = pair(tmp_path / "made")
    assert {entry.item.id: entry.generated is not None for entry in entries} == {"b": True, "caf\u00e9": False}
    assert "differ only in Unicode's normal form" in entries[1].reason


def test_names_that_differ_in_case_are_different_and_the_reason_says_it(tmp_path):
    touch(tmp_path / "made", "Anna.mp4", "b.mp4")
    touch(tmp_path / "real", "anna.mp4", "b.mp4")
    entries = {entry.item.id: entry for entry in pair(tmp_path / "made", tmp_path / "real")[0]}
    assert entries["Anna"].unpaired.endswith("the nearest name is 'anna', which differs only in case")
    assert entries["anna"].reason.endswith("the nearest name is 'Anna', which differs only in case")
    assert entries["b"].reference is not None


# what someone wrote -> what was meant, among names that are alike
NEAR = {
    "clip_7": "clip_007", "CLIP-012": "clip_012", "clip_003_out": "clip_003", "real_clip_004": "clip_004",
    "clip_0i9": "clip_019", "speaker2/clip_005": "clip_005", "nothing of the kind": None,
}  # fmt: skip


@pytest.mark.parametrize(("written", "meant"), NEAR.items())
def test_the_nearest_name_is_the_one_that_was_meant(written, meant):
    assert Nearest(f"clip_{number:03d}" for number in range(20)).of(written) == meant


def test_many_names_without_a_file_cost_seconds_not_hours(tmp_path):
    count = 10_000
    touch(tmp_path / "made", *(f"sample_{number:05d}_out.mp4" for number in range(count)))
    path = manifest(tmp_path, *({"id": f"sample_{number:05d}"} for number in range(count)))
    start = time.process_time()
    entries, _ = pair(tmp_path / "made", manifest=path)
    assert time.process_time() - start < 20
    assert entries[777].reason.endswith("the nearest name is 'sample_00777_out'")


def test_what_the_generator_says_in_failures_is_counted_without_a_manifest_too(tmp_path):
    touch(tmp_path / "made", "a.mp4")
    lines = [{"id": "b", "reason": "out of memory"}, "{broken", {"id": "a", "reason": "an older try"}]
    manifest(tmp_path, *lines).rename(tmp_path / "made" / "failures.jsonl")
    entries, (notice,) = pair(tmp_path / "made")
    assert [(entry.item.id, entry.reason) for entry in entries] == [("a", None), ("b", "out of memory")]
    assert notice.endswith("not understood: line 2")


def test_a_limit_takes_the_first_items_and_says_so(tmp_path):
    touch(tmp_path / "made", "a.mp4", "c.mp4")
    touch(tmp_path / "real", "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    entries, notices = pair(tmp_path / "made", tmp_path / "real", limit=3)
    assert [(entry.item.id, entry.reason is None) for entry in entries] == [("a", True), ("b", False), ("c", True)]
    assert notices == ["the first 3 of 4 items are evaluated (--limit)"]
    assert pair(tmp_path / "made", tmp_path / "real", limit=4)[1] == []


def test_a_folder_given_relative_to_here_scores_the_same_files(tmp_path, monkeypatch):
    touch(tmp_path / "made", "a.mp4", "b.mp4")
    touch(tmp_path, "real.mp4")
    path = manifest(tmp_path, {"id": "x", "generated": "a.mp4", "reference": "real.mp4"})
    monkeypatch.chdir(tmp_path)
    (here,), notices = pair(Path("made"), manifest=Path("items.jsonl"))
    (there,), _ = pair(tmp_path / "made", manifest=path)
    assert here == there and notices == ["1 file of made is not scored: b.mp4"]


def test_a_video_goes_before_the_audio_beside_it_and_the_user_is_told(tmp_path):
    touch(tmp_path / "made", "a.wav", "a.mp4")
    entries, notices = pair(tmp_path / "made")
    assert [entry.generated.name for entry in entries] == ["a.mp4"]
    assert "a.wav" in notices[0]


def test_a_sound_file_beside_a_silent_video_is_its_sound(tmp_path):
    for folder in ("made", "real"):
        (tmp_path / folder).mkdir()
        clip_without_audio(tmp_path / folder / "a.mp4", 0.2)
        audio_only(tmp_path / folder / "a.wav", 0.2)
    tone_clip(tmp_path / "made" / "b.mp4", 0.2)  # has a sound of its own
    audio_only(tmp_path / "made" / "b.wav", 0.2)
    clip_without_audio(tmp_path / "made" / "c.mp4", 0.2)
    entries, notices = pair(tmp_path / "made", tmp_path / "real")
    heard = {entry.item.id: (entry.item.audio, entry.item.reference_audio) for entry in entries}
    made, real = (str(tmp_path / folder / "a.wav") for folder in ("made", "real"))
    assert heard == {"a": (made, real), "b": (None, None), "c": (None, None)}
    assert notices == [
        "2 silent videos are scored with the sound beside: a.wav, a.wav",
        f"1 file of {tmp_path / 'made'} is not scored: b.wav",
    ]


def test_of_two_sound_files_beside_a_silent_video_none_is_guessed(tmp_path):
    for folder in ("made", "real"):
        (tmp_path / folder).mkdir()
        for name in ("a", "b"):
            clip_without_audio(tmp_path / folder / f"{name}.mp4", 0.2)
    for path in ("made/a.wav", "made/a.flac", "real/b.wav", "real/b.flac"):
        audio_only(tmp_path / path, 0.2)
    a, b = pair(tmp_path / "made", tmp_path / "real")[0]
    assert (a.reason, a.generated) == ("2 files are named 'a': a.flac, a.wav", None)
    assert (b.unpaired, b.reference, b.reason) == ("2 files are named 'b': b.flac, b.wav", None, None)


def test_the_sound_that_a_manifest_names_wins_over_the_clips_own_and_the_user_is_told(tmp_path):
    (tmp_path / "made").mkdir()
    tone_clip(tmp_path / "made" / "a.mp4", 0.2)
    audio_only(tmp_path / "made" / "a.wav", 0.2)
    audio_only(tmp_path / "take.flac", 0.2)
    path = manifest(tmp_path, {"id": "a", "audio": "take.flac"}, {"id": "b", "generated": "a.mp4", "audio": "no.wav"})
    entries, notices = pair(tmp_path / "made", manifest=path)
    assert [entry.item.audio for entry in entries] == [str(tmp_path / "take.flac"), str(tmp_path / "no.wav")]
    assert notices == [
        "2 videos are scored with the sound that the manifest names, not with the own one: a.mp4, a.mp4",
        f"1 file of {tmp_path / 'made'} is not scored: a.wav",
        "1 files that the manifest names as 'audio' do not exist: b",
    ]


def test_two_videos_of_one_name_are_a_failed_clip_that_names_both(tmp_path):
    touch(tmp_path / "made", "a.mp4", "a.avi", "b.mp4")
    entries, _ = pair(tmp_path / "made")
    assert entries[0].reason == "2 files are named 'a': a.avi, a.mp4"
    assert entries[1].reason is None


def test_a_manifest_item_without_a_file_stays_and_names_the_nearest(tmp_path):
    touch(tmp_path / "made", "clip_01.mp4")
    entries, notices = pair(tmp_path / "made", manifest=manifest(tmp_path, {"id": "clip_1"}, {"id": "clip_01"}))
    assert entries[0].reason == "no clip in made/ is named 'clip_1'; the nearest name is 'clip_01'"
    assert entries[1].generated == tmp_path / "made" / "clip_01.mp4"
    assert notices == []


def test_files_that_the_manifest_leaves_out_are_mentioned(tmp_path):
    touch(tmp_path / "made", "a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4")
    _, notices = pair(tmp_path / "made", manifest=manifest(tmp_path, {"id": "a"}))
    assert notices == [f"4 files of {tmp_path / 'made'} are not scored: b.mp4, c.mp4, d.mp4 and 1 more"]


def utf16(folder: Path) -> Path:
    path = folder / "items.jsonl"
    path.write_text('{"id": "a"}\n', encoding="utf-16")
    return path


BROKEN_LINES = {
    "not JSON": ('{"id": "a"', "line 1 is not JSON"),
    "not an object": ('["a"]', "line 1 holds list, expected an object"),
    "no id": ('{"text": "hello", "language": "en"}', "'id' is missing"),
    "empty id": ('{"id": ""}', "'id': String should have at least 1 character"),
    "id of a wrong type": ('{"id": 7}', "'id': Input should be a valid string, got 7"),
    "text of a wrong type": ('{"id": "a", "text": ["x"], "language": "en"}', "'text': Input should be a valid string"),
    "bad language": ('{"id": "a", "language": "English!"}', "'language'"),
    "absolute reference": ('{"id": "a", "reference": "/etc/passwd"}', "'reference' is an absolute path"),
    "Windows path": ('{"id": "a", "reference": "C:\\\\clips\\\\a.mp4"}', "'reference' is an absolute path"),
    "climbing out": ('{"id": "a", "reference": "../../secret.mp4"}', "'reference' leaves its folder"),
    "voice climbing out": ('{"id": "a", "reference_voice": "x/../../y.wav"}', "'reference_voice' leaves its folder"),
    "absolute generated": ('{"id": "a", "generated": "/tmp/a.mp4"}', "'generated' is an absolute path"),
    "null character": ('{"id": "a", "reference": "a\\u0000.mp4"}', "null character"),
    "control character in the id": ('{"id": "a\\u0007"}', "'id'"),
    "deep nesting": ("[" * 100_000, "is not JSON"),
    "nested metadata": ('{"id": "a", "x": ' + "[" * 500 + "]" * 500 + "}", "nests more than 32 levels"),
    "an integer of 5,000 digits": ('{"id": "a", "n": ' + "7" * 5000 + "}", "whole number of too many digits"),
    "a key twice": ('{"id": "a", "text": "x", "text": "y"}', "line 1 has the key 'text' twice"),
    "the id twice": ('{"id": "a", "id": "b"}', "line 1 has the key 'id' twice"),
    "a nested key twice": ('{"id": "a", "x": {"k": 1, "k": 2}}', "line 1 has the key 'k' twice"),
    "a lone surrogate in the text": ('{"id": "a", "text": "\\ud800"}', "lone surrogate (\\ud800)"),
    "a lone surrogate in a key": ('{"id": "a", "\\udfff": 1}', "lone surrogate"),
    "a lone surrogate in the id": ('{"id": "\\ud83d"}', "lone surrogate"),
    "a lone surrogate in metadata": ('{"id": "a", "x": [{"y": "\\udc00"}]}', "lone surrogate"),
    "not a number": ('{"id": "a", "x": NaN}', "NaN is no JSON number"),
    "infinite": ('{"id": "a", "x": 1e999}', "1e999, which is too large"),
    "seconds below zero": ('{"id": "a", "seconds": -1}', "'seconds': Input should be greater than 0"),
    "seconds beyond floats": ('{"id": "a", "seconds": 1' + "0" * 400 + "}", "'seconds'"),
    "driving media climbing out": ('{"id": "a", "driving_audio": "../x.wav"}', "'driving_audio' leaves its folder"),
    "id too long": ('{"id": "' + "a" * 1001 + '"}', "at most 1000 characters"),
}


@pytest.mark.parametrize(("line", "expected"), BROKEN_LINES.values(), ids=BROKEN_LINES.keys())
def test_a_broken_line_gets_its_reason_and_costs_no_other(tmp_path, line, expected):
    touch(tmp_path / "made", "a.mp4", "good.mp4")
    entries, _ = pair(tmp_path / "made", manifest=manifest(tmp_path, line, {"id": "good"}))
    assert expected in entries[0].reason
    assert (entries[1].item.id, entries[1].reason) == ("good", None)


def test_a_line_that_is_not_utf8_fails_alone(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'{"id": "a"}\r\n{"id": "caf\xe9"}\r\n\r\n{"id": "b", "text": "\xe4\xbd\xa0"}\r\n')
    entries = read_manifest(path)
    assert [(entry.item.id, entry.reason) for entry in entries] == [
        ("a", None),
        ("items.jsonl line 2", "line 2 is not UTF-8: byte 0xe9 at position 11"),
        ("b", None),
    ]
    assert entries[2].item.text == "你"


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0c", "\x1c"])
def test_lines_end_at_line_feeds_alone(tmp_path, separator):
    text = f"one{separator}two"
    line = json.dumps({"id": "a", "text": text, "language": "en"}, ensure_ascii=separator < " ")
    entries = read_manifest(manifest(tmp_path, line, {"id": "b"}))
    assert [entry.item.id for entry in entries] == ["a", "b"] and entries[0].item.text == text


def test_unknown_keys_are_kept_and_misspelt_ones_mentioned_once(tmp_path):
    touch(tmp_path / "made", "a.mp4", "b.mp4")
    lines = [{"id": id, "txt": "x", "emotion": {"joy": [0.5, None]}, "take": 3} for id in "ab"]
    entries, notices = pair(tmp_path / "made", manifest=manifest(tmp_path, *lines))
    assert [entry.reason for entry in entries] == [None, None]
    assert entries[0].item.model_dump()["emotion"] == {"joy": [0.5, None]}
    assert entries[0].item.model_extra["take"] == 3
    assert notices == ["unknown key 'txt' on 2 lines; did you mean 'text'? It is kept as metadata"]


def test_every_known_key_reaches_the_item(tmp_path):
    line = {
        "id": "a", "text": "hi", "language": "en_GB", "generated": "g.mp4", "audio": "g.wav", "reference": "r.mp4",
        "reference_audio": "r.flac", "reference_voice": "v.wav", "reference_voice_text": "hello",
        "identity_image": "i.png", "driving_audio": "d.wav", "driving_video": "d.mp4", "scene": "a kitchen",
        "voice_description": "low", "seconds": 4, "speaker": 17, "video": "talk_3", "dataset": "ours", "tags": "long",
        "licence": "CC BY 4.0",
    }  # fmt: skip
    assert line.keys() | {"withdrawn"} == Item.model_fields.keys()
    (entry,) = read_manifest(manifest(tmp_path, line))
    files = {key: str(tmp_path / line[key]) for key in (
        "audio", "reference", "reference_audio", "reference_voice", "identity_image", "driving_audio", "driving_video",
    )}  # fmt: skip
    assert entry.item.model_dump(exclude={"withdrawn"}) == (
        line | files | {"language": "en-GB", "speaker": "17", "tags": ("long",)}
    )


def test_withdrawn_items_are_left_out_and_counted(tmp_path):
    touch(tmp_path / "made", "a.mp4")
    path = manifest(tmp_path, {"id": "a"}, {"id": "b", "withdrawn": True})
    entries, notices = pair(tmp_path / "made", manifest=path)
    assert [entry.item.id for entry in entries] == ["a"]
    assert notices == ["1 item withdrawn and left out: b"]


def test_text_without_a_language_is_no_failure_but_said_early(tmp_path):
    touch(tmp_path / "made", "a.mp4")
    entries, (notice,) = pair(tmp_path / "made", manifest=manifest(tmp_path, {"id": "a", "text": "hi"}))
    assert entries[0].reason is None and entries[0].item.text == "hi"
    assert notice == "items with 'text' and no 'language', which word error rates need: a"


def test_made_up_ids_are_nobody_elses(tmp_path):
    long = "x" * 998
    ids = ["good", "good", "good (line 2)", "items.jsonl line 5", None, "good (line 2) [2]", long, long, long]
    lines = ["{" if id is None else {"id": id} for id in ids]
    entries = read_manifest(manifest(tmp_path, *lines))
    found = [entry.item.id for entry in entries]
    assert len(set(found)) == len(ids)
    assert [entry.reason is None for entry in entries] == [
        True, False, True, True, False, True, True, False, False
    ]  # fmt: skip
    assert all(name == id for name, id, entry in zip(found, ids, entries, strict=True) if entry.reason is None)
    assert all(len(name) <= 1000 for name in found)


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
    assert entries[0].reason is None and entries[0].generated.is_file()


def test_a_path_longer_than_an_id_is_an_item(tmp_path):
    deep = "/".join(["d" * 200] * 6)
    touch(tmp_path / "made", f"{deep}/a.mp4", f"{deep}/b.mp4")
    touch(tmp_path / "real", f"{deep}/a.mp4", f"{deep}/b.mp4")
    entries, _ = pair(tmp_path / "made", tmp_path / "real")
    assert [entry.reference.name for entry in entries] == ["a.mp4", "b.mp4"]
    assert len({entry.item.id for entry in entries}) == 2


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda folder: pair(folder / "absent"), "is not a folder"),
        (lambda folder: pair(folder), "holds no media file"),
        (lambda folder: pair(folder, manifest=folder / "absent.jsonl"), "cannot read the manifest"),
        (lambda folder: pair(folder, manifest=manifest(folder)), "holds no items"),
        (lambda folder: pair(folder, manifest=utf16(folder)), "UTF-16; save it as UTF-8"),
        (lambda folder: pair(folder, manifest=manifest(folder, {"id": "a", "withdrawn": True})), "is withdrawn"),
    ],
    ids=["no folder", "empty folder", "no manifest", "empty manifest", "UTF-16", "all withdrawn"],
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
