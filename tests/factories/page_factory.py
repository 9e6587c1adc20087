"""Small runs for the page: four items, three systems, every clip with its frame numbers drawn on it."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from media_factory import moving_pattern

from t2av_bench.media.encode import write_mp4
from t2av_bench.media.probe import probe
from t2av_bench.metrics.sync import CURVES
from t2av_bench.results.features import FeatureStore
from t2av_bench.results.store import Store
from t2av_bench.scores import Protocol, Quantity, Score, Status

if TYPE_CHECKING:
    from reports.page.server import Server

SYNC_C = Quantity("sync_c", "Sync-C", "higher", interval=(0.0, None))
OFFSET = Quantity("sync_offset", "Offset", "none", "frames", (-15.0, 15.0), 0, "mode")
WER = Quantity("wer", "WER", "lower", interval=(0.0, None), aggregate="weighted")
METRICS = {"sync/exact": (SYNC_C, OFFSET), "wer/whisper-large-v3": (WER,)}
FRAMES = 60

NASTY = '<img src=x onerror="alert(1)">'
ITEMS = ("plain", NASTY, "名前 100% #1?", "o'neill & sons")
SYSTEMS = ("alpha", "beta </script><b>", "gamma")
NO_FACE = 'no face found in any of {} frames <of> "this" clip'
TEXTS = ("one two three four", "five & six <seven>", "eight nine", "ten eleven twelve")


def write_clips(folder: Path, names: Sequence[str]) -> list[Path]:
    """mp4 clips of 60 frames whose numbers can be read (``media_factory.frame_number``), with a beep."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    seconds = np.arange(FRAMES * 16000 // 25) / 16000
    for index, name in enumerate(names):
        audio = 0.4 * np.sin(2 * np.pi * 300 * seconds) * (seconds % 0.5 < 0.25)
        path = folder / f"{name.replace('/', '_')}.mp4"
        write_mp4(path, moving_pattern(FRAMES, seed=index), audio.astype(np.float32), preset="ultrafast", crf=12)
        paths.append(path)
    return paths


def scores_of(system: int, item: int) -> dict[str, Score]:
    """Scores that tests can compute again: larger systems are worse; item 1 has no face in the last system."""
    no_face = system == len(SYSTEMS) - 1 and item < 2
    failed = Score.failed(NO_FACE.format(50 + item))
    return {
        "sync_c": failed if no_face else Score.ok(7.0 - system - 0.25 * ((item * 3) % 4)),
        "sync_offset": failed if no_face else Score.ok(float(system)),
        "wer": Score.ok(system * 0.25, 4.0),
    }


def make_run(
    folder: Path, system: int, clips: Sequence[Path | None], *, items: Sequence[str] = ITEMS,
    references: Sequence[Path | None] | None = None, scores: Callable[[int, int], dict[str, Score]] = scores_of,
    version: int = 1, name: str | None = None, about: Mapping[str, Any] | None = None,
    labels: Sequence[Mapping[str, Any]] | None = None,
) -> Path:  # fmt: skip
    """A finished run of one system, as ``evaluate`` leaves it. about: what all items say besides. labels: what each."""
    folder.mkdir(parents=True)
    protocols = {metric: Protocol(metric, {"version": version}) for metric in METRICS}
    name = SYSTEMS[system] if name is None else name
    features = FeatureStore(folder / "features")
    with Store(folder / "results.db", create=True) as store:
        store.set("claim", {"name": name, "generated": str(folder), "reference": None, "manifest": None})
        store.begin_session({"device": "cpu (x86_64, 2 cores)", "t2av_bench": "0"})
        store.add_protocols(
            (protocols[metric], {"title": f"Title of {metric}", "quantities": [asdict(each) for each in quantities],
                                 "paper": "P & Q <2020>", "licence": "free", "embedded": False, "position": position,
                                 "curves": [asdict(each) for each in CURVES] if metric == "sync/exact" else []})
            for position, (metric, quantities) in enumerate(METRICS.items())
        )  # fmt: skip
        references = references or [None] * len(items)
        store.put_clips(
            (id, {"id": id, "text": TEXTS[index % len(TEXTS)], "language": "en", **(about or {}),
                  **(labels[index] if labels else {})},
             str(clip) if clip else None, str(reference) if reference else None,
             None if clip else "no generated file is named so")
            for index, (id, clip, reference) in enumerate(zip(items, clips, references, strict=True))
        )  # fmt: skip
        for index, (id, clip) in enumerate(zip(items, clips, strict=True)):
            digest = hashlib.sha256(clip.read_bytes()).hexdigest() if clip and clip.is_file() else None
            store.put_digests(id, digest, None)
            if digest and clip:
                info = asdict(probe(clip))
                facts = {key: str(value) if key in ("frame_rate", "sample_aspect_ratio") else value
                         for key, value in info.items()}  # fmt: skip
                store.put_media(id, {"generated": facts})
            found = scores(system, index)
            inputs = hashlib.sha256(f"{name} {id}".encode()).hexdigest()
            for metric, quantities in METRICS.items():
                mine = {each.name: found[each.name] for each in quantities}
                bad = next((score for score in mine.values() if score.value is None), None)
                words = TEXTS[index % len(TEXTS)].split()
                detail = {"transcript": " ".join(["uh", *words[1:]]), "reference": " ".join(words),
                          "hypothesis": " ".join(["uh", *words[1:]]), "flags": []}  # fmt: skip
                store.put_measurement(
                    id, protocols[metric], inputs, mine, Status.FAILED if bad else Status.OK,
                    bad.reason if bad else None, detail if "wer" in metric else {},
                )  # fmt: skip
                if metric == "sync/exact" and not bad:
                    shift = 15 - np.arange(31) - system
                    curve = (9 - 3 * np.exp(-(shift**2) / 8)).astype(np.float32)
                    features.put(inputs, protocols[metric].fingerprint, "measurement", {"sync_distance_curve": curve})
    return folder


@contextmanager
def served(report: Path) -> Iterator["Server"]:
    """A server of a report in a thread, stopped at the end."""
    from reports.page.server import Server, Site

    server = Server(Site.open(report))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
