"""What real GridFace clips score against other real clips of the same persons: the floors beside the tables' distances.

``python -m t2av_bench.gridface.validation.floors`` measures them and writes ``metrics/floors.toml``: about four minutes
on one core. A test split has 40 persons with five clips each. A draw gives every person's clips to two sides: one each,
or all five, two to one side and three to the other. So both sides have equal numbers and the same persons, and other
sentences. Halves of one set would hold other persons, which moves a Fréchet distance more than any system does.

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


def drawn(by_person: np.ndarray, draws: int, seed: int, *, whole: bool = False) -> tuple[float, float]:
    """Mean and standard deviation of the Fréchet distance over random pairs of equal sets.

    by_person: (persons, clips, samples, d); every draw takes two different clips of each person, one for either side.
    whole: instead all clips, of an odd number; half of the persons have one clip more on the first side, the others on
    the second one.
    """
    persons, clips = by_person.shape[:2]
    random = np.random.RandomState(seed)
    values = []
    for _ in range(draws):
        order = np.stack([random.permutation(clips) for _ in range(persons)])
        if whole:
            more = random.permutation(persons) < persons // 2
            first = np.arange(clips) < clips // 2 + more[:, None]
            sides = [by_person[np.arange(persons)[:, None], order][chosen] for chosen in (first, ~first)]
        else:
            sides = [by_person[np.arange(persons), order[:, side]] for side in (0, 1)]
        values.append(frechet_distance(*map(np.concatenate, sides)))
    return float(np.mean(values)), float(np.std(values, ddof=1))


def measure() -> dict[str, list[dict[str, str | float | int]]]:
    """Metric id -> a table for each language and number of clips, as in ``metrics.base.Floor``."""
    from t2av_bench.gridface.data import corpus

    found: dict[str, list[dict[str, str | float | int]]] = {"fd_frame/gridface": [], "fd_clip/gridface": []}
    for language, split in SPLITS.items():
        persons = len(corpus.identities(split))
        # Persons return in the same order: clip i shows person i mod 40.
        made = [validity.features(validity.clips([utterance])) for utterance in corpus.utterances(split)]
        for metric, kind in (("fd_frame/gridface", "frames"), ("fd_clip/gridface", "windows")):
            features = np.stack([getattr(each, kind) for each in made])
            by_person = features.reshape(-1, persons, *features.shape[1:]).swapaxes(0, 1)
            for whole in (False, True):
                mean, deviation = drawn(by_person, DRAWS, seed=0, whole=whole)
                found[metric].append({
                    "language": language, "clips": len(made) // 2 if whole else persons, "mean": round(mean, 3),
                    "deviation": round(deviation, 3), "draws": DRAWS,
                })  # fmt: skip
    return found


if __name__ == "__main__":
    write_text(FILE, "# Written by `python -m t2av_bench.gridface.validation.floors`.\n\n" + dump_toml(measure()))
