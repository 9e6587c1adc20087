"""One run over a folder of broken files: each has its reason, every other clip has its scores."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from media_factory import (
    audio_only,
    clip_without_audio,
    moving_pattern,
    noise,
    one_frame_clip,
    silent_clip,
    tone,
    tone_clip,
    truncated_clip,
    variable_rate_clip,
    write_clip,
)
from scipy.io import wavfile

from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import evaluate
from t2av_bench.results.store import Store

METRICS = ("fake/level", "psnr", "stoi")


def lie_about_size(path: Path) -> None:
    """A sound AVI of raw pictures whose header claims 65500 x 65500."""
    write_clip(
        path, moving_pattern(10), tone(0.4), video_codec="rawvideo", pixel_format="bgr24", audio_codec="pcm_s16le"
    )
    data = bytearray(path.read_bytes())
    at = data.index(b"strf") + 8
    data[at + 4 : at + 12] = (65500).to_bytes(4, "little") * 2
    main = data.index(b"avih") + 8
    data[main + 32 : main + 40] = (65500).to_bytes(4, "little") * 2
    path.write_bytes(data)


def cut(path: Path, keep: float) -> None:
    tone_clip(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def overwrite_middle(path: Path) -> None:
    tone_clip(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : 2 * len(data) // 3] = os.urandom(1) * (2 * len(data) // 3 - len(data) // 3)
    path.write_bytes(data)


def not_a_number(path: Path) -> None:
    samples = noise(2.0)
    samples[1000:1010] = np.nan
    wavfile.write(path, 16000, samples)


def unreadable(path: Path) -> None:
    tone_clip(path)
    path.chmod(0)


# name -> (how to make the file, metric, what its reason must say)
BROKEN = {
    "zero_bytes.mp4": (lambda p: p.write_bytes(b""), "fake/level", "empty"),
    "text.mp4": (lambda p: p.write_text("just a text, renamed to mp4\n" * 50), "fake/level", "not a media file"),
    "random.mp4": (lambda p: p.write_bytes(np.random.default_rng(0).bytes(20000)), "fake/level", "not a media file"),
    "nulls.mkv": (lambda p: p.write_bytes(bytes(20000)), "fake/level", "only zero bytes"),
    "half_index.mp4": (lambda p: cut(p, 0.5), "fake/level", ""),
    "one_percent.mp4": (lambda p: cut(p, 0.01), "fake/level", ""),
    "last_bytes_lost.mkv": (lambda p: cut(p, 0.7), "psnr/rgb", "breaks off"),
    "truncated.mp4": (truncated_clip, "psnr/rgb", "is truncated: 29 of 50"),
    "folder.mp4": (lambda p: p.mkdir(), None, ""),
    "loop.mp4": (lambda p: p.symlink_to(p), "fake/level", "loop"),
    "dangling.mp4": (lambda p: p.symlink_to(p.parent / "gone.mp4"), "fake/level", "does not exist"),
    "huge_header.avi": (lie_about_size, "psnr/rgb", ""),
    "no_audio.mp4": (clip_without_audio, "fake/level", "no audio stream"),
    "no_video.wav": (audio_only, "psnr/rgb", "no video stream"),
    "not_a_number.wav": (not_a_number, "fake/level", "NaN"),
    "one_sample.wav": (lambda p: wavfile.write(p, 16000, np.ones(1, np.int16)), "stoi/pystoi", ""),
    "no_samples.wav": (lambda p: wavfile.write(p, 16000, np.zeros(0, np.int16)), "fake/level", ""),
    "silent.mp4": (silent_clip, "stoi/pystoi", "silent"),
    "one_frame.mp4": (one_frame_clip, "stoi/pystoi", ""),
    "other_size.mp4": (lambda p: write_clip(p, moving_pattern(50, 64, 64), tone(2.0)), "psnr/rgb", "64x64"),
    "middle_overwritten.mp4": (overwrite_middle, "psnr/rgb", ""),
}
LINES = {
    "absolute": ({"id": "absolute", "reference": "/etc/hostname"}, "absolute path"),
    "climbing": ({"id": "climbing", "generated": "../../x.mp4"}, "leaves its folder"),
    "missing": ({"id": "missing"}, "no clip in made/ is named 'missing'"),
    "wrong_type": ({"id": "wrong_type", "text": 3}, "'text'"),
    "lost_reference": ({"id": "lost_reference", "generated": "good.mp4", "reference": "nowhere.mp4"}, "does not exist"),
}
GOOD = ("good", "good_30_fps", "good_variable", "good_odd_size")


@pytest.fixture(scope="module")
def scores(tmp_path_factory, fake_metrics_of_module):
    folder = tmp_path_factory.mktemp("broken")
    made, real = folder / "made", folder / "real"
    made.mkdir()
    real.mkdir()
    for name, (make, _, _) in BROKEN.items():
        make(made / name)
    for name in [*BROKEN, *(f"{good}.mp4" for good in GOOD)]:
        write_clip(real / Path(name).with_suffix(".mp4"), moving_pattern(50), noise(2.0))
    tone_clip(made / "good.mp4")
    write_clip(made / "good_30_fps.mp4", moving_pattern(60), noise(2.0), frame_rate=30)
    variable_rate_clip(made / "good_variable.mkv", count=40)
    write_clip(made / "good_odd_size.mkv", moving_pattern(50, 95, 127), noise(2.0), video_codec="ffv1")
    items = [line for line, _ in LINES.values()]
    items += [{"id": Path(name).stem} for name in [*BROKEN, *(f"{good}.x" for good in GOOD)]]
    manifest = folder / "items.jsonl"
    manifest.write_text("\n".join(map(json.dumps, items)) + "\n{broken\n")
    plan = EvaluateConfig(
        name="broken", generated=made, reference=real, manifest=manifest, metrics=METRICS, workers=2, timeout=120,
        out=folder / "run",
    )  # fmt: skip
    evaluate(plan, lambda _: None, print)
    with Store(folder / "run" / "results.db") as store:
        return {(row.clip, row.metric): row.score for row in store.scores()}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_has_its_reason(scores, name):
    _, metric, expected = BROKEN[name]
    clip = Path(name).stem
    if metric is None:
        assert "no clip in" in scores[clip, "fake/level"].reason
        return
    score = scores[clip, metric]
    assert score.value is None
    assert expected in score.reason
    assert "unexpected" not in score.reason and "Errno" not in score.reason and "Traceback" not in score.reason


@pytest.mark.parametrize("name", LINES)
def test_a_broken_line_has_its_reason(scores, name):
    metric = "psnr/rgb" if name == "lost_reference" else "fake/level"
    assert LINES[name][1] in scores[name, metric].reason


def test_the_line_that_is_not_json_is_a_clip_of_its_own(scores):
    broken = [clip for clip, _ in scores if "line" in clip]
    assert len(set(broken)) == 1 and "is not JSON" in scores[broken[0], "fake/level"].reason


@pytest.mark.parametrize("name", GOOD)
def test_the_others_are_scored(scores, name):
    assert scores[name, "fake/level"].value is not None
    if name == "good_odd_size":
        assert "127x95" in scores[name, "psnr/rgb"].reason
    else:
        assert scores[name, "psnr/rgb"].value is not None
