"""The report's files: what they say, what they escape, and that building again does no harm."""

import json
import os
import shutil
import wave
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import av
import numpy as np
import pytest
from media_factory import moving_pattern, noise, write_clip, write_lossless
from page_factory import FRAMES, ITEMS, NASTY, SYSTEMS, make_run, scores_of, write_clips

from reports.page.content import SourceFile, gather
from reports.page.data import kinds_of
from reports.page.media import PEAKS, MediaFolder, peaks, playable
from reports.page.site import build_report
from t2av_bench.errors import ItemError
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.media.probe import probe
from t2av_bench.results.store import StoreError


def build(runs, out, **options):
    """Without plots, which have their own tests and take most of the time."""
    return build_report(runs, out, plots=False, **options)


def called(file: Path) -> list:
    """The arguments that a data script passes."""
    text = file.read_text()
    return json.loads(f"[{text[text.index('(') + 1 : text.rindex(')')]}]")


class Seen(HTMLParser):
    """Elements with attributes, and all text."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_names_that_look_like_markup_stay_text(linked_report: Path) -> None:
    for page in ("index.html", "clips.html"):
        seen = Seen(linked_report / page)
        assert not any(tag in ("b", "img") and "src" in attributes and not attributes["src"].startswith("plots/")
                       for tag, attributes in seen.elements)  # fmt: skip
        assert not any(key.startswith("on") for _, attributes in seen.elements for key in attributes)
        scripts = [attributes.get("src") for tag, attributes in seen.elements if tag == "script"]
        assert all(source and source.startswith(("assets/", "data/")) for source in scripts)
    assert SYSTEMS[1] in Seen(linked_report / "index.html").text
    (index,) = called(linked_report / "data" / "index.js")
    assert [item[0] for item in index["items"]] == list(ITEMS)
    assert [system["name"] for system in index["systems"]] == list(SYSTEMS)
    for script in (linked_report / "data").glob("*.js"):
        assert "<" not in script.read_text() and script.read_text().isascii()


def test_groups_are_of_keys_that_split_the_items_and_name_no_single_one(workspace, tmp_path: Path) -> None:
    labels = [{"mood": "calm", "tags": ["a", "b", "a"]}, {"mood": "angry"}, {"mood": "calm", "tags": "b"}, {}]
    all_items = [{**label, "serial": number, "dataset": "d"} for number, label in enumerate(labels)]
    run = make_run(tmp_path / "run", 0, workspace.clips[0], labels=all_items)
    build_report([run], tmp_path / "page", plots=False, media="none")
    (index,) = called(tmp_path / "page" / "data" / "index.js")
    assert index["groups"] == [
        ["mood", ["calm", "angry"], [[0], [1], [0], []]], ["tags", ["a", "b"], [[0, 1], [], [1], []]],
    ]  # fmt: skip


def test_nothing_refers_to_another_machine(linked_report: Path) -> None:
    for file in linked_report.rglob("*"):
        if file.suffix in (".html", ".css", ".js"):
            text = file.read_text().replace("http://www.w3.org/2000/svg", "")
            assert "http:" not in text and "https:" not in text and "//cdn" not in text, file
            assert str(linked_report.parent) not in text, file


def test_index_holds_every_score_or_its_reason(linked_report: Path) -> None:
    (index,) = called(linked_report / "data" / "index.js")
    assert [quantity["key"] for quantity in index["quantities"]] == ["sync_c", "sync_offset", "wer"]
    for quantity in index["quantities"]:
        for system in range(len(SYSTEMS)):
            for item in range(len(ITEMS)):
                shown, score = quantity["scores"][system][item], scores_of(system, item)[quantity["key"]]
                if score.value is None:
                    assert index["reasons"][shown[0]][0] == score.reason
                else:
                    assert shown == pytest.approx(score.value, rel=1e-6)
    sync = index["quantities"][0]
    assert [each["scored"] for each in sync["set"]] == [4, 4, 2]
    assert len({each["fingerprint"] for each in sync["set"]}) == 1 and len(sync["set"][0]["fingerprint"]) == 12


def test_reasons_that_differ_in_numbers_are_one_kind() -> None:
    kinds = kinds_of(["no face in 12 frames", "no face in 7 frames", "no audio", "utf8 2 of 3", "v1.5 is x"])
    assert kinds["no face in 12 frames"] == kinds["no face in 7 frames"] == "no face in N frames"
    assert kinds["no audio"] == "no audio" and kinds["utf8 2 of 3"] == "utf8 2 of 3"


def test_failures_are_listed_with_reason_system_and_link(linked_report: Path) -> None:
    seen = Seen(linked_report / "index.html")
    assert 'no face found in any of N frames <of> "this" clip' in seen.text
    links = [attributes["href"] for tag, attributes in seen.elements if tag == "a" and "show=" in attributes["href"]]
    assert any("system=2" in link and "no+face" in link for link in links)


def test_cells_explain_themselves(linked_report: Path) -> None:
    tips = [attributes["data-tip"] for _, attributes in Seen(linked_report / "index.html").elements
            if "data-tip" in attributes]  # fmt: skip
    (index,) = called(linked_report / "data" / "index.js")
    fingerprint = index["quantities"][0]["set"][2]["fingerprint"]
    assert any("gamma: Sync-C" in tip and "covers 2 of 4 clips" in tip and fingerprint in tip for tip in tips)
    assert len(tips) == 3 * 3


def test_published_tables_stand_beside_the_runs(workspace, tmp_path: Path) -> None:
    build(workspace.runs, tmp_path / "out", media="none", tables=["paper:1"])
    seen = Seen(tmp_path / "out" / "index.html")
    rows = [attributes.get("class", "") for tag, attributes in seen.elements if tag == "tr"]
    published = sum("published" in (kind or "") for kind in rows)
    # The runs' own table is one, the other has its twelve columns in two.
    assert published >= 6 and len(rows) - 3 - published - rows.count("section") == 3 * len(SYSTEMS)
    assert rows.count("section") == 2 and "published" in rows[rows.index("section") - 1]
    assert "Measured here" in seen.text
    links = {attributes["href"] for tag, attributes in seen.elements if tag == "a" and attributes.get("data-tip")}
    assert all(link.startswith("clips.html#") for link in links)
    with pytest.raises(ValueError, match="paper:5"):
        build(workspace.runs, tmp_path / "new", tables=["paper:99"])
    assert not (tmp_path / "new").exists()


def test_groups_have_a_table_of_their_own(workspace, tmp_path: Path) -> None:
    build(workspace.runs, tmp_path / "out", media="none", by=["language"])
    seen = Seen(tmp_path / "out" / "index.html")
    tips = [attributes["data-tip"] for _, attributes in seen.elements if "data-tip" in attributes]
    assert "By language" in seen.text and len(tips) == (1 + 2) * 3 * 3, "all, and en"
    values = [scores_of(0, item)["sync_c"].value for item in range(4)]
    assert any(tip.startswith(f"alpha, all: Sync-C {np.mean(values):.2f}") for tip in tips)
    with pytest.raises(ValueError, match="states 'colour'; they state language"):
        build(workspace.runs, tmp_path / "new", by=["colour"])
    assert not (tmp_path / "new").exists()


def test_links_are_relative_and_lead_to_the_clips(workspace, linked_report: Path) -> None:
    for number in range(len(ITEMS)):
        position, item = called(linked_report / "data" / f"item-{number}.js")
        assert position == number
        for system, clip in enumerate(item["clips"]):
            assert not clip["src"].startswith("/")
            target = linked_report / unquote(clip["src"])
            assert target.resolve() == workspace.clips[system][number].resolve()
            assert clip["frames"] == FRAMES and clip["frame_rate"] == 25 and clip["picture"] and clip["sound"]
            assert clip["transcripts"][0]["steps"][0] == [1, item["clips"][0]["transcripts"][0]["steps"][0][1], "uh"]
    manifest = json.loads((linked_report / "report.json").read_text())
    assert len(manifest["linked"]) == 4 * len(SYSTEMS) + 4


def test_curves_run_from_early_to_late_with_their_minimum_where_the_metric_saw_it(linked_report: Path) -> None:
    _, item = called(linked_report / "data" / "item-3.js")
    for system, clip in enumerate(item["clips"]):
        (curve,) = clip["curves"]
        assert curve["offsets"] == list(range(-15, 16)) and curve["lowest"]
        assert curve["offsets"][int(np.argmin(curve["values"]))] == system


def test_building_twice_and_elsewhere_gives_the_same_bytes(workspace, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 't2av-bench[page]'")
    first, second = tmp_path / "one", tmp_path / "two"
    build_report(workspace.runs[:2], first, media="copy")
    build_report(workspace.runs[:2], second, media="copy")
    before = snapshot(first)
    assert before == snapshot(second) and any(name.endswith(".svg") for name in before)
    build_report(workspace.runs[:2], first, media="copy")
    assert snapshot(first) == before


def test_an_older_report_is_replaced_and_other_files_stay(workspace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(workspace.runs[:1], out, media="copy")
    (out / "notes.txt").write_text("mine")
    other = make_run(tmp_path / "small", 1, workspace.clips[1][:2], items=ITEMS[:2])
    build([other], out, media="none")
    left = snapshot(out)
    assert left["notes.txt"] == b"mine"
    assert not any(name.startswith("media/") for name in left)
    assert {"data/item-0.js", "data/item-1.js"} <= left.keys() and "data/item-2.js" not in left


def test_a_manifest_cannot_make_us_remove_files_elsewhere(workspace, tmp_path: Path) -> None:
    out, precious = tmp_path / "out", tmp_path / "precious.txt"
    precious.write_text("keep")
    build(workspace.runs[:1], out, media="none")
    manifest = json.loads((out / "report.json").read_text())
    manifest["files"] += ["../precious.txt", str(precious)]
    (out / "report.json").write_text(json.dumps(manifest))
    build(workspace.runs[:1], out, media="none")
    assert precious.read_text() == "keep"


def test_folders_that_are_no_report_are_left_alone(workspace, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ItemError, match="holds files, but no report: name a new folder"):
        build(workspace.runs, tmp_path)
    with pytest.raises(ItemError, match="is a file; name a folder"):
        build(workspace.runs, tmp_path / "thesis.tex")
    with pytest.raises(StoreError, match="is not a run"):
        build([tmp_path], tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_missing_changed_and_unreadable_clips_say_so(workspace, tmp_path: Path) -> None:
    clips = [tmp_path / f"{index}.mp4" for index in range(4)]
    for source, target in zip(workspace.clips[0], clips, strict=True):
        shutil.copyfile(source, target)
    run = make_run(tmp_path / "run", 0, [*clips[:3], None])
    clips[0].unlink()
    shutil.copyfile(workspace.references[2], clips[1])
    clips[2].write_bytes(b"this is text, no video")
    report = build([run], tmp_path / "out")
    items = [called(tmp_path / "out" / "data" / f"item-{number}.js")[1]["clips"][0] for number in range(4)]
    assert "src" not in items[0] and items[0]["note"] == "0.mp4 does not exist"
    assert items[1]["src"] and "changed since it was scored" in items[1]["note"]
    assert "src" not in items[2] and "not a media file" in items[2]["note"]
    assert items[3]["note"] == "no generated file is named so"
    assert report.notes == ["3 clips cannot be played; the page says why at each"]


def odd_media(folder: Path) -> dict[str, Path]:
    """Files that people have: streams that are neither picture nor sound, codecs nobody knows, broken ones."""
    made = {name: folder / f"{name}.{suffix}" for name, suffix in {
        "time code": "mov", "font": "mkv", "unknown codec": "mp4", "cut": "mp4", "text": "mp4", "nothing": "mp4",
        "sound alone": "wav", "folder": "mp4", "noise": "mkv",
    }.items()}  # fmt: skip
    audio = np.sin(np.arange(30 * 640) / 9).astype(np.float32) * 0.3
    write_mp4(made["unknown codec"], moving_pattern(30, 96, 128), audio)
    for name, format in (("time code", "mov"), ("font", "matroska")):
        with av.open(str(made["unknown codec"])) as source, av.open(str(made[name]), "w", format=format) as target:
            if name == "time code":
                target.metadata["timecode"] = "01:00:00:00"
            else:
                target.add_attachment("letters.ttf", "application/x-truetype-font", b"no real font")
            streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream.index]
                    target.mux(packet)
    whole = made["unknown codec"].read_bytes()
    made["cut"].write_bytes(whole[: len(whole) // 2])
    made["unknown codec"].write_bytes(whole.replace(b"avc1", b"qqqq"))
    made["text"].write_text("no video")
    made["nothing"].write_bytes(b"")
    with wave.open(str(made["sound alone"]), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes((32767 * audio).astype("<i2").tobytes())
    made["folder"].mkdir()
    made["noise"].write_bytes(b"\x1aE\xdf\xa3" + np.random.default_rng(0).bytes(5000))
    return made


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_one_clip_never_stops_a_report(workspace, tmp_path: Path, mode: str) -> None:
    clips = odd_media(tmp_path)
    names = {type(stream).__name__ for name in ("time code", "font") for stream in av.open(str(clips[name])).streams}
    assert names >= {"DataStream", "AttachmentStream"}, "these files hold what they should"
    folder = MediaFolder(tmp_path / "out", mode)
    for name, clip in {**clips, "good": workspace.clips[0][0]}.items():
        shown = folder.put(SourceFile(clip, None, None))
        assert shown.src or shown.note, name
        if name in ("good", "sound alone"):
            assert shown.src and not shown.note, name
        if name in ("text", "nothing", "folder", "noise"):
            assert shown.src is None and str(tmp_path) not in shown.note, shown.note


@pytest.mark.parametrize("error", [AttributeError("has no attribute 'decode'"), MemoryError()])
@pytest.mark.parametrize("method", ["digest", "info", "audio", "frames"])
def test_whatever_a_decoder_raises_is_the_reason_of_that_clip(
    workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str
) -> None:
    """The clip is transcoded, so all of them are asked; facts are not known, so the file is looked into."""
    clip = tmp_path / "odd.mkv"
    write_lossless(clip, moving_pattern(30, 96, 128), np.sin(np.arange(30 * 640)).astype(np.float32))

    def fails(self, *_, **__):
        raise error

    monkeypatch.setattr(Clip, method, property(fails) if method in ("digest", "info") else fails)
    run = make_run(tmp_path / "run", 0, [clip], items=["odd"])
    build([run], tmp_path / "out")
    shown = called(tmp_path / "out" / "data" / "item-0.js")[1]["clips"][0]
    if method == "info":
        assert shown["src"], "the run knows what the file is"
    else:
        assert "src" not in shown and type(error).__name__ in shown["note"]


def test_names_that_are_no_text_do_not_stop_a_report(workspace, tmp_path: Path) -> None:
    clip = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    shutil.copyfile(workspace.clips[0][0], clip)
    folder = MediaFolder(tmp_path / "out", "link")
    shown = folder.put(SourceFile(clip, None, None))
    assert shown.src == "../caf%E9.mp4"


def test_what_browsers_cannot_play_is_transcoded_once(workspace, tmp_path: Path) -> None:
    clip = tmp_path / "odd.mkv"
    audio = np.sin(np.arange(30 * 640) / 9).astype(np.float32) * 0.3
    write_lossless(clip, moving_pattern(30, 95, 127), audio)
    run = make_run(tmp_path / "run", 0, [clip], items=["odd"])
    build([run], tmp_path / "out", media="link")
    _, item = called(tmp_path / "out" / "data" / "item-0.js")
    shown = item["clips"][0]
    info = probe(tmp_path / "out" / shown["src"])
    assert (info.video_codec, info.audio_codec, info.pixel_format) == ("h264", "aac", "yuv420p")
    assert (info.width, info.height, info.frame_count, info.frame_rate) == (128, 96, 30, 25)
    assert shown["note"] == "transcoded for browsers from ffv1"
    made = (tmp_path / "out" / shown["src"]).stat().st_mtime_ns
    build([run], tmp_path / "out", media="link")
    assert (tmp_path / "out" / shown["src"]).stat().st_mtime_ns == made


@pytest.mark.parametrize("video_start", [0, 0.2])
def test_pictures_and_sound_in_two_files_play_as_one(tmp_path: Path, video_start: float) -> None:
    pictures = write_clip(tmp_path / "a.mp4", moving_pattern(50), video_start=video_start)
    sound = write_clip(tmp_path / "a.wav", None, noise(2.0, 48000), audio_rate=48000, audio_codec="pcm_s16le")
    apart = Clip(pictures, sound_path=sound)
    media = MediaFolder(tmp_path / "out", "link")
    shelved = media.put(SourceFile(pictures, apart.digest, None, sound=sound))
    assert (shelved.picture, shelved.sound, shelved.note) == (True, True, None)
    joined = Clip(tmp_path / "out" / shelved.src)
    assert playable(asdict(joined.info), ".mp4") and joined.info.audio_codec == "aac"
    for mine, theirs in zip(joined.frames(), apart.frames(), strict=True):
        assert np.array_equal(mine, theirs)  # copied, not encoded again
    heard, meant = joined.audio()[:30000], apart.audio()[:30000]
    products = np.fft.irfft(np.fft.rfft(heard, 60000) * np.conj(np.fft.rfft(meant, 60000)))
    late = (int(np.argmax(products)) + 30000) % 60000 - 30000
    assert abs(late) <= 16  # mp4 counts edits in milliseconds
    sound.write_bytes(sound.read_bytes()[:-2] + b"ab")
    changed = MediaFolder(tmp_path / "out", "link").put(SourceFile(pictures, apart.digest, None, sound=sound))
    assert changed.note == "the file has changed since it was scored"


@pytest.mark.parametrize(
    ("facts", "suffix", "expected"),
    [
        ({"format": "mov,mp4,m4a,3gp,3g2,mj2", "has_video": True, "video_codec": "h264", "pixel_format": "yuv420p",
          "has_audio": True, "audio_codec": "aac"}, ".mp4", True),
        ({"format": "mov,mp4,m4a,3gp,3g2,mj2", "has_video": True, "video_codec": "h264", "pixel_format": "yuv444p",
          "has_audio": False}, ".mp4", False),
        ({"format": "mov,mp4,m4a,3gp,3g2,mj2", "has_video": True, "video_codec": "hevc", "pixel_format": "yuv420p",
          "has_audio": False}, ".mp4", False),
        ({"format": "matroska,webm", "has_video": True, "video_codec": "vp9", "pixel_format": "yuv420p",
          "has_audio": True, "audio_codec": "opus"}, ".webm", True),
        ({"format": "matroska,webm", "has_video": True, "video_codec": "vp9", "pixel_format": "yuv420p",
          "has_audio": True, "audio_codec": "opus"}, ".mkv", False),
        ({"format": "wav", "has_video": False, "has_audio": True, "audio_codec": "pcm_s16le"}, ".wav", True),
        ({"format": "wav", "has_video": False, "has_audio": True, "audio_codec": "pcm_f32le"}, ".wav", False),
    ],
)  # fmt: skip
def test_playable(facts: dict, suffix: str, expected: bool) -> None:
    assert playable(facts, suffix) is expected


def test_peaks_are_the_largest_magnitudes() -> None:
    import base64

    random = np.random.default_rng(0)
    samples = random.uniform(-1, 1, PEAKS * 50).astype(np.float32)
    found = np.frombuffer(base64.b64decode(peaks(samples)), np.uint8)
    assert np.array_equal(found, np.round(255 * np.abs(samples).reshape(PEAKS, 50).max(1)).astype(np.uint8))
    assert len(base64.b64decode(peaks(samples[:10]))) == PEAKS
    assert set(base64.b64decode(peaks(np.zeros(999, np.float32)))) == {0}


def test_without_media_no_clip_is_opened(workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.page.media.Clip", None)
    shown = MediaFolder(tmp_path, "none").put(SourceFile(workspace.clips[0][0], None, None))
    assert shown.src is None and shown.note == "this report was built without media"


def test_the_real_run_comes_first_and_must_exist(workspace) -> None:
    content = gather(workspace.runs, real=str(workspace.runs[2]))
    assert [system.name for system in content.systems] == ["gamma", SYSTEMS[0], SYSTEMS[1]]
    assert [system.real for system in content.systems] == [True, False, False]
    assert [row.name for row in content.table.rows] == ["gamma", SYSTEMS[0], SYSTEMS[1]]
    with pytest.raises(ItemError, match="--real delta: no such run; the runs are alpha"):
        gather(workspace.runs, real="delta")


def test_other_protocols_are_marked(workspace, tmp_path: Path) -> None:
    run = make_run(tmp_path / "other", 1, workspace.clips[1], version=2)
    build([workspace.runs[0], run], tmp_path / "out", media="none")
    (index,) = called(tmp_path / "out" / "data" / "index.js")
    assert [each["mark"] for each in index["quantities"][0]["set"]] == ["", "†"]
    assert "by another protocol than the first row's" in Seen(tmp_path / "out" / "index.html").text


def test_runs_made_with_relative_paths_are_found(workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run", 0, [Path(os.path.relpath(path, tmp_path)) for path in workspace.clips[0]])
    from t2av_bench.results.store import Store

    with Store(run / "results.db", create=True) as store:
        store.set("claim", {"name": "alpha", "generated": str(workspace.clips[0][0].parent)})
    monkeypatch.chdir("/")
    found = gather([run]).systems[0].clips[NASTY].source.path
    assert found is not None and found.resolve() == workspace.clips[0][1].resolve()


def test_command_line(workspace, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from t2av_bench.cli.main import app

    out = tmp_path / "out"
    asked = ["report", *map(str, workspace.runs), "--out", str(out), "--media", "none", "--no-plots"]
    done = CliRunner().invoke(app, [*asked, "--title", "A <b> title"])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(out / "index.html")
    assert "A <b> title" in Seen(out / "index.html").text
    refused = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "new")])
    assert refused.exit_code == 2 and "is not a run" in refused.stderr
    refused = CliRunner().invoke(app, ["serve", str(workspace.folder)])
    assert refused.exit_code == 2 and "is not a report" in refused.stderr


def test_the_documentation_names_every_option_and_no_other() -> None:
    import re

    from typer.main import get_command

    from t2av_bench.cli.main import app

    text = (Path(__file__).parents[3] / "docs" / "report.md").read_text()
    named = set(re.findall(r"^\| `(--[a-z-]+)", text, re.MULTILINE))
    options = {name for parameter in get_command(app).commands["report"].params for name in parameter.opts
               + parameter.secondary_opts if name.startswith("--")}  # fmt: skip
    assert named <= options
    assert options - named == {"--out", "--plots", "--no-extrapolate"}


def test_looking_at_the_commands_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, t2av_bench.cli.main, reports.page.server; print([m for m in ('torch', 'cv2', 'matplotlib', " \
           "'av', 'librosa') if m in sys.modules])"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[3])  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_a_report_to_be_published_shows_no_more_clips_than_their_licence_allows(tmp_path):
    names = ("a", "b", "c")
    about = {"licence": "Lent-1K", "figures_max": 3}
    clips = write_clips(tmp_path / "clips", "0123456")
    runs = [
        make_run(tmp_path / "run0", 0, clips[:3], items=names, about=about),
        make_run(tmp_path / "run1", 1, clips[3:6], items=names, about=about),
        make_run(tmp_path / "run2", 2, clips[6:], items=("d",)),
    ]

    copied = build(runs, tmp_path / "copied", media="copy")
    said = "the licence Lent-1K allows 3 pictures or videos in a publication"
    assert f"{said}: 3 of 6 clips are left out" in copied.notes
    assert not any("cannot be played" in note for note in copied.notes), "they are told of already"
    files = [tmp_path / "copied" / "data" / f"item-{position}.js" for position in range(4)]
    there = [clip for file in files for clip in called(file)[1]["clips"] if clip]
    assert [("src" in clip, clip.get("note")) for clip in there if clip.get("note")] == [
        (False, f"left out: {said}")
    ] * 3
    assert len(list((tmp_path / "copied" / "media").iterdir())) == 4, "three of them, and the one without a limit"

    linked = build(runs, tmp_path / "linked", media="link")
    assert f"{said}, and this report shows 6: do not publish it; --media copy leaves out the others" in linked.notes
    few = build(runs[:1], tmp_path / "few", media="copy")
    assert not any("licence" in note for note in few.notes)
    build(runs[:1], tmp_path / "copied", media="copy")
    assert len(list((tmp_path / "copied" / "media").iterdir())) == 3
