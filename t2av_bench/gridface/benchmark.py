"""GridFace as experiments know it: its splits, and its items on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from t2av_bench.benchmarks.base import Benchmark, OnBuild
from t2av_bench.gridface.data import build as data
from t2av_bench.gridface.data import corpus


class GridFace(Benchmark):
    """Drawn talking portraits with synthetic speech: see ``docs/embedded_benchmark.md``."""

    id = "gridface"

    @property
    def splits(self) -> Mapping[str, int]:
        return corpus.SPLITS

    def manifest(self, split: str, count: int, folder: Path | None) -> Path:
        return (folder or data.default_folder()) / split / data.manifest_name(split, count)

    def build(
        self, splits: Sequence[str], items: int | None, folder: Path | None, workers: int, on_build: OnBuild
    ) -> None:  # fmt: skip
        data.build(folder, splits, items, workers, on_build)

    def speakers(self, split: str) -> Mapping[str, str]:
        return {utterance.id: utterance.speaker for utterance in corpus.utterances(split)}
