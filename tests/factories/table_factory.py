"""Runs as tables read them, with values of our choice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from t2av_bench.results.aggregate import Summary, summarise
from t2av_bench.results.columns import Column
from t2av_bench.results.run import RunResult
from t2av_bench.scores import Protocol, Quantity, Score

CLIPS = tuple(f"clip {index:02d}" for index in range(20))
SYNC_C = Quantity("sync_c", "Sync-C", "higher", decimals=2)
WER = Quantity("wer", "WER", "lower", unit="%", decimals=1)
OFFSET = Quantity("sync_offset", "Offset", "none", unit="frames", decimals=0)
CORPUS_WER = Quantity("wer", "WER", "lower", aggregate="weighted")
CORPUS_CER = Quantity("cer", "CER", "lower", aggregate="weighted")
UTMOS = Quantity("utmos", "UTMOS", "higher", "MOS")
FID = Quantity("fid", "FID", "lower", decimals=2, aggregate="set")
SYNC_C_HAAR = Quantity("sync_c_haar", "Sync-C (Haar)", "higher")
SYNC = ("sync/joonson", SYNC_C)

Key = tuple[str, Quantity]


def run(name: str, values: dict, *, parameters=None, clips=CLIPS, stand_in=False) -> RunResult:
    """A run with one protocol per metric; values: (metric, quantity) -> (value or reason, scored clips).

    All scored clips have the value itself, so that runs of different values differ on every clip.
    """
    columns, described, scores = [], {}, {}
    for (metric, quantity), (value, scored) in values.items():
        protocol = Protocol(metric, parameters or {})
        described[metric] = described_as(protocol)
        score = Score.ok(value) if isinstance(value, float | int) else value
        summary = Summary(score, scored, len(clips), reasons=+Counter({"no face": len(clips) - scored}))
        columns.append(Column(metric, protocol.fingerprint, quantity, stand_in, summary))
        failed = Score.failed("no face")
        scores[metric, quantity.name] = {clip: score if i < scored else failed for i, clip in enumerate(clips)}
    return RunResult(name, Path("runs") / name, columns, rows({clip: {} for clip in clips}), scores, described)


def rows(items: Mapping[str, Mapping[str, str | None]]) -> dict:
    """Clips as the database has them, of which only what they asked for is known."""
    return {clip: {"item": item, "digest": None, "reference_digest": None} for clip, item in items.items()}


def described_as(protocol: Protocol) -> dict:
    return {"fingerprint": protocol.fingerprint, "protocol": protocol.as_dict(), "description": {}}


def scored_run(
    name: str,
    values: Mapping[Key, Sequence[float | Score] | float],
    languages: Sequence[str | None],
    *,
    stand_ins: Sequence[Key] = (),
    prefix: str = "clip",
    texts: str = "",
    speakers: Sequence[str] | None = None,
) -> RunResult:
    """A run from scores by clip (for distances between sets: the value), with a language a clip."""
    clips = [f"{prefix} {index:03d}" for index in range(len(languages))]
    items = {
        clip: {"text": clip + texts, "language": tag, "speaker": speaker}
        for clip, tag, speaker in zip(clips, languages, speakers or [None] * len(clips), strict=True)
    }
    columns, described, scores = [], {}, {}
    for (metric, quantity), given in values.items():
        protocol = Protocol(metric)
        described[metric] = described_as(protocol)
        if quantity.aggregate == "set":
            mine = {clip: Score.ok(1.0) for clip in clips}
            summary = Summary(Score.ok(float(given)), len(clips), len(clips))
        else:
            mine = {
                clip: score if isinstance(score, Score) else Score.ok(score)
                for clip, score in zip(clips, given, strict=True)
            }
            summary = summarise(quantity, list(mine.values()))
        scores[metric, quantity.name] = mine
        columns.append(Column(metric, protocol.fingerprint, quantity, (metric, quantity) in stand_ins, summary))
    return RunResult(name, Path("runs") / name, columns, rows(items), scores, described)
