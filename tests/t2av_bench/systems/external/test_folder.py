"""Files that somebody else made become clips as they are; what is wrong with one costs that one alone."""

import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from experiment_factory import only_made, unheard, write
from media_factory import clip_without_audio, frame_number, moving_pattern, noise, tone, truncated_clip, write_clip
from scipy.io import wavfile
from typer.testing import CliRunner

import t2av_bench as tb
from t2av_bench import systems
from t2av_bench.cli.main import app
from t2av_bench.errors import NotApplicable
from t2av_bench.experiment import run as experiment
from t2av_bench.experiment.config import ConfigError, load
from t2av_bench.media.clip import Clip
from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.external import folder as folders
from t2av_bench.systems.external import spec as specs
from t2av_bench.systems.external.clip_folder import ClipFolder, read_names

DUBBERS = ("styledubber", "speaker2dubber", "produbber", "instructdubber", "deepdubber")
RATE = 16000


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch, fake_metrics):
    """Items a, b and c, whose real clips last 0.8 s, and an empty folder ``theirs``."""
    real = tmp_path / "data" / "real"
    real.mkdir(parents=True)
    lines = []
    for number, id in enumerate("abc"):
        write_clip(real / f"{id}.mp4", moving_pattern(20, seed=number), noise(0.8, seed=number))
        lines.append(json.dumps({"id": id, "text": f"word {id}", "language": "en", "reference": f"real/{id}.mp4"}))
    (tmp_path / "data" / "items.jsonl").write_text("\n".join(lines))
    (tmp_path / "theirs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def row(system: str = "folder", task: str = "t2av", **options: object) -> str:
    given = {"clips": "theirs"} | options
    said = ", ".join(f"{name} = {json.dumps(value)}" for name, value in given.items())
    return f'[[rows]]\nname = "row"\nsystem = "{system}"\ntask = "{task}"\noptions = {{ {said} }}\n'


def made(place: Path, text: str):
    (plan,) = only_made(place, text)
    return plan


def record(place: Path, id: str) -> dict:
    return json.loads((place / "out" / "clips" / "row" / f"{id}.json").read_text())


def wav(path: Path, seconds: float = 0.8, seed: int = 0, rate: int = RATE) -> np.ndarray:
    samples = np.round(noise(seconds, rate, seed) * 32767).astype(np.int16)
    wavfile.write(path, rate, samples)
    return samples / 32768


def three(place: Path) -> Path:
    theirs = place / "theirs"
    for number, id in enumerate("abc"):
        write_clip(theirs / f"{id}.mp4", moving_pattern(10, seed=9), tone(0.4, frequency=300 + 100 * number))
    return theirs


# What becomes of files


def test_an_mp4_stays_as_it_is_and_other_containers_are_kept_beside_their_clip(place):
    theirs, ntsc = place / "theirs", Fraction(30000, 1001)
    write_clip(theirs / "a.mp4", moving_pattern(7), tone(0.5))
    write_clip(theirs / "b.mov", moving_pattern(12), tone(0.4, 44100), frame_rate=ntsc, audio_rate=44100)
    write_clip(
        theirs / "c.mkv", moving_pattern(9), tone(0.3, 22050), video_codec="mpeg4", audio_codec="flac", audio_rate=22050
    )
    before = {path: path.read_bytes() for path in theirs.iterdir()}
    assert made(place, row()).failures == {}
    clips = place / "out" / "clips" / "row"
    assert (clips / "a.mp4").read_bytes() == before[theirs / "a.mp4"] and not list((clips / ".native").glob("a.*"))
    assert (clips / ".native" / "b.mov").read_bytes() == before[theirs / "b.mov"]
    assert (clips / ".native" / "c.mkv").read_bytes() == before[theirs / "c.mkv"]
    assert {path: path.read_bytes() for path in theirs.iterdir()} == before
    for id, count, rate in (("a", 7, Fraction(25)), ("b", 12, ntsc), ("c", 9, Fraction(25))):
        pictures = np.concatenate(list(Clip(clips / f"{id}.mp4", frame_rate=rate).frames()))
        assert [frame_number(picture) for picture in pictures] == list(range(count))
        assert (record(place, id)["frames"], Fraction(record(place, id)["frame_rate"])) == (count, rate)
    rate, samples = wavfile.read(clips / "c.wav")
    assert rate == 22050 and np.abs(samples - tone(0.3, 22050)).max() < 1e-3
    assert record(place, "b")["inputs"]["video"]["file"] == "b.mov" and record(place, "b")["system"] == "folder"


def test_a_silent_video_takes_the_sound_beside_it_and_no_other(place):
    theirs = place / "theirs"
    clip_without_audio(theirs / "a.mp4", 0.4)
    beside = wav(theirs / "a.wav", 0.5, rate=8000)
    write_clip(theirs / "b.mp4", moving_pattern(10), tone(0.4))
    wav(theirs / "b.wav", 0.9)
    clip_without_audio(theirs / "c.mp4", 0.4)
    plan = made(place, row())
    assert list(plan.failures) == ["c"] and "no sound" in plan.failures["c"]
    rate, samples = wavfile.read(place / "out" / "clips" / "row" / "a.wav")
    assert rate == 8000 and np.allclose(samples, beside, atol=1e-6)
    assert record(place, "b")["seconds"] == pytest.approx(0.4, abs=0.05)
    clips = place / "out" / "clips" / "row"
    assert sorted(path.name for path in (clips / ".native").iterdir()) == ["a.mp4", "a.wav"]


def test_a_dubbed_sound_is_joined_with_the_items_own_video(place):
    theirs = place / "theirs"
    sounds = {id: wav(theirs / f"wav_pred_{id}.wav", seconds, rate=24000)
              for id, seconds in (("a", 0.8), ("b", 1.1), ("c", 0.5))}  # fmt: skip
    plan = made(place, row("produbber", "v2a", setting=2))
    assert plan.failures == {} and plan.row.label == "row (setting 2)"
    clips = place / "out" / "clips" / "row"
    for id, samples in sounds.items():
        rate, heard = wavfile.read(clips / f"{id}.wav")
        assert rate == 24000 and np.allclose(heard, samples, atol=1e-6)  # neither cut nor padded
        pictures = np.concatenate(list(Clip(clips / f"{id}.mp4").frames()))
        real = np.concatenate(list(Clip(place / "data" / "real" / f"{id}.mp4").frames()))
        assert pictures.shape == real.shape and np.abs(pictures.astype(int) - real).mean() < 3
        kept = clips / ".native" / f"{id}.wav"
        assert kept.read_bytes() == (theirs / f"wav_pred_{id}.wav").read_bytes()
        told = record(place, id)
        assert told["settings"]["options"] == {"setting": 2} and told["pictures"] == "the driving video"
        assert any(note.startswith("setting 2: the reference voice") for note in told["notes"])
        assert told["external"]["ignored"] == ["language", "seed"] and told["real_time_factor"] is None
    notes = {id: [note for note in record(place, id)["notes"] if "lasts" in note] for id in sounds}
    said = "its sound lasts {} s, the video to be dubbed 0.80 s; nothing was padded or cut"
    assert notes == {"a": [], "b": [said.format("1.10")], "c": [said.format("0.50")]}


def test_in_dubbing_a_sound_goes_before_the_video_beside_it_and_a_video_alone_will_do(place):
    theirs = place / "theirs"
    write_clip(theirs / "a.mp4", moving_pattern(20), tone(0.8))
    best = wav(theirs / "a.wav")
    write_clip(theirs / "b.mp4", moving_pattern(10), tone(0.4))
    plan = made(place, row("deepdubber", "v2a", setting=1))  # its rule is for sounds
    assert plan.made == ["a"] and plan.failures["b"].startswith("theirs/ holds b.mp4, and no b.wav; option 'rule'")
    assert np.allclose(wavfile.read(place / "out" / "clips" / "row" / "a.wav")[1], best, atol=1e-6)
    plan = made(place, row("deepdubber", "v2a", setting=1, rule="{name}"))
    assert plan.made == ["a", "b"]
    assert (place / "out" / "clips" / "row" / "b.mp4").read_bytes() == (theirs / "b.mp4").read_bytes()
    assert [note for note in record(place, "b")["notes"] if "last" in note] == [
        "its sound lasts 0.40 s, the video to be dubbed 0.80 s; nothing was padded or cut",
        "its pictures last 0.40 s, the video to be dubbed 0.80 s; nothing was padded or cut",
    ]


def test_a_silent_audio_driven_video_speaks_with_its_driving_audio(place):
    clip_without_audio(place / "theirs" / "a.mp4", 0.8)
    clip_without_audio(place / "theirs" / "b.mov", 0.8)
    assert made(place, row(task="a2v")).made == ["a", "b"]
    clips = place / "out" / "clips" / "row"
    real = Clip(place / "data" / "real" / "a.mp4").audio(RATE)
    assert np.allclose(wavfile.read(clips / "a.wav")[1], real, atol=1e-6)
    assert "the file is silent: its sound is the driving audio" in record(place, "a")["notes"]
    assert sorted(path.name for path in (clips / ".native").iterdir()) == ["a.mp4", "b.mov"]


def test_speech_is_taken_from_a_sound_or_a_video(place):
    samples = wav(place / "theirs" / "a.wav", 0.3, rate=48000)
    write_clip(place / "theirs" / "b.mp4", moving_pattern(10), tone(0.4))
    system = systems.load("folder", clips=place / "theirs")
    clips = [system.generate(Request(id, place / "speech" / f"{id}.wav", "tts")) for id in "ab"]
    assert np.allclose(wavfile.read(clips[0].audio)[1], samples, atol=1e-6) and clips[0].audio_rate == 48000
    assert clips[1].video is None and clips[1].seconds == pytest.approx(0.4, abs=0.05)


def test_a_part_of_the_picture_can_be_cut_out(place):
    frames = moving_pattern(10, 96, 128)
    write_clip(place / "theirs" / "a.mp4", frames, tone(0.4), video_codec="libx264rgb", pixel_format="rgb24",
               video_options={"crf": "0"})  # fmt: skip
    wav(place / "theirs" / "b.wav")
    crop = {"crop": [32, 24, 64, 48]}
    plan = made(place, row(edits=[crop]).replace('{"crop": ', "{ crop = "))
    pictures = np.concatenate(list(Clip(place / "out" / "clips" / "row" / "a.mp4").frames()))
    # What is left is H.264 with half the colour resolution.
    assert np.abs(pictures.astype(int) - frames[:, 24:72, 32:96]).mean() < 6
    assert record(place, "a")["edits"] == [crop]
    kept = place / "out" / "clips" / "row" / ".native" / "a.mp4"
    assert kept.read_bytes() == (place / "theirs" / "a.mp4").read_bytes()
    assert "b.wav is a sound, and task t2av makes a video" in plan.failures["b"]
    plan = made(place, row(edits=[{"crop": [100, 0, 64, 48]}]).replace('{"crop": ', "{ crop = "))
    assert "crop 64x48 at (100, 0)" in plan.failures["a"] and not kept.exists()
    with pytest.raises(ConfigError, match="edits"):
        load(write(place, row(edits=[{"turn": 90}]).replace('{"turn": ', "{ turn = ")))


def test_what_the_encoder_cannot_take_is_a_reason_that_names_the_way_out(place):
    frames = moving_pattern(6, 97, 129)
    write_clip(place / "theirs" / "a.mkv", frames, tone(0.3), video_codec="ffv1", pixel_format="bgr0")
    plan = made(place, row())
    assert "even picture sizes, got 129x97" in plan.failures["a"] and "option edits" in plan.failures["a"]
    plan = made(place, row(edits=[{"crop": [0, 0, 128, 96]}]).replace('{"crop": ', "{ crop = "))
    assert plan.made == ["a"]


# What is made again


def test_nothing_is_made_twice_and_a_changed_file_makes_its_own_clip_again(place):
    theirs, clips = three(place), place / "out" / "clips" / "row"

    def times() -> dict[str, int]:
        return {id: (clips / f"{id}.json").stat().st_mtime_ns for id in "abc"}

    file = write(place, row())
    notes: list[str] = []
    assert experiment.run(load(file), unheard, notes.append).rows[0].made == 3
    first = times()
    assert experiment.run(load(file), unheard, notes.append).rows[0].made == 0 and times() == first
    write_clip(theirs / "b.mp4", moving_pattern(10, seed=9), tone(0.4, frequency=2000))
    notes.clear()
    (result,) = experiment.run(load(file), unheard, notes.append).rows
    assert (result.kept, result.made) == (2, 1) and not result.not_made
    assert {id for id in "abc" if times()[id] != first[id]} == {"b"}
    assert any("row: 1 clip is made again: the text, an option, the seed or a file" in note for note in notes)
    assert (clips / "b.mp4").read_bytes() == (theirs / "b.mp4").read_bytes()


def test_where_the_folder_lies_and_what_files_are_called_changes_nothing(place):
    theirs = three(place)
    made(place, row())
    (place / "elsewhere").mkdir()
    shutil.move(theirs, place / "elsewhere" / "named otherwise")
    [plan], _ = experiment._planned(load(write(place, row(clips="elsewhere/named otherwise"))), {"row": MANIFEST})
    assert plan.made == ["a", "b", "c"]
    moved = place / "elsewhere" / "named otherwise"
    (moved / "a.mp4").rename(moved / "take 1.mp4")
    (place / "names.csv").write_text("item,file\na,take 1.mp4\nb,b.mp4\nc,c.mp4\n")
    text = row(clips="elsewhere/named otherwise", names="names.csv")
    [plan], _ = experiment._planned(load(write(place, text)), {"row": MANIFEST})
    assert plan.made == ["a", "b", "c"]
    (place / "names.csv").write_text("item,file\na,b.mp4\nb,take 1.mp4\nc,c.mp4\n")
    [plan], _ = experiment._planned(load(write(place, text)), {"row": MANIFEST})
    assert plan.made == ["c"] and [task.request.id for task in plan.to_make] == ["a", "b"]


MANIFEST = Path("data/items.jsonl")


def test_a_file_that_is_gone_takes_its_clip_and_its_scores_along(place):
    theirs = three(place)
    file = write(place, row())
    tb.run(file)
    (theirs / "b.mp4").unlink()
    result = tb.run(file).result.rows[0]
    assert list(result.not_made) == ["b"] and not (place / "out" / "clips" / "row" / "b.mp4").exists()
    assert {failure["clip"] for failure in result.failed} == {"b"}


def test_clips_that_lie_where_the_rows_own_are_written_are_refused_and_stay(place):
    there = place / "out" / "clips" / "row"
    there.mkdir(parents=True)
    write_clip(there / "a.mp4", moving_pattern(5), tone(0.2))
    before = (there / "a.mp4").read_bytes()
    with pytest.warns(UserWarning, match="is where this row's clips are written"):
        runs = tb.run(write(place, row(clips="out/clips/row")))
    assert list(runs.result.unscored) == ["row"]
    assert (there / "a.mp4").read_bytes() == before


# What is wrong with one


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "b.mp4").unlink(), "no clip in theirs/ is named 'b'"),
        (lambda folder: shutil.copy(folder / "b.mp4", folder / "b.mov"), "2 files are named 'b': b.mov, b.mp4"),
        (lambda folder: truncated_clip(folder / "b.mp4", 0.4), "b.mp4 is truncated: 18 of 50"),
        (lambda folder: (folder / "b.mp4").write_bytes(b""), "is empty (0 bytes)"),
        (lambda folder: (folder / "b.mp4").write_text("no video"), "b.mp4 is text, not a media file"),
        (lambda folder: clip_without_audio(folder / "b.mp4", 0.4), "the system made no sound: b.mp4 holds none"),
        (lambda folder: (folder / "b.mp4").rename(folder / "B.mp4"), "the nearest name is 'B', which differs only in"),
    ],
)  # fmt: skip
def test_each_defect_is_the_reason_of_its_own_item(place, spoil, reason):
    spoil(three(place))
    plan = made(place, row())
    assert plan.made == ["a", "c"] and list(plan.failures) == ["b"]
    assert reason in plan.failures["b"]


