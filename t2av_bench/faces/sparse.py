"""Faces looked for in every n-th frame of a shot, and where they are in between.

A shot's first and last frame are always looked at, so that no box is carried across a cut or beyond what was seen. A
face that is seen in two looks in a row moves between them in a straight line; one that is seen in one of both alone is
in no frame between them.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from t2av_bench.faces.track import overlap
from t2av_bench.media.limits import BATCH_BYTES

SAME_FACE = 0.3
"""Intersection over union above which the boxes of two looks in a row are one face: faces of one frame share 0.1 at
most, and frame by frame a track's must share 0.5."""


def looks(shots: Sequence[tuple[int, int]], every: int) -> np.ndarray:
    """(k,) int64 frame numbers, ascending: each shot's first, every ``every``-th after it, and its last.

    shots: half-open frame ranges.
    """
    numbers = [number for first, end in shots for number in (*range(first, end - 1, every), end - 1)]
    return np.unique(np.array(numbers, np.int64))


def chosen(frames: Iterable[np.ndarray], numbers: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Of batches (n, H, W, 3) those frames alone, as batches of ``size`` frames, or as many as 64 MiB hold."""
    wanted, kept, start = set(numbers.tolist()), list[np.ndarray](), 0
    for batch in frames:
        for offset in range(len(batch)):
            if start + offset in wanted:
                kept.append(batch[offset].copy())  # a view would hold its whole batch
                if len(kept) == size or (len(kept) + 1) * kept[0].nbytes > BATCH_BYTES:
                    yield np.stack(kept)
                    kept = []
        start += len(batch)
    if kept:
        yield np.stack(kept)


def fill(numbers: np.ndarray, seen: Sequence[np.ndarray], shots: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Boxes of every frame of the shots: those of the looks as they are, those between them linear in time.

    numbers: (k,) frames that were looked at (see ``looks``). seen: their (m, 5) boxes with scores, best first.
    """
    filled: list[np.ndarray] = []
    ends = {end - 1 for _, end in shots}
    for index, number in enumerate(numbers.tolist()):
        filled.append(seen[index])
        if number not in ends:
            filled += _between(seen[index], seen[index + 1], int(numbers[index + 1]) - number)
    return filled


def _between(one: np.ndarray, other: np.ndarray, steps: int) -> Iterator[np.ndarray]:
    """Boxes (k, 5) of the ``steps - 1`` frames between two looks, best first."""
    from scipy.optimize import linear_sum_assignment

    shared = np.array([overlap(other[:, :4], box) for box in one[:, :4]]).reshape(len(one), len(other))
    pairs = [(i, j) for i, j in zip(*linear_sum_assignment(-shared), strict=True) if shared[i, j] > SAME_FACE]
    before, after = (boxes[[pair[side] for pair in pairs]] for side, boxes in enumerate((one, other)))
    for step in range(1, steps):
        boxes = before + (after - before) * (step / steps)
        yield boxes[np.argsort(-boxes[:, 4], kind="stable")]
