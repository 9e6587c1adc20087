"""Sets whose items are given: LibriTTS and MoChaBench in made trees of their layouts, through the command."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from media_factory import noise, write_clip
from PIL import Image
from typer.testing import CliRunner

from t2av_bench.benchmarks.manifest import read_manifest
from t2av_bench.benchmarks.registry import benchmark, benchmark_ids
from t2av_bench.cli.main import app
from t2av_bench.errors import ItemError
from t2av_bench.preparation.benchmarks.recipe import registry
from t2av_bench.preparation.benchmarks.recipes.libritts import LibriTTSTestClean
from t2av_bench.preparation.benchmarks.recipes.mochabench import MoChaBench


def command(*arguments) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["data", *map(str, arguments)])
    return done.exit_code, done.stdout, done.stderr


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("T2AV_BENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def utterance(folder: Path, id: str, text: str | None = "Some words.", rate: int = 24_000, channels: int = 1) -> None:
    speaker, chapter = id.split("_")[:2]
    place = folder / "test-clean" / speaker / chapter
    place.mkdir(parents=True, exist_ok=True)
    sound = noise(0.3, rate)
    write_clip(
        place / f"{id}.wav", audio=np.stack([sound] * channels, axis=1), audio_rate=rate, audio_codec="pcm_s16le"
    )
    if text is not None:
        (place / f"{id}.normalized.txt").write_text(text, encoding="utf-8")
        (place / f"{id}.original.txt").write_text("not this", encoding="utf-8")


@pytest.fixture
def libritts(tmp_path) -> Path:
    folder = tmp_path / "LibriTTS"
    utterance(folder, "1089_134686_000002_000000", "\ufeffHe hoped  there would be stew.\n")
    utterance(folder, "1089_134686_000003_000000")
    utterance(folder, "121_121726_000004_000003")
    utterance(folder, "121_121726_000005_000000", rate=16_000)
    utterance(folder, "121_121726_000006_000000", channels=2)
    utterance(folder, "121_121726_000007_000000", text=None)
    utterance(folder, "121_121726_000008_000000", text=" \n")
    lost = folder / "test-clean" / "61" / "70968"
    lost.mkdir(parents=True)
    (lost / "61_70968_000001_000000.normalized.txt").write_text("A text without its sound.")
    return folder


def test_libritts_is_the_corpus_as_it_is(libritts, data):
    status, shown, told = command("prepare", "libritts-test-clean", "--source", libritts, "--workers", 1)
    home = data / "libritts-test-clean"
    assert status == 0 and shown.split() == [str(home)]
    assert "test: 3 items, 4837 are expected" in told
    first = rows(home / "test" / "items.jsonl")[0]
    assert first["text"] == "He hoped there would be stew." and first["speaker"] == "1089"
    assert first["video"] == "1089_134686" and first["language"] == "en"
    source = libritts / "test-clean" / "1089" / "134686" / "1089_134686_000002_000000.wav"
    assert (home / "test" / first["reference"]).read_bytes() == source.read_bytes()
    reasons = {row["clip"]: row.get("reason") for row in rows(home / "prepare.jsonl")}
    assert len(reasons) == 8 and sum(reason is None for reason in reasons.values()) == 3
    for id, part in {"5_000000": "16000 Hz", "6_000000": "2 channels", "7_000000": "is not there",
                     "8_000000": "is empty", "1_000000": "file is not there"}.items():  # fmt: skip
        (found,) = [reason for clip, reason in reasons.items() if clip.endswith(f"0000{'0' + id}")]
        assert part in found
    # Its folder test-clean serves as well, and makes the same.
    assert (
        command("prepare", "libritts-test-clean", "--source", libritts / "test-clean", "--out", data / "other")[0] == 0
    )
    same = "test/items.jsonl", "libritts-test-clean.list.json"
    assert all((home / name).read_bytes() == (data / "other" / name).read_bytes() for name in same)


def test_the_restored_corpus_is_another_one(libritts):
    restored = libritts.rename(libritts.with_name("LibriTTS_R"))
    with pytest.raises(ItemError, match="LibriTTS-R by its name"):
        LibriTTSTestClean().index({"libritts": restored / "test-clean"})


PROMPTS = {
    "1p_emotion/1_man_happy": '"A man   smiles.\nHe talks."', "1p_generalize_chinese/2_man": "A man speaks Chinese.",
    "2p_2clip_2talk/3_two": "Two people talk.",
}  # fmt: skip


@pytest.fixture
def mochabench(tmp_path) -> Path:
    folder = tmp_path / "MoChaBench"
    scores = folder / "eval-lipsync" / "mocha-eval-results"
    scores.mkdir(parents=True)
    for id in PROMPTS:
        category, name = id.split("/")
        for kind in ("speeches", "first-frames-from-mocha-generation"):
            (folder / "benchmark" / kind / category).mkdir(parents=True, exist_ok=True)
        write_clip(folder / "benchmark" / "speeches" / category / f"{name}_speech.wav", audio=noise(0.3),
                   audio_codec="pcm_s16le")  # fmt: skip
        still = Image.fromarray(np.full((64, 96, 3), 90, np.uint8))
        still.save(folder / "benchmark" / "first-frames-from-mocha-generation" / category / f"{name}.png")
    with (folder / "benchmark" / "benchmark.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["idx_in_category", "category", "context_id", "prompt"])
        writer.writerows([[1, *id.split("/"), prompt] for id, prompt in PROMPTS.items()])
        writer.writerow([1, "1p_emotion", "9_gone", "Nobody has the speech."])
    with (scores / "sync_scores.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["idx", "category", "video", "audio", "offsets", "best_conf", "min_dist", "has_face", "runtime_s"]
        )
        for id, seen in zip(PROMPTS, ("True", "True", "False"), strict=True):
            windows = id.replace("/", "\\")
            conf, dist = (5.25, 8.5) if seen == "True" else (0.0, 0.0)
            writer.writerow(
                [1, id.split("/")[0], f"{windows}.mp4", f"{windows}_speech.wav", "[0]", conf, dist, seen, 1]
            )
    return folder


def test_mochabench_is_first_frames_speech_and_prompts(mochabench, data):
    status, _, told = command("prepare", "mochabench", "--source", f"mochabench={mochabench}", "--workers", 1)
    home = data / "mochabench"
    assert status == 0 and "its file is not there" in told
    splits = {split: rows(home / split / "items.jsonl") for split in ("monologue", "dialogue", "chinese")}
    assert {split: [row["id"] for row in lines] for split, lines in splits.items()} == {
        "monologue": ["1p_emotion/1_man_happy"], "dialogue": ["2p_2clip_2talk/3_two"],
        "chinese": ["1p_generalize_chinese/2_man"],
    }  # fmt: skip
    found = {row["id"]: row for lines in splits.values() for row in lines}
    assert sorted(found) == sorted(PROMPTS), "ids are paths, so that folders of clips pair with them"
    one = found["1p_emotion/1_man_happy"]
    assert one["scene"] == "A man smiles. He talks." and one["category"] == "1p_emotion" and one["persons"] == "1"
    assert found["1p_generalize_chinese/2_man"]["language"] == "zh" and one["language"] == "en"
    assert not {"text", "reference"} & one.keys(), "there are no transcripts and no real clips"
    speech = mochabench / "benchmark" / "speeches" / "1p_emotion" / "1_man_happy_speech.wav"
    assert (home / "monologue" / one["driving_audio"]).read_bytes() == speech.read_bytes()
    assert (home / "monologue" / one["identity_image"]).is_file()
    assert not any(entry.reason for entry in read_manifest(home / "monologue" / "items.jsonl"))
    with (home / "published" / "mocha.csv").open(newline="") as file:
        scores = {row["id"]: (row["sync_c"], row["sync_d"]) for row in csv.DictReader(file)}
    assert scores["1p_emotion/1_man_happy"] == ("5.25", "8.5")
    assert scores["2p_2clip_2talk/3_two"] == ("", ""), "no face is no score, and not zero"


def test_verse_bench_is_what_is_spoken_and_a_picture(tmp_path, data):
    folder = tmp_path / "Verse-Bench"
    prompts = {
        "set1/12": {"video_prompt": "A dog.", "audio_prompt": ["A bark."], "speech_prompt": None},
        "set1/13": {"video_prompt": "A  man.", "audio_prompt": ["Rain.", "Wind."],
                    "speech_prompt": {"speaker": "an old man", "text": "Good\nmorning."}},
        "set3/1": {"video_prompt": "A woman.", "audio_prompt": [], "speech_prompt": {"speaker": "", "text": "你好。"}},
        "set3/2": {"video_prompt": "A man.", "speech_prompt": {"text": "His picture is gone."}},
    }  # fmt: skip
    for name, prompt in prompts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text("\ufeff" + json.dumps(prompt), encoding="utf-8")
        if name != "set3/2":
            Image.fromarray(np.full((64, 96, 3), 90, np.uint8)).save(folder / f"{name}.jpg")
    (folder / "set3" / "3.json").write_text("[1, 2]")
    (folder / "set3" / "4.json").write_text("{")
    assert command("prepare", "verse-bench", "--source", folder, "--workers", 1)[0] == 0
    home = data / "verse-bench"
    (one,), (two,) = rows(home / "set1" / "items.jsonl"), rows(home / "set3" / "items.jsonl")
    assert one["id"] == "set1_13" and one["text"] == "Good morning." and one["scene"] == "A man."
    assert one["voice_description"] == "an old man" and one["sound"] == "Rain. Wind." and one["language"] == "en"
    assert two["text"] == "你好。" and two["language"] == "zh" and "voice_description" not in two
    assert (home / "set3" / two["identity_image"]).is_file() and "reference" not in two
    reasons = {row["clip"]: row.get("reason") for row in rows(home / "prepare.jsonl")}
    assert "nobody speaks" in reasons["set1_12"] and "not there" in reasons["set3_2"]
    assert all("cannot be read as a prompt" in reasons[id] for id in ("set3_3", "set3_4"))


def test_what_is_no_clone_is_refused(mochabench, tmp_path):
    (mochabench / "benchmark" / "benchmark.csv").write_text("id,text\n1,x\n")
    with pytest.raises(ItemError, match="no column category nor context_id nor prompt"):
        list(MoChaBench().index({"mochabench": mochabench}))
    (tmp_path / "other").mkdir()
    status, _, told = command("prepare", "mochabench", "--source", tmp_path / "other")
    assert status == 2 and "expected a clone of congwei1230/MoChaBench" in told


def test_a_prepared_benchmark_is_found_by_its_name_and_verified(mochabench, data, tmp_path):
    with pytest.raises(ItemError, match="data prepare mochabench --source FOLDER --out"):
        benchmark("mochabench").build(["monologue"], None, None, 1, lambda *_: None)
    assert command("prepare", "mochabench", "--source", mochabench, "--workers", 1)[0] == 0
    found = benchmark("MoChaBench")
    found.build(["monologue"], None, None, 1, lambda *_: None)
    assert found.splits == {"monologue": 1, "dialogue": 1, "chinese": 1}
    assert found.manifest("monologue", 1, None).is_file()
    listed = json.loads(command("list", "--json")[1])["benchmarks"]
    states = {row["id"]: row["state"] for row in listed}
    assert states["mochabench"] == "prepared" and states["libritts-test-clean"] == "to be prepared"
    assert states["gridface"] == "made on the spot"

    assert command("verify", "mochabench")[:2] == (0, "")
    still = next((data / "mochabench" / "monologue" / "identity_image").rglob("*.png"))
    still.unlink()
    still.write_bytes(b"other")
    (data / "mochabench" / "new.txt").write_text("x")
    status, shown, _ = command("verify", "mochabench")
    assert status == 1 and "has changed" in shown and "new.txt was not there" in shown

    # A folder that somebody else prepared is a benchmark as well; a damaged one costs nobody else anything.
    (data / "mochabench").rename(data / "ours")
    assert "ours" in benchmark_ids() and benchmark("ours").splits["dialogue"] == 1
    (data / "ours" / "benchmark.toml").write_text("name = 1")
    states = {row["id"]: row["state"] for row in json.loads(command("list", "--json")[1])["benchmarks"]}
    assert states["ours"].startswith("broken: ") and states["mochabench"] == "to be prepared"


@pytest.mark.parametrize("name", registry.ids())
def test_show_says_who_may_use_it_and_how_to_get_it(name):
    status, shown, _ = command("show", name)
    assert status == 0
    for part in (
        "licence: ",
        "consent: ",
        "get it: ",
        "the paper fixed:",
        "we decided:",
        f"data prepare {name} --source",
    ):
        assert part in shown
    assert json.loads(command("show", name, "--json")[1])["name"] == name


@pytest.mark.parametrize(("arguments", "said"), [
    (("prepare", "en-201", "--source", "x"), "unknown recipe 'en-201'; did you mean"),
    (("prepare", "mochabench", "--source", "nowhere"), "nowhere is no folder; expected a clone of"),
    (("prepare", "mochabench", "--source", "a=b"), "mochabench takes --source mochabench=FOLDER"),
    (("prepare", "en-200", "--source", "hdtf=."), "en-200 needs the source hallo3"),
    (("prepare", "mochabench", "--source", ".", "--option", "x"), "expected KEY=VALUE"),
    (("prepare", "mochabench", "--source", ".", "--option", "x=1"), "has no option 'x'"),
    (("verify", "gridface"), "data build embedded --verify"),
    (("verify", "mochabench"), "data prepare"),
    (("show", "mocha"), "unknown benchmark 'mocha'"),
])  # fmt: skip
def test_what_cannot_be_carried_out_says_what_to_type(arguments, said):
    status, _, told = command(*arguments)
    assert status == 2 and said in told


def test_a_folder_of_something_else_is_left_alone(mochabench, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    status, _, told = command("prepare", "mochabench", "--source", mochabench, "--out", tmp_path / "mine")
    assert status == 2 and "something else than a benchmark" in told


def test_every_recipe_has_its_head():
    from t2av_bench.benchmarks.info import heads

    assert set(registry.ids()) == set(heads()), "benchmarks/sets and the recipes"
    for id in registry.ids():
        recipe = registry.create(id)
        assert recipe.info.name == recipe.id == id
        assert set(recipe.shares) <= set(recipe.info.splits)
        for split, shares in recipe.shares.items():
            assert sum(shares.bins.values()) == recipe.info.splits[split]