def test_a_lost_folder_is_the_reason_of_every_item_and_of_loading(place):
    plan = made(place, row(clips="nowhere"))
    assert len(plan.failures) == 3 and all("nowhere is not a folder" in each for each in plan.failures.values())
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        systems.load("folder", clips="nowhere")
    with pytest.raises(ValueError, match="holds {name} once"):
        systems.load("folder", clips=place / "theirs", rule="clip.mp4")
    with pytest.raises(ValueError, match="without folders"):
        systems.load("folder", clips=place / "theirs", rule="../{name}.mp4")


def test_a_refused_request_is_no_crash(place):
    three(place)
    system = systems.load("uniavgen", clips=place / "theirs")
    with pytest.raises(NotApplicable, match="does not serve the task v2a"):
        system.generate(Request("a", place / "x.mp4", "v2a"))
    with pytest.raises(GenerationFailed, match="no clip in theirs/ is named 'nobody'"):
        system.generate(Request("nobody", place / "x.mp4"))
    assert not (place / "x.mp4").exists()


# Tables of names


def test_a_table_says_whose_files_they_are_however_a_spreadsheet_wrote_it(place):
    theirs = three(place)
    (theirs / "takes").mkdir()
    for id, name in (("a", "take 1"), ("b", "tâke 2"), ("c", "3")):
        (theirs / f"{id}.mp4").rename(theirs / "takes" / f"{name}.mp4")
    table = '\ufeffFile, item,remark\r\ntakes/take 1.mp4,a,"x, y"\r\n\r\ntakes/tâke 2.mp4,b\r\n./takes/3.mp4, c ,\r\n'
    (place / "names.csv").write_bytes(table.encode())
    plan = made(place, row(names="names.csv"))
    assert plan.made == ["a", "b", "c"] and plan.notices == []
    for separator in ("\r", "\n"):
        (place / "names.csv").write_bytes(table.replace("\r\n", separator).encode())
        assert len(read_names(place / "names.csv").rows) == 3


