"""Two causes of "why is my LSE different" on real clips, by SyncNet's published rule on the vectors of ``sync/mesh``.

    python bench/lse_causes.py CLIPS [--page docs/why_lse.md]

The rule (``t2av_bench.extractors.syncnet.compare``: mean distances at 31 shifts of whole frames, zero vectors beyond
the ends, C = median less minimum) is what papers report; SyncNet's own vectors need its licensed weights, and those of
``sync/mesh`` stand in for them. Sizes so are of the rule, on this network's scale of 0 to 2.

length  pieces of so many seconds, with their own sound and with that of the other clips; and the same where pairs with
        the zero vectors are left out
start   sound that begins 10 to 40 ms later than where the clip is in sync, so between two frames
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from measuring import options

SECONDS = (1.0, 2.0, 3.0, 4.0)
LATE_ROWS = (0, 1, 2, 3, 4)
"""Of 10 ms."""
_ROWS = 4  # of sound, to a frame
Vectors = Sequence[tuple[np.ndarray, np.ndarray]]
"""Of each member of the network: mouth (T, D) and sound (4 T, D), unit lengths."""


def published_rule(vectors: Vectors, first: int, frames: int, late: int = 0) -> tuple[float, float, float, float]:
    """(C, D) of a piece, mean over members, and both where pairs with a zero vector are left out.

    late: rows by which the sound is moved to later, of which as many are there before the piece and behind it.
    """
    from t2av_bench.extractors.syncnet import SyncResult, compare
    from t2av_bench.mesh_sync.score import distances

    found = []
    for mouth, sound in vectors:
        seen, heard = mouth[first : first + frames], sound[_ROWS * first - late :][: _ROWS * frames]
        zeros = compare(seen, heard[::_ROWS])
        without = SyncResult.of_curve(np.nanmean(distances(seen, heard), axis=0)[::_ROWS])
        found.append((zeros.confidence, zeros.distance, without.confidence, without.distance))
    return tuple(np.mean(found, axis=0).tolist())


def pieces(vectors: Vectors, frames: int) -> list[tuple[float, ...]]:
    """``published_rule`` of all whole pieces of a clip, one behind the other."""
    count = min(len(vectors[0][0]), len(vectors[0][1]) // _ROWS) // frames
    return [published_rule(vectors, number * frames, frames) for number in range(count)]


def exchanged(one: Vectors, other: Vectors) -> Vectors:
    """The mouth of one with the sound of another, as long as the shorter."""
    frames = min(len(one[0][0]), len(other[0][1]) // _ROWS)
    return [(mouth[:frames], sound[: _ROWS * frames]) for (mouth, _), (_, sound) in zip(one, other, strict=True)]


def length_table(clips: Mapping[str, Vectors]) -> str:
    lines = ["| seconds | pieces | zero vectors | C, own sound | C, other's | D, own sound | D, other's |"]
    lines.append("|---:|---:|---|---:|---:|---:|---:|")
    for seconds in SECONDS:
        frames = round(25 * seconds)
        own = {name: pieces(each, frames) for name, each in clips.items()}
        others = {
            name: [found for other in clips if other != name for found in pieces(exchanged(each, clips[other]), frames)]
            for name, each in clips.items()
        }
        for name, first in (("kept", 0), ("left out", 2)):
            means = [_by_clip(values, first + which) for which in (0, 1) for values in (own, others)]
            lines.append(f"| {seconds:g} | {sum(map(len, own.values()))} | {name} | " + " | ".join(means) + " |")
    return "\n".join(lines)


def _by_clip(values: Mapping[str, list[tuple[float, ...]]], which: int) -> str:
    """Mean over clips of their means over pieces, ± the standard error over clips."""
    means = [np.mean([each[which] for each in found]) for found in values.values() if found]
    return f"{np.mean(means):.3f} ± {np.std(means, ddof=1) / len(means) ** 0.5:.3f}"


def start_table(clips: Mapping[str, Vectors]) -> str:
    found = {
        name: [published_rule(each, 25, len(each[0][0]) - 50, late - _best(each)) for late in LATE_ROWS]
        for name, each in clips.items()
    }
    lines = ["| sound later by (ms) | clips | change of C | change of D |", "|---:|---:|---:|---:|"]
    for number, late in enumerate(LATE_ROWS[1:], 1):
        changes = {name: [tuple(np.subtract(each[number], each[0]))] for name, each in found.items()}
        lines.append(f"| {10 * late} | {len(found)} | {_by_clip(changes, 0)} | {_by_clip(changes, 1)} |")
    return "\n".join(lines)


def _best(vectors: Vectors) -> int:
    """Rows of 10 ms by which the clip's sound is late where D is lowest."""
    from t2av_bench.mesh_sync.score import OFFSETS_MS, distances

    curve = np.mean([np.nanmean(distances(mouth, sound), axis=0) for mouth, sound in vectors], axis=0)
    return -OFFSETS_MS[int(np.argmin(curve))] // 10


def vectors_of(path: Path) -> Vectors:
    """Of the frames in which the face is seen."""
    from t2av_bench.media.clip import Clip
    from t2av_bench.mesh_sync.features import mesh_sync_features
    from t2av_bench.mesh_sync.network import load, network_input

    features = mesh_sync_features(Clip(path))
    seen = np.flatnonzero(features.seen)
    frames = slice(seen[0], seen[-1] + 1)
    rows = slice(_ROWS * frames.start, _ROWS * frames.stop)
    return [(mouth[frames], sound[rows]) for mouth, sound in load().embed(network_input(features))]


def main() -> None:
    from t2av_bench.utils.files import write_text
    from t2av_bench.utils.text import filled

    parser = options(__doc__)
    parser.add_argument("clips", type=Path, help="a folder of clips of different people, each about in sync")
    parser.add_argument("--page", type=Path, help="fill the tables of this page")
    given = parser.parse_args()
    clips = {path.stem: vectors_of(path) for path in sorted(given.clips.iterdir())}
    made = {"length": length_table(clips), "start": start_table(clips)}
    print("\n\n".join(made.values()))
    if given.page:
        write_text(given.page, filled(given.page.read_text(encoding="utf-8"), made))


if __name__ == "__main__":
    main()
