"""What real GridFace clips score against other real clips of the same persons: the floors beside the tables' distances.

``python -m t2av_bench.gridface.validation.floors`` measures them and writes ``metrics/floors.toml``: about four minutes
on one core. A test split has 40 persons with five clips each. A draw takes two clips of every person, one for either
side: equal numbers, the same persons, other sentences. Halves of one set would hold other persons and half of the
clips, which moves a Fréchet distance more than any system does.

Fréchet distances are biased by about 1/n, so a floor belongs to its number of clips and to no other.
"""

import numpy as np

from t2av_bench.gridface.metrics.floors import FILE
from t2av_bench.gridface.validation import lip_sync as validity
from t2av_bench.metrics.distances import frechet_distance
from t2av_bench.utils.config import dump_toml
from t2av_bench.utils.files import write_text

DRAWS = 200
SPLITS = {"en": "test-en", "zh": "test-zh"}


def drawn(by_person: np.ndarray, draws: int, seed: int) -> tuple[float, float]:
    """Mean and standard deviation of the Fréchet distance over random pairs of equal sets.

    by_person: (persons, clips, samples, d); every draw takes two different clips of each person, one for either side.
    """
    persons, clips = by_person.shape[:2]
    random = np.random.RandomState(seed)
    values = []
    for _ in range(draws):
        first, second = np.stack([random.permutation(clips)[:2] for _ in range(persons)], axis=1)
        everyone = np.arange(persons)
        values.append(frechet_distance(*(np.concatenate(by_person[everyone, side]) for side in (first, second))))
    return float(np.mean(values)), float(np.std(values, ddof=1))


def measure() -> dict[str, dict[str, dict[str, float | int]]]:
    """Metric id -> language -> ``clips``, ``mean``, ``deviation`` and ``draws``."""
    from t2av_bench.gridface.data import corpus

    found: dict[str, dict[str, dict[str, float | int]]] = {"fd_frame/gridface": {}, "fd_clip/gridface": {}}
    for language, split in SPLITS.items():
        persons = len(corpus.identities(split))
        # Persons return in the same order: clip i shows person i mod 40.
        made = [validity.features(validity.clips([utterance])) for utterance in corpus.utterances(split)]
        for metric, kind in (("fd_frame/gridface", "frames"), ("fd_clip/gridface", "windows")):
            features = np.stack([getattr(each, kind) for each in made])
            by_person = features.reshape(-1, persons, *features.shape[1:]).swapaxes(0, 1)
            mean, deviation = drawn(by_person, DRAWS, seed=0)
            found[metric][language] = {
                "clips": persons, "mean": round(mean, 3), "deviation": round(deviation, 3), "draws": DRAWS,
            }  # fmt: skip
    return found


if __name__ == "__main__":
    write_text(FILE, "# Written by `python -m t2av_bench.gridface.validation.floors`.\n\n" + dump_toml(measure()))