def test_a_table_may_say_what_stands_for_the_name(place):
    for name in ("clip0007", "clip0008"):
        wav(place / "theirs" / f"wav_pred_{name}.wav", seed=int(name[-1]))
    (place / "names.csv").write_text("item,name\na,clip0007\nb,clip0008\nc,clip0009\n")
    plan = made(place, row("styledubber", "v2a", setting=1, names="names.csv"))
    assert plan.made == ["a", "b"]
    assert plan.failures["c"].startswith("no clip in theirs/ is named 'wav_pred_clip0009.wav'; the nearest name is")
    kept = place / "out" / "clips" / "row" / ".native" / "b.wav"
    assert kept.read_bytes() == (place / "theirs" / "wav_pred_clip0008.wav").read_bytes()


def test_ids_with_folders_keep_them_before_the_rule(place):
    (place / "theirs" / "anna").mkdir()
    wav(place / "theirs" / "anna" / "wav_pred_1.wav")
    found = ClipFolder(place / "theirs", None, "wav_pred_{name}.wav")
    request = Request("anna/1", Path("x.mp4"), "v2a")
    assert found.files(request).sound == place / "theirs" / "anna" / "wav_pred_1.wav" and found.ids == ["anna/1"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("a,a.mp4\nc,c.mp4", "names.csv has no row of the item 'b'"),
        ("a,a.mp4\nb,b.mp4\nc,c.mp4\nb,other.mp4", "names.csv: the item 'b' stands on lines 3 and 5"),
        ("a,a.mp4\nb,b.mp4\nc,c.mp4\nb,b.mp4", "names.csv: the item 'b' stands on lines 3 and 5"),
        ("a,a.mp4\nb,\nc,c.mp4", "names.csv line 3: the column 'file' is empty"),
        ("a,a.mp4\nb\nc,c.mp4", "names.csv line 3: the column 'file' is empty"),
        ("a,a.mp4\nb,b.mov\nc,c.mp4", "names.csv: there is no file 'b.mov' in theirs/"),
        ("a,a.mp4\nb,../secret.mp4\nc,c.mp4", "'file' leaves its folder ('../secret.mp4')"),
        ("a,a.mp4\nb,{place}/theirs/b.mp4\nc,c.mp4", "'file' is an absolute path"),
        ("a,a.mp4\nb,link.mp4\nc,c.mp4", "'file' leaves its folder ('link.mp4')"),
        ("a,a.mp4\nb,b.mp4\nx,./b.mp4\nc,c.mp4", "names.csv: lines 3 and 4 name the same file 'b.mp4'"),
    ],
)  # fmt: skip
def test_each_bad_row_is_the_reason_of_its_own_item(place, lines, reason):
    theirs = three(place)
    shutil.copy(theirs / "b.mp4", place / "secret.mp4")
    (theirs / "link.mp4").symlink_to(place / "secret.mp4")
    (place / "names.csv").write_text("item,file\n" + lines.format(place=place) + "\n")
    plan = made(place, row(names="names.csv"))
    assert plan.made == ["a", "c"] and list(plan.failures) == ["b"]
    assert reason in plan.failures["b"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"item;file\na;a.mp4\n", "expected the columns item,file or item,name, got 'item;file'"),
        (b"item,file,name\na,a.mp4,a\n", "expected the columns item,file or item,name"),
        (b"", "expected the columns item,file or item,name"),
        ("item,file\na,é.mp4\n".encode("latin-1"), "is not UTF-8"),
        ("item,file\na,a.mp4\n".encode("utf-16"), "is not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_the_reason_of_every_item(place, table, reason):
    three(place)
    (place / "names.csv").write_bytes(table)
    plan = made(place, row(names="names.csv"))
    assert len(plan.failures) == 3 and all(reason in each for each in plan.failures.values())
    (place / "names.csv").unlink()
    assert all("No such file" in each for each in made(place, row(names="names.csv")).failures.values())


def test_what_nobody_uses_is_told_once(place):
    theirs = three(place)
    wav(theirs / "d.wav")
    (place / "names.csv").write_text("item,file\na,a.mp4\nb,b.mp4\nc,c.mp4\nzoe,d.wav\n,d.wav\n")
    notes: list[str] = []
    loaded = load(write(place, row(names="names.csv")))
    experiment.run(loaded, unheard, notes.append)
    assert "row: names.csv: 1 row is of no item here: zoe" in notes
    assert "row: names.csv: no item is named on line 6" in notes
    assert any(note.startswith("row: 1 name in ") and note.endswith("is no item's: d") for note in notes)


# Systems


@pytest.mark.parametrize("id", DUBBERS)
def test_a_dubber_says_its_setting_or_is_refused(place, id):
    found = specs.spec(id)
    assert found.carrier == "folder" and found.options["setting"].choices == (1, 2, 3)
    with pytest.raises(ConfigError, match=f"system {id} needs the option 'setting'"):
        load(write(place, row(id, "v2a")))
    for wrong in (0, 4, "2"):
        with pytest.raises(ConfigError, match="setting: Input should be 1, 2 or 3"):
            load(write(place, row(id, "v2a", setting=wrong)))
    (loaded,) = load(write(place, row(id, "v2a", setting=3) + f'label = "{found.title} (setting 3)"\n')).rows
    assert loaded.label == f"{found.title} (setting 3)"  # once is enough
    assert systems.system_class(id).beside_label(setting=3) == "setting 3"


def test_a_specification_of_ones_own_gives_a_folder_paper_and_licence(place, monkeypatch):
    (place / "specs").mkdir()
    (place / "specs" / "theirs.toml").write_text(
        'id = "theirs"\ntitle = "Theirs"\npaper = "Someone et al."\ncarrier = "folder"\nlicence = "non-commercial"\n'
        'seed_support = "none"\n[tasks]\nt2av = []\n[honours]\ntext = "words"\nlanguage = "ignored"\n'
        '[options]\ncheckpoint = { required = true, help = "training steps" }\n'
    )
    monkeypatch.setenv(specs.VARIABLE, str(place / "specs"))
    write_clip(place / "theirs" / "gen-a-final.mp4", moving_pattern(5), tone(0.2))
    file = write(place, row("theirs", rule="gen-{name}-final.mp4", checkpoint="50k"))

    def command(*words: object):
        return subprocess.run([sys.executable, "-m", "t2av_bench.cli.main", *map(str, words)], capture_output=True,
                              text=True, timeout=300)  # fmt: skip

    done = command("run", file)
    assert done.returncode == 1 and "row (checkpoint 50k)" in done.stdout, done.stderr  # b and c have no clip
    told = record(place, "a")
    assert (told["system"], told["frames"]) == ("theirs", 5) and "checkpoint 50k: training steps" in told["notes"]
    assert (told["external"]["only_in_words"], told["external"]["ignored"]) == (["text"], ["language"])
    again = command("run", file)
    assert "row: 1 of 3 clips are there, 2 cannot be made" in again.stderr
    listed = {each["id"]: each for each in json.loads(command("list", "systems", "--json").stdout)}["theirs"]
    assert (listed["paper"], listed["licence"], listed["never_run"]) == ("Someone et al.", "non-commercial", False)


def test_a_class_is_that_of_its_own_carrier(place):
    assert folders.folder.__module__ == folders.__name__ and folders.folder.native is None
    with pytest.raises(AttributeError, match="sonic has the carrier worker, not folder"):
        _ = folders.sonic
    with pytest.raises(AttributeError, match="no attribute 'nobody'"):
        _ = folders.nobody


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"carrier": "worker"}, "'required' is for the carrier folder"),
        ({"options": {"setting": {"required": True, "default": 1}}}, "a required option has no default"),
        ({"options": {"setting": {"choices": [1, 2]}}}, "'choices' are those of a required option"),
        ({"options": {"clips": {}}}, "have these names already"),
    ],
)  # fmt: skip
def test_a_specification_says_what_it_means(change, reason):
    given = {"id": "theirs", "title": "T", "paper": "P", "carrier": "folder", "seed_support": "none",
             "tasks": {"v2a": []}, "options": {"setting": {"required": True, "choices": [1, 2]}}}  # fmt: skip
    specs.Spec.model_validate(given)
    with pytest.raises(ValueError, match=reason):
        specs.Spec.model_validate(given | change)


