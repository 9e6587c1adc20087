"""Which clips a folder, a manifest and a table name, and why some of them cannot be used."""

import json
import unicodedata

import pytest

from t2av_bench.errors import ItemError
from t2av_bench.preparation.clips import read_clips

HEADER = "sample_id,dataset_source,split,text,wav_path,motion_pt_path,video_path,pt_length,fps"


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def table(folder, *rows, header=HEADER, name="train.csv"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder / name


def test_a_folder_of_clips_with_texts_beside(tmp_path):
    write(
        tmp_path, a_DOT_mp4="x", a_DOT_txt="\ufeffbin blue\n at alpha\n", sub__b_DOT_wav="x", c_DOT_mp4="x",
        sub__b_DOT_txt="говори 说话", d_DOT_mp4="x", d_DOT_txt=" \n", alone_DOT_txt="x", picture_DOT_png="x",
    )  # fmt: skip
    (tmp_path / "e.mp4").write_text("x")
    (tmp_path / "e.txt").write_bytes(b"\xff\xfe")
    decomposed = unicodedata.normalize("NFD", "né")
    write(tmp_path, **{f"{decomposed}_DOT_mp4": "x", f"{decomposed}_DOT_txt": "né"})
    clips, notices = read_clips(tmp_path)
    found = {clip.id: clip for clip in clips}
    assert [clip.id for clip in clips] == ["a", "c", "d", "e", "né", "sub/b"]
    assert (found["a"].text, found["a"].media, found["a"].reason) == ("bin blue at alpha", tmp_path / "a.mp4", None)
    assert (found["sub/b"].text, found["sub/b"].media.name) == ("говори 说话", "b.wav")
    assert found["né"].text == "né" and found["né"].reason is None
    assert found["c"].reason == "there is no text: c.txt is not beside it"
    assert found["d"].reason.startswith("there is no text: a clip is trained with the words")
    assert found["e"].reason.startswith("its text e.txt cannot be read: 'utf-8' codec")
    assert any("1 texts have no clip of their name: alone.txt" in text for text in notices)
    assert any("1 .png" in text for text in notices) and not any("6 .txt" in text for text in notices)


def test_a_manifest_names_clips_or_finds_them_by_id(tmp_path):
    write(tmp_path, clips__one_DOT_mp4="x", real__b_DOT_mp4="x", voice_DOT_wav="x")
    rows = [
        {"id": "one", "text": "hello", "speaker": 7},
        {"id": "two", "text": "there", "reference": "real/b.mp4", "reference_voice": "voice.wav"},
        {"id": "three", "text": "absent"}, {"id": "four", "reference": "real/b.mp4"},
        {"id": "gone", "text": "x", "withdrawn": True}, {"id": "one", "text": "again"},
    ]  # fmt: skip
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = {clip.id: clip for clip in read_clips(tmp_path / "items.jsonl", tmp_path / "clips")[0]}
    assert found["one"].media == tmp_path / "clips" / "one.mp4" and found["one"].reason is None
    assert found["two"].media == tmp_path / "real" / "b.mp4" and found["two"].voice is None
    assert found["three"].reason == "no clip in clips/ is named 'three'"
    assert found["four"].reason.startswith("there is no text")
    assert found["one (line 6)"].reason == "id 'one' is already used on line 1"
    assert "gone" not in found
    other = {clip.id: clip for clip in read_clips(tmp_path / "items.jsonl", tmp_path / "clips", voice="other")[0]}
    assert other["two"].voice == tmp_path / "voice.wav"
    assert other["one"].reason == "there is no other clip of the speaker '7' to take the voice from: --voice own"


def test_the_authors_table(tmp_path):
    path = table(
        tmp_path / "data",
        'a,dh,train,"Hello, there",wav/a.wav,motion/a.pt,video/a.mp4,52,25.0',
        "b,dh,val,no,wav/b.wav,motion/b.pt,,10,25",
        ",emilia,train,speech alone,wav/c.wav,,,,", "d,dh,train,picture,,,video/d.mp4,,29.97",
        "e,dh,train,sound replaced,wav/e.wav,,video/e.mp4,,", "f,dh,train,,wav/f.wav,motion/f.pt,,9,25",
        "g,dh,train,climbs,../g.wav,motion/g.pt,,9,25", "h,dh,train,half,,motion/h.pt,,9,25",
        "i,dh,train,nothing,,,,,", "j,dh,train,number,wav/j.wav,motion/j.pt,,nine,25", "a,dh,train,twice,wav/a.wav,,,,",
        "k,dh,train,short",
    )  # fmt: skip
    clips, notices = read_clips(path, split="train")
    found = {clip.id: clip for clip in clips}
    root = (tmp_path / "data").resolve()
    assert [clip.id for clip in clips] == ["a", "c", "d", "e", "f", "g", "h", "i", "j", "a (line 12)", "k"]
    first = found["a"]
    assert (first.text, first.media, first.motion) == ("Hello, there", root / "wav/a.wav", root / "motion/a.pt")
    assert (first.motion_frames, first.motion_rate, first.sound, first.reason) == (52, 25.0, None, None)
    assert (found["c"].media, found["c"].motion) == (root / "wav/c.wav", None)
    assert (found["d"].media, found["d"].sound) == (root / "video/d.mp4", None)
    assert (found["e"].media, found["e"].sound) == (root / "video/e.mp4", root / "wav/e.wav")
    reasons = {id: clip.reason for id, clip in found.items() if clip.reason}
    assert reasons == {
        "f": "there is no text: a clip is trained with the words that are spoken in it",
        "g": "'wav_path' leaves its folder ('../g.wav'); expected a path inside data/",
        "h": "motion_pt_path names a file and wav_path none", "i": "neither wav_path nor video_path names a file",
        "j": "pt_length is 'nine', expected a number", "a (line 12)": "the id 'a' stands on an earlier line",
        "k": "line 13 has another number of fields than the line of names",
    }  # fmt: skip
    assert notices == []
    moved = read_clips(table(tmp_path / "lists", "a,dh,train,x,wav/a.wav,,,,"), media=tmp_path / "data")[0]
    assert moved[0].media == root / "wav/a.wav"


@pytest.mark.parametrize(("header", "told"), [
    ("sample_id,txt,wav_path,motion_pt_path", r"no column 'text'; did you mean it by 'txt'\?; it has sample_id, txt"),
    ("sample_id,text,wavpath,motion_pt_path", "no column 'wav_path'; did you mean it by 'wavpath'"),
    ("sample_id,text,wav_path,motion_path", r"has a column 'motion_path'; did you mean motion_pt_path\?"),
    ("a,b", "no column 'text'; it has a, b, and may have sample_id, dataset_source"),
])  # fmt: skip
def test_misspelt_columns_are_named(header, told, tmp_path):
    with pytest.raises(ItemError, match=told):
        read_clips(table(tmp_path, "1,2,3,4", header=header))


def test_another_clip_of_the_speaker_gives_the_voice(tmp_path):
    rows = ["a,one,x,s1", "b,two,x,s2", "c,three,x,s1", "d,four,x,s1", "e,five,x,", "f,,x,s2"]
    path = table(tmp_path, *rows, header="sample_id,text,wav_path,speaker")
    own = read_clips(path)[0]
    assert all(clip.voice is None for clip in own)
    path = table(tmp_path, *(row.replace(",x,", f",{row[0]}.wav,") for row in rows),
                 header="sample_id,text,wav_path,speaker")  # fmt: skip
    found = {clip.id: clip for clip in read_clips(path, voice="other")[0]}
    assert {id: found[id].voice.name for id in "acd"} == {"a": "c.wav", "c": "d.wav", "d": "a.wav"}
    assert found["b"].reason == "there is no other clip of the speaker 's2' to take the voice from: --voice own"
    assert found["e"].reason == "there is no other clip (no 'speaker' is named) to take the voice from: --voice own"


def test_sources_that_cannot_be_used_at_all(tmp_path):
    for source, options, told in (
        (tmp_path / "absent", {}, "there is no .*absent: expected a folder of clips"),
        (tmp_path, {}, "holds no media file"), (tmp_path, {"split": "train"}, "is a folder: --media and --split"),
        (table(tmp_path / "t", "a,b", header="text,wav_path"), {"split": "val"}, "has no row of the split 'val'"),
    ):  # fmt: skip
        with pytest.raises(ItemError, match=told):
            read_clips(source, **options)
    write(tmp_path, items_DOT_jsonl='{"id": "a", "text": "x"}')
    with pytest.raises(ItemError, match="is a manifest: --split belongs to a table"):
        read_clips(tmp_path / "items.jsonl", split="train")
