"""Run folders with scores and features of our choice, as ``evaluate`` would have left them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from t2av_bench.metrics import create
from t2av_bench.results.features import FeatureStore
from t2av_bench.results.store import SetScoreRow, Store
from t2av_bench.scores import Protocol, Quantity, Score, Status

SYNC_C = Quantity("sync_c", "Sync-C", "higher", "", (0.0, None), penalty=0.0)
SYNC_D = Quantity("sync_d", "Sync-D", "lower", "", (0.0, None), penalty="worst")
D_ZERO = Quantity("sync_d_zero", "Sync-D at 0", "lower", "", (0.0, None), penalty="worst")
INSIDE = Quantity("sync_in_tolerance", "In tolerance", "higher", "", (0.0, 1.0), penalty=0.0)
OFFSET = Quantity("sync_offset", "Offset", "none", "frames", (-15.0, 15.0), 1, "median")
WER = Quantity("wer", "WER", "lower", interval=(0.0, None), aggregate="weighted", penalty=1.0)
UTMOS = Quantity("utmos", "UTMOS", "higher", "MOS")
FID = Quantity("fid", "FID", "lower", interval=(0.0, None), decimals=2, aggregate="set")
METRICS = {
    "sync_c": "sync/joonson", "sync_d": "sync/joonson", "sync_offset": "sync/joonson", "sync_d_zero": "sync/joonson",
    "sync_in_tolerance": "sync/joonson", "wer": "wer/whisper-large-v3",
    "utmos": "utmos/strong-v1", "fid": "fid/clean",
}  # fmt: skip


def names(count: int) -> list[str]:
    return [f"clip_{index:03d}" for index in range(count)]


def make_run(
    folder: Path,
    quantities: Mapping[Quantity, Sequence[float | Score]],
    *,
    ids: Sequence[str] | None = None,
    name: str = "system",
    parameters: Mapping[str, object] | None = None,
    texts: Sequence[str] | None = None,
    features: Sequence[Mapping[str, np.ndarray]] | None = None,
    made: str = "",
    speakers: Sequence[str] | None = None,
) -> Path:
    """A run with one score a clip and quantity; ``made`` tells one system's files from another's.

    features: of a set quantity, whose scores then say which clips have them.
    """
    folder.mkdir(parents=True)
    ids = list(ids or names(len(next(iter(quantities.values())))))
    grouped: dict[str, dict[Quantity, Sequence[float | Score]]] = {}
    for quantity, scores in quantities.items():
        grouped.setdefault(METRICS[quantity.name], {})[quantity] = scores
    # What each clip adds to a distance is asked of the metric itself, which must be the one that measured.
    known = {metric: create(metric).protocol.parameters for metric in grouped if metric == "fid/clean"}
    protocols = {metric: Protocol(metric, dict(parameters or known.get(metric, {"version": 1}))) for metric in grouped}
    with Store(folder / "results.db", create=True) as store:
        store._connection.execute("PRAGMA synchronous = OFF")  # hundreds of synced transactions would take seconds
        store.set("claim", {"name": name, "generated": "made", "reference": None, "manifest": None})
        store.begin_session({"device": "cpu (x86_64, 2 cores)"})
        described = [
            (
                protocols[metric],
                {"title": metric, "quantities": [asdict(each) for each in mine], "paper": "", "licence": "free",
                 "embedded": False, "position": position},
            )
            for position, (metric, mine) in enumerate(grouped.items())
        ]  # fmt: skip
        store.add_protocols(described)
        texts = texts or [f"text of {id}" for id in ids]
        store.put_clips(
            (id, {"id": id, "text": text, "language": "en", "speaker": speaker}, f"{id}.mp4", None, None)
            for id, text, speaker in zip(ids, texts, speakers or [None] * len(ids), strict=True)
        )
        kept = FeatureStore(folder / "features")
        for position, id in enumerate(ids):
            digest = hashlib.sha256(f"{made or name} {id}".encode()).hexdigest()
            store.put_digests(id, digest, hashlib.sha256(id.encode()).hexdigest())
            for metric, mine in grouped.items():
                scores = {}
                for quantity, values in mine.items():
                    value = values[position]
                    scores[quantity.name] = value if isinstance(value, Score) else Score.ok(value)
                bad = next((score for score in scores.values() if score.status is not Status.OK), None)
                status = bad.status if bad and len(scores) == 1 else Status.OK
                store.put_measurement(id, protocols[metric], digest, scores, status, bad.reason if bad else None, {})
                if features is not None and any(each.aggregate == "set" for each in mine) and status is Status.OK:
                    arrays = {key: np.asarray(value, dtype=np.float32) for key, value in features[position].items()}
                    kept.put(digest, protocols[metric].fingerprint, "measurement", arrays)
        if features is not None:
            from t2av_bench.metrics.distances import frechet_distance

            sides = [np.concatenate([each[side] for each in features]) for side in ("generated", "reference")]
            value = Score.ok(frechet_distance(*sides))
            fingerprint = protocols["fid/clean"].fingerprint
            store.put_set_scores([SetScoreRow("fid/clean", "fid", fingerprint, value, len(ids), len(ids))])
    return folder


def frames(seed: int, clips: int, noise: float, d: int = 6) -> list[dict[str, np.ndarray]]:
    """Features of a system whose frames are the references' with noise; equal seeds share the references."""
    random = np.random.default_rng(seed)
    real = random.standard_normal((clips, 4, d)) + 2 * random.standard_normal((clips, 1, d))
    made = real + noise * (1 + np.random.default_rng(seed + 1).standard_normal((clips, 4, d)))
    return [{"generated": g, "reference": r} for g, r in zip(made, real, strict=True)]