def run(*words: str):
    return CliRunner().invoke(app, list(words))


def test_the_commands_say_what_they_can_of_a_folder(place):
    shown = run("systems", "show", "produbber").stdout
    assert "finished clips: options clips" in shown and "its clips are made elsewhere" in shown
    assert "setting = (needed)" in shown and "never run" not in shown.lower() and "environment" not in shown
    listed = {each["id"]: each for each in json.loads(run("list", "systems", "--json").stdout)}
    assert listed["sonic"]["never_run"] and not any(listed[id]["never_run"] for id in (*DUBBERS, "folder", "uniavgen"))
    doctor = run("systems", "doctor", "folder", "--json")
    assert doctor.exit_code == 0 and json.loads(doctor.stdout)["folder"][0]["status"] == "skipped"
    assert run("systems", "recipe", "folder").exit_code == 0


def test_check_looks_at_the_files_and_says_what_cannot_be_checked(place):
    theirs = three(place)
    bare = run("systems", "check", "folder")
    assert bare.exit_code == 0 and "nothing could be checked" in bare.stderr
    assert "cannot be checked: there is no process" in bare.stderr and "--option clips=FOLDER" in bare.stderr
    good = run("systems", "check", "folder", "--option", f"clips={theirs}", "--json")
    assert good.exit_code == 0 and json.loads(good.stdout)[-1]["words"] == "3 of 3 items have a file that can be read"
    truncated_clip(theirs / "b.mp4", 0.4)
    wav(theirs / "wav_pred_c.wav")
    bad = run("systems", "check", "folder", "--option", f"clips={theirs}")
    assert bad.exit_code == 1 and "failed   file of b: b.mp4 is truncated" in bad.stderr
    assert bad.stderr.splitlines()[-1] == "folder: 1 failed: file of b"
    dubbed = run("systems", "check", "styledubber", "--option", f"clips={theirs}")
    assert dubbed.exit_code == 0 and "1 of 1 items" in dubbed.stderr and "no item's: a, b, c" in dubbed.stderr
    for wrong, status, words in (
        (["--option", "clip=x"], 2, "did you mean clips"),
        (["--attest", "x.json"], 2, "nothing to run or to attest"),
        (["--option", "clips=nowhere"], 1, "nowhere is not a folder"),
    ):
        done = run("systems", "check", "folder", *wrong)
        assert done.exit_code == status and words in done.stderr
