"""A silent video with its sound in a file beside it scores as one file would, and a changed sound is noticed."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from evaluate_factory import FAKES, plan, run
from media_factory import moving_pattern, noise, write_clip, write_lossless

from t2av_bench.benchmarks.manifest import Entry, Item
from t2av_bench.benchmarks.pairing import Sounds
from t2av_bench.evaluation.planning import file_digests, inputs_of
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create
from t2av_bench.metrics.base import Pair
from t2av_bench.results.store import Store


def ffmpeg(*arguments) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True, timeout=60)


def scores(out: Path) -> dict:
    with Store(out / "results.db") as store:
        return {(row.clip, row.metric, row.quantity): row.score for row in store.scores()}


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg program")
def test_clips_split_into_pictures_and_sound_score_like_whole_ones(tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    pytest.importorskip("espeakng_loader", reason="the synthesizer's package is not installed")
    import talking_clips

    from t2av_bench.gridface.speech.synthesizer import Synthesizer

    with Synthesizer() as synthesizer:
        frames, audio = talking_clips.make_clip(talking_clips.CLIPS[3], synthesizer)
    seconds = 2.4
    frames = frames[: round(seconds * talking_clips.FRAME_RATE)]
    audio = audio[: round(seconds * talking_clips.AUDIO_RATE)]
    sides = {}
    for side, late in (("made", 800), ("real", 0)):
        whole = tmp_path / f"{side}.mkv"
        write_lossless(whole, frames, np.roll(audio, late), audio_rate=talking_clips.AUDIO_RATE, fit_audio=True)
        parts = tmp_path / "split" / whole.name
        parts.parent.mkdir(exist_ok=True)
        ffmpeg("-i", whole, "-an", "-c", "copy", parts)
        ffmpeg("-i", whole, "-vn", "-c", "copy", parts.with_suffix(".wav"))
        sides[side] = Clip(whole), Clip(parts, sound_path=Sounds().of(parts, None))
    for metric in (create(id) for id in ("envelope/haar", "sync/gridface", "stoi/pystoi")):
        one, two = (metric.measure(Pair(Item(id="a"), *clips)) for clips in zip(*sides.values(), strict=True))
        assert one.values and one.values == two.values and one.detail == two.detail


def test_a_changed_sound_makes_scores_outdated_and_a_lost_one_is_missed(tmp_path, fake_metrics):
    made, names = tmp_path / "made", ["a", "b"]
    asked = plan(tmp_path / "unused", [], metrics=FAKES[:2]).model_copy(update={"generated": made, "reference": None})
    made.mkdir()
    for index, name in enumerate(names):
        write_clip(made / f"{name}.mp4", moving_pattern(5))
        write_clip(made / f"{name}.wav", None, noise(0.2, seed=index), audio_codec="pcm_s16le")
    assert len(run(asked, tmp_path / "run")) == 4
    before = scores(tmp_path / "run")
    assert all(score.value is not None for score in before.values())
    assert run(asked, tmp_path / "run") == []
    write_clip(made / "a.wav", None, noise(0.3, seed=7), audio_codec="pcm_s16le")
    again = {(each.clip, each.metric) for each in run(asked, tmp_path / "run")}
    assert again == {("a", "fake/level"), ("a", "fake/length")}
    after = scores(tmp_path / "run")
    assert after["a", "fake/length", "length"].value == pytest.approx(0.3)
    assert after["b", "fake/level", "level"] == before["b", "fake/level", "level"]
    (made / "a.wav").unlink()
    run(asked, tmp_path / "run")
    assert "a.mp4 has no audio stream" in scores(tmp_path / "run")["a", "fake/length", "length"].reason


def test_clips_without_a_sound_file_are_known_by_what_they_were_known_by(tmp_path):
    """Runs of earlier versions go on: their inputs were the digests of four files, the text and the language."""
    clip = write_clip(tmp_path / "a.mp4", moving_pattern(5), noise(0.2))
    entry = Entry(Item(id="a", text="hi", language="en"), clip, clip)
    sha256 = hashlib.sha256(clip.read_bytes()).hexdigest()
    digests = file_digests(entry)
    assert digests == [sha256, sha256, None, None]
    known = hashlib.sha256(json.dumps([[sha256, sha256, None, None], "hi", "en"]).encode()).hexdigest()
    assert inputs_of(entry, digests) == known
