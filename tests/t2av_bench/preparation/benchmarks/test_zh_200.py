"""DH-FaceVid-1K in a made tree: names of all known kinds, and what makes a clip unusable."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_looking import AGREED, DISPUTED, FOREIGN, RATE, FakeTools, pictures, speech, video

from t2av_bench.benchmarks.info import read_info
from t2av_bench.benchmarks.prepared import verify
from t2av_bench.errors import ItemError
from t2av_bench.extractors.recognisers import Transcript
from t2av_bench.preparation.benchmarks.cutting import CutRule, Seen, square
from t2av_bench.preparation.benchmarks.draw import rank
from t2av_bench.preparation.benchmarks.prepare import prepare
from t2av_bench.preparation.benchmarks.recipe import Facts, Shares
from t2av_bench.preparation.benchmarks.recipes.dh_facevid import Chinese200, recording_of

TALK = ((0.3, 3.6), (4.0, 5.0), (9.0, 12.4))
"""Pieces: frames 4 to 93 and 222 to 313, 5.16 s apart; with the words between them they are speech for too short."""
SECONDS = 12.8
SMALL = 1200
"""Hertz: the first recogniser hears Mandarin, the second another language."""


class MandarinRecogniser:
    def __init__(self, second: bool) -> None:
        self.second = second

    def transcribe(self, audio, language=None):
        assert language == "zh"
        pitch = float(np.argmax(np.abs(np.fft.rfft(audio)))) * RATE / len(audio)

        def heard(hertz):
            return abs(pitch - hertz) < 100

        text = "今天天气很好" * (1 + len(audio) // RATE % 5)
        if self.second and heard(DISPUTED):
            text = "我们去看电影吧"
        other = heard(FOREIGN) or (self.second and heard(SMALL))
        return Transcript(text, "cantonese" if other else "zh")


class Tools(FakeTools):
    recognisers = (MandarinRecogniser(False), MandarinRecogniser(True))


def talking(path: Path, hertz: float = AGREED, sound: bool = True, **options) -> None:
    said = speech(TALK, SECONDS, hertz) if sound else None
    video(path, pictures(SECONDS, **options), said)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("facevid")
    talking(root / "part1" / "001106.mp4")
    video(root / "part2" / "001106.mp4", pictures(1.0), speech((), 1.0))
    for name in ("part1/Czb5Ml9VDsI_0", "part2/Czb5Ml9VDsI_3", "part2/RS127710_segment_005_745_0",
                 "part2/-_9KUBCidow_3", "part2/Gone1_0", "part2/Trained"):  # fmt: skip
        shutil.copy(root / "part1" / "001106.mp4", root / f"{name}.mp4")
    talking(root / "part1" / "cantonese.mp4", FOREIGN)
    talking(root / "part1" / "dialect.mp4", SMALL)
    talking(root / "part1" / "disputed.mp4", DISPUTED)
    talking(root / "part1" / "mute.mp4", sound=False)
    talking(root / "part1" / "two.mp4", side=40, faces=2)
    talking(root / "part1" / "far.mp4", side=14)
    talking(root / "part1" / "tiny.mp4", side=10, size=(16, 60))
    video(root / "part1" / "silent.mp4", pictures(4.0), speech((), 4.0))
    video(root / "part1" / "once.mp4", pictures(4.0), speech(((0.3, 3.6),), 4.0))
    (root / "part1" / "broken.mp4").write_bytes(b"no video")
    (root / "part1" / "001106.txt").write_text("a text annotation")
    return root


@pytest.fixture(autouse=True, scope="module")
def small_rule():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Chinese200, "cut", replace(Chinese200.cut, least_face=20, size=64))
        patch.setattr(Chinese200, "shares", {"test": Shares({"short": 4, "long": 1},
                                                            lengths=(("short", 4.8), ("long", 10.01)))})  # fmt: skip
        yield


def make(tree: Path, out: Path, recipe: Chinese200 | None = None, gone: tuple[str, ...] = ("Gone1",), **options):
    notices: list[str] = []
    lists = out.parent / f"lists of {out.name}"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "gone.txt").write_text("\ufeff" + "".join(f"{id}\n" for id in gone), encoding="utf-8")
    (lists / "train.csv").write_text("\ufeffsample_id,video_path\nx,dh/Trained.mp4\n", encoding="utf-8")
    made = prepare(
        recipe or Chinese200(), {"dh-facevid": tree}, out, exclude=[lists / "train.csv"],
        withdrawn=lists / "gone.txt", tools=(Tools, ()), notice=notices.append, **{"workers": 2, **options},
    )  # fmt: skip
    return made, notices


def items(folder: Path) -> dict[str, dict]:
    return {row["id"]: row for row in map(json.loads, (folder / "test" / "items.jsonl").read_text().splitlines())}


def clip_of(id: str) -> str:
    return id.rpartition("-")[0]


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "zh-200"
    return folder, *make(tree, folder)


def test_every_clip_has_its_items_or_the_reason_why_it_has_none(whole):
    folder, made, notices = whole
    reasons = {
        row["clip"]: row.get("reason") for row in map(json.loads, (folder / "prepare.jsonl").read_text().splitlines())
    }
    told = {
        "cantonese": "'cantonese', expected 'zh'", "dialect": "'cantonese', expected 'zh'", "disputed": "agree in less",
        "mute": "no audio stream", "two": "more than one face", "far": "smaller than 20 pixels",
        "tiny": "60x16, smaller than 20 pixels", "silent": "no speech", "once": "no other speech of the speaker",
        "Gone1_0": "withdrawn", "Trained": "trained on",
    }  # fmt: skip
    assert {clip: reasons[clip] for clip, part in told.items() if part not in (reasons[clip] or "")} == {}
    assert reasons["broken"]
    chosen = {clip for clip, reason in reasons.items() if reason is None}
    assert len(chosen) == 4 and chosen <= {
        "001106", "Czb5Ml9VDsI_0", "Czb5Ml9VDsI_3", "RS127710_segment_005_745_0", "-_9KUBCidow_3"
    }  # fmt: skip
    assert "1 clips have the id of another, of which the first in order counts: 001106" in notices


def test_items_are_of_different_recordings_and_speak_with_the_voice_of_their_own_clip(whole):
    folder, made, _ = whole
    found = items(folder)
    assert len({row["speaker"] for row in found.values()}) == 4
    published = {item["id"]: item for item in json.loads((folder / "zh-200.list.json").read_text())["items"]}
    for id, row in found.items():
        assert row["text"].startswith("今天天气很好") and row["language"] == "zh" and row["figures_max"] == 20
        assert row["voice_relation"] == "same speaker and recording, 5 s away or more"
        assert published[id]["voice"]["clip"] == clip_of(id) != id
        assert row["speaker"] == (recording_of(clip_of(id)) or clip_of(id))
    listed = (folder / "zh-200.list.json").read_text(encoding="utf-8")
    assert "今" not in listed and "sha256" in listed


def test_lists_are_the_same_for_any_order_and_number_of_workers(whole, tree, tmp_path, monkeypatch):
    folder, _, _ = whole
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: reversed(sorted(glob(self, pattern))))
    make(tree, tmp_path / "out", workers=1)
    for name in ("zh-200.list.json", "test/items.jsonl", "prepare.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()
    assert verify(folder) == []


def test_the_folder_says_how_its_data_are_deleted_and_what_may_be_shown(whole):
    folder, _, _ = whole
    info = read_info(folder)
    assert info.licence.figures_max == 20 and not info.licence.redistribute
    deletion = (folder / "DELETE.md").read_text()
    assert "t2av-bench data prepare zh-200" in deletion and "--withdrawn FILE" in deletion and ".prepare" in deletion
    assert "20 pictures or videos" in (folder / "LICENCE.md").read_text()
    notes = " ".join(info.licence.notes)
    for duty in ("No derivative works", "cache", "race, ethnicity, age, gender", "Biometric", "Non-commercial"):
        assert duty in notes


def test_a_withdrawn_recording_leaves_nothing_behind(whole, tree, tmp_path):
    """Neither a file nor a line that names it, but for the reason; the others stay, and another one takes its place."""
    before, _, _ = whole
    make(tree, tmp_path / "out")
    gone = items(before)[sorted(items(before))[0]]
    make(tree, tmp_path / "out", gone=("Gone1", gone["video"]))
    after = items(tmp_path / "out")
    assert set(items(before)) - set(after) == {gone["id"]} and len(after) == 4
    named = [
        path.relative_to(tmp_path).as_posix()
        for path in (tmp_path / "out").rglob("*")
        if clip_of(gone["id"]) in path.name
    ]
    assert named == []
    for stage in ("probe", "faces", "filter", "text", "draw", "write"):
        assert clip_of(gone["id"]) + '"' not in (tmp_path / "out" / ".prepare" / f"{stage}.jsonl").read_text(), stage
    assert verify(tmp_path / "out") == []


def test_a_withdrawn_item_of_a_list_stays_a_line_without_files(whole, tree, tmp_path):
    folder, _, _ = whole
    gone = items(folder)[sorted(items(folder))[0]]
    made, _ = make(tree, tmp_path / "out", gone=("Gone1", gone["video"]), follow=folder / "zh-200.list.json")
    assert made.missing == {gone["id"]: "withdrawn"} and not made.differing
    assert set(items(tmp_path / "out")) == set(items(folder))


def test_of_a_large_set_the_first_clips_by_rank_are_looked_at(tree, tmp_path):
    recipe = Chinese200(clips="3", glob="*/[0-9C-R-]*.mp4")
    made, _ = make(tree, tmp_path / "out", recipe)
    names = ["001106", "Czb5Ml9VDsI_0", "Czb5Ml9VDsI_3", "RS127710_segment_005_745_0", "-_9KUBCidow_3"]
    first = sorted(names, key=lambda id: rank("zh-200/v1/clips/", id))[:3]
    left_out = dict(made.left_out)
    assert {id for id in names if left_out.get(id) == "not looked at: 3 clips come before it"} == set(names) - set(
        first
    )
    probed = (tmp_path / "out" / ".prepare" / "probe.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in probed} == set(first)
    assert read_info(tmp_path / "out").prepared.options == {"clips": "3", "detector": "s3fd"}


def test_names_are_read_as_the_user_says(tree, tmp_path):
    person = tmp_path / "p"
    for name in ("s12/a 1.mp4", "s12/b.mp4", "s7/a 1.mp4"):
        (person / name).parent.mkdir(parents=True, exist_ok=True)
        (person / name).touch()
    recipe = Chinese200(glob="s*/*.mp4", id_regex=r"^(?P<id>(?P<speaker>s\d+)/.*)$")
    found = {clip.id: clip for clip in recipe.index({"dh-facevid": person})}
    assert {id: clip.speaker for id, clip in found.items()} == {"s12_a_1": "s12", "s12_b": "s12", "s7_a_1": "s7"}
    assert found["s12_b"].video is None, "every file is a recording: they lend each other the voice"
    assert recipe.options == {"id_regex": r"^(?P<id>(?P<speaker>s\d+)/.*)$"}, "who is a speaker is part of the draw"
    recipe = Chinese200(id_regex=r"(?P<id>b)$")
    assert recipe.options == {}
    odd = [clip for clip in recipe.index({"dh-facevid": person}) if clip.reason]
    assert [clip.reason for clip in odd] == ["its path has no id by id_regex"] * 2
    with pytest.raises(ItemError, match=r"glob '\*\*/\*.mkv'.*there is s12/a 1.mp4.*--option glob"):
        Chinese200(glob="**/*.mkv").index({"dh-facevid": person})


@pytest.mark.parametrize(
    "options, said",
    [
        ({"id_regex": "("}, "no regular expression"), ({"id_regex": "x"}, "needs a group .*it has none"),
        ({"id_regex": "(?P<id>.)(?P<age>.)"}, "it has age, id"), ({"glob": "/data/*"}, "below the folder"),
        ({"glob": "../*"}, "below the folder"), ({"clips": "0"}, "1 or more"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Chinese200(**options)


def test_recordings_by_the_names_of_the_repositorys_examples():
    assert [recording_of(id) for id in ("001106", "Z_9KUBCidow_3", "V4cpZlFESeA_87", "RS127710_segment_005_745_0")] == [
        None, "Z_9KUBCidow", "V4cpZlFESeA", "RS127710"
    ]  # fmt: skip


def test_faces_below_256_pixels_are_refused_before_and_after_decoding(monkeypatch):
    monkeypatch.undo()
    rule = CutRule(least_face=256, least_enlarge=1.2)
    facts = Facts(True, True, 10.0, 254, 512, 25.0, 16_000, 1)
    monkeypatch.setattr(Chinese200, "cut", rule)
    assert "254x512, smaller than 256" in Chinese200().refuse(None, {"path": facts})
    assert Chinese200().refuse(None, {"path": replace(facts, width=512)}) is None


def test_a_square_shrinks_to_what_the_picture_has_and_no_further():
    """Of a face of 300 pixels in 512 x 512, 1.8 times would be 540: the whole picture, 1.71 times, is taken."""
    rule = CutRule(least_face=256, least_enlarge=1.2)
    box = np.array([[110.0, 100.0, 410.0, 400.0]])
    assert square(Seen([box] * 3, [(0, 15)], 512, 512), (0, 15), rule) == (0, 0, 512, 512)
    assert square(Seen([box] * 3, [(0, 15)], 720, 576), (0, 15), rule) == (0, 0, 540, 540)
    assert square(Seen([box] * 3, [(0, 15)], 512, 352), (0, 15), rule) == "the picture ends too close to the face"
    assert square(Seen([box] * 3, [(0, 15)], 512, 512), (0, 15), CutRule()) == "the picture ends too close to the face"
