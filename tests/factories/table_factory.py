"""Runs as tables read them, with values of our choice."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from reports.tables.measured import RunResult
from t2av_bench.results.aggregate import Summary, summarise
from t2av_bench.results.columns import Column
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


def run(name: str, values: dict, *, parameters=None, clips=CLIPS, embedded=False) -> RunResult:
    """A run with one protocol per metric; values: (metric, quantity) -> (value or reason, scored clips).

    All scored clips have the value itself, so that runs of different values differ on every clip.
    """
    columns, protocols, scores = [], {}, {}
    for (metric, quantity), (value, scored) in values.items():
        protocol = Protocol(metric, parameters or {})
        protocols[protocol.fingerprint] = protocol.as_dict()
        score = Score.ok(value) if isinstance(value, float | int) else value
        summary = Summary(score, scored, len(clips), reasons=+Counter({"no face": len(clips) - scored}))
        columns.append(Column(metric, protocol.fingerprint, quantity, embedded, summary))
        failed = Score.failed("no face")
        scores[metric, quantity.name] = {clip: score if i < scored else failed for i, clip in enumerate(clips)}
    return RunResult(name, Path("runs") / name, columns, list(clips), protocols, scores)


def scored_run(
    name: str,
    values: Mapping[Key, Sequence[float | Score] | float],
    languages: Sequence[str | None],
    *,
    embedded: Sequence[Key] = (),
    prefix: str = "clip",
) -> RunResult:
    """A run from scores by clip (for distances between sets: the value), with a language a clip."""
    clips = [f"{prefix} {index:03d}" for index in range(len(languages))]
    items = {
        clip: {"text": clip, "language": tag, "reference": clip} for clip, tag in zip(clips, languages, strict=True)
    }
    columns, protocols, scores = [], {}, {}
    for (metric, quantity), given in values.items():
        protocol = Protocol(metric)
        protocols[protocol.fingerprint] = protocol.as_dict()
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
        columns.append(Column(metric, protocol.fingerprint, quantity, (metric, quantity) in embedded, summary))
    return RunResult(name, Path("runs") / name, columns, clips, protocols, scores, items)
