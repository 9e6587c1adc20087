"""Real, untidy clips through one run: values where there is something to measure, the right reasons elsewhere."""

import json
from pathlib import Path

import pytest

from t2av_bench.benchmarks.pairing import VIDEO_SUFFIXES
from t2av_bench.evaluation.config import EvaluateConfig
from t2av_bench.evaluation.evaluate import evaluate
from t2av_bench.results.store import Store

pytestmark = pytest.mark.slow

METRICS = ("envelope/haar", "stoi/pystoi")


@pytest.fixture(scope="module")
def scores(short_clips: Path, tmp_path_factory):
    """Every clip against itself as its reference, so that STOI has a known answer."""
    out = tmp_path_factory.mktemp("real") / "run"
    plan = EvaluateConfig(generated=short_clips, reference=short_clips, metrics=METRICS, workers=2, out=out)
    evaluate(plan, lambda _: None, lambda _: None)
    with Store(out / "results.db") as store:
        return {(row.clip, row.quantity): row.score for row in store.scores()}


def described(folder: Path) -> list[dict]:
    """The clips of the folder, with what is known about them."""
    known = {}
    if (folder / "clips.json").exists():
        known = {entry["file"]: entry for entry in json.loads((folder / "clips.json").read_text())}
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    return [{"clip": path.relative_to(folder).with_suffix("").as_posix(), **known.get(path.name, {})} for path in files]


def test_every_clip_has_a_value_or_a_readable_reason(scores, short_clips):
    clips = described(short_clips)
    assert clips
    for clip in clips:
        for quantity in ("envelope_offset", "stoi"):
            score = scores[clip["clip"], quantity]
            assert score.value is not None or "unexpected" not in score.reason


def test_sound_against_itself_is_perfect(scores, short_clips):
    heard = [scores[clip["clip"], "stoi"].value for clip in described(short_clips)]
    assert [value for value in heard if value is not None] == pytest.approx([1.0] * sum(v is not None for v in heard))


def test_clips_without_sound_or_face_say_so(scores, short_clips):
    for clip in described(short_clips):
        score = scores[clip["clip"], "envelope_offset"]
        if "audio" in clip and clip["audio"] is None:
            if (short_clips / clip["clip"]).with_suffix(".wav").exists():  # its sound lies beside it
                assert score.value is not None
            else:
                assert score.reason.endswith("has no audio stream")
        elif "no face" in clip.get("note", ""):
            assert "face" in score.reason
