"""MoChaBench (Wei et al. 2025, arXiv 2503.23307): a first frame, speech and a prompt for each of 220 items.

There are no real clips: first frames are those of MoCha's own clips, which are a system's output and no reference.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from t2av_bench.errors import ItemError
from t2av_bench.preparation.benchmarks.recipe import Recipe, SourceClip, safe

_SOURCE = "mochabench"
_ITEMS, _SCORES = "benchmark/benchmark.csv", "eval-lipsync/mocha-eval-results/sync_scores.csv"
_CHINESE = "1p_generalize_chinese"
_SPLITS = {_CHINESE: "chinese", "2p_2clip_2talk": "dialogue"}
"""The leaderboard's own parts; all other categories are its single persons in English."""


class MoChaBench(Recipe):
    """Ids are ``CATEGORY/CONTEXT_ID``, as the repository names clips: a folder of such clips pairs with them."""

    id = "mochabench"
    sources = {_SOURCE: "a clone of congwei1230/MoChaBench"}
    text = "none"

    def index(self, folders: Mapping[str, Path]) -> Iterable[SourceClip]:
        """benchmark/benchmark.csv with speeches/CATEGORY/CONTEXT_ID_speech.wav and its first frame."""
        for row in _table(folders[_SOURCE] / _ITEMS, ("category", "context_id", "prompt")):
            category, name = row["category"], row["context_id"]
            yield SourceClip(
                id=f"{safe(category)}/{safe(name)}", source=_SOURCE,
                identity=f"benchmark/first-frames-from-mocha-generation/{category}/{name}.png",
                driving_audio=f"benchmark/speeches/{category}/{name}_speech.wav",
                split=_SPLITS.get(category, "monologue"), language="zh" if category == _CHINESE else "en",
                scene=" ".join(row["prompt"].strip('"').split()),
                tags=(category,), extra={"category": category, "persons": category[:1]},
            )  # fmt: skip

    def published(self, folders: Mapping[str, Path]) -> Mapping[str, str]:
        """``mocha.csv``: id, Sync-C and Sync-D of MoCha's clips as the repository states them; empty without a face."""
        rows = _table(folders[_SOURCE] / _SCORES, ("category", "video", "best_conf", "min_dist", "has_face"))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("id", "sync_c", "sync_d"))
        for row in sorted(rows, key=_id_of):
            seen = row["has_face"] == "True"
            writer.writerow((_id_of(row), row["best_conf"] if seen else "", row["min_dist"] if seen else ""))
        return {"mocha.csv": text.getvalue()}


def _id_of(row: Mapping[str, str]) -> str:
    """Of a row of the scores, whose paths are written as on Windows."""
    return row["video"].replace("\\", "/").removesuffix(".mp4")


def _table(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Rows of a CSV file. Raises ItemError where it cannot be read or lacks a column."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ItemError(f"{path} has no column {' nor '.join(missing)}; is it that of MoChaBench?")
            for row in reader:
                if short := [name for name in columns if row[name] is None]:
                    raise ItemError(f"{path} line {reader.line_num} has no {' nor '.join(short)}: is the file whole?")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ItemError(f"cannot read {path}: {error}; expected a clone of congwei1230/MoChaBench") from error
