"""What the face mesh sees: on drawn faces whose motion is known to the number, and on real ones by damage.

    python -m t2av_bench.gridface.validation.landmarks --real FOLDER

writes ``docs/landmarks.md``; FOLDER holds real clips. Needs the weights of the mesh and of the eyelids. Four minutes on
one core.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.errors import NotApplicable, Unscorable
from t2av_bench.faces.head_pose import eye_distance
from t2av_bench.faces.landmarks import Landmarks
from t2av_bench.faces.mesh_points import LIPS_INNER, LIPS_OUTER
from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.validation.drawn_landmarks import (
    SWEEP,
    SWEPT,
    blink_counts,
    landmarks_of,
    read,
    responses,
    rows,
)
from t2av_bench.gridface.validation.motion import each_frame, h264, resized
from t2av_bench.gridface.validation.report import table
from t2av_bench.media.clip import Clip
from t2av_bench.metrics import create, metric_class, metric_ids, theval
from t2av_bench.metrics.base import Pair
from t2av_bench.utils.files import write_text
from t2av_bench.validation.pictures import blur, grain

PERSONS = 8
REAL_FRAMES = 30


# Real faces -----------------------------------------------------------------------------------------------------------

Change = Callable[[np.ndarray], np.ndarray]
DAMAGES: dict[str, Change] = {
    **{f"blur, sigma {sigma} pixels": partial(blur, sigma=sigma) for sigma in (1, 2, 4)},
    **{f"noise, deviation {level} of 255": partial(grain, sigma=level / 255) for level in (8, 16, 32)},
    **{f"H.264, crf {crf}": partial(h264, crf=crf) for crf in (28, 38, 48)},
    **{f"to {size} pixels and back": partial(each_frame, resized, size) for size in (256, 128, 64)},
}


@dataclass(frozen=True, slots=True)
class Moved:
    """How far points lie from where they lay without damage, in interocular distances: all of them, those of the lips.
    found: share of the frames in which a face was found. motion: lip_dynamics, eyebrow_dynamics and head_rotation."""

    everywhere: float
    lips: float
    found: float
    motion: tuple[float, float, float]


def moved(frames: np.ndarray, before: Landmarks, change: Change) -> Moved:
    """One damage of one clip's (n, H, W, 3) frames, in which ``before`` was found."""
    after = landmarks_of(change(frames))
    common, one, other = np.intersect1d(before.frames, after.frames, return_indices=True)
    scale = eye_distance(before.points[one])[:, None]
    away = np.linalg.norm(after.points[other, :, :2] - before.points[one, :, :2], axis=2) / scale
    lips = away[:, [*LIPS_OUTER, *LIPS_INNER]]
    return Moved(float(away.mean()), float(lips.mean()), len(common) / len(before.frames), motions(after))


def motions(landmarks: Landmarks) -> tuple[float, float, float]:
    return theval.lip_dynamics(landmarks), theval.eyebrow_dynamics(landmarks), theval.head_rotation(landmarks)


def beginnings(folder: Path) -> dict[str, np.ndarray]:
    """The first 30 frames of those clips in a folder that have 512 x 512 pixels."""
    found = {}
    for path in sorted(folder.glob("*.mp4")):
        clip = Clip(path)
        if next(clip.frames(1)).shape[1:3] == (512, 512):
            found[path.stem] = np.stack(
                list(islice((frame for batch in clip.frames() for frame in batch), REAL_FRAMES))
            )
    return found


def scores(folder: Path) -> dict[str, dict[str, str]]:
    """Clip -> quantity of THEval's -> value, or a dash where there is a reason."""
    metrics = [create(id) for id in metric_ids() if id.startswith("theval/")]
    found: dict[str, dict[str, str]] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".mp4", ".avi")):
        clip = Clip(path)
        for metric in metrics:
            try:
                values = metric.measure(Pair(Item(id=path.stem), clip)).values
            except (Unscorable, NotApplicable):
                values = {}
            for quantity in metric.quantities:
                value = values.get(quantity.name)
                told = "–" if value is None else f"{value:.{quantity.decimals}f}"
                found.setdefault(path.stem, {})[quantity.name] = told
    return found


# The page -------------------------------------------------------------------------------------------------------------

_UNITS = {
    "lip gap": "face units", "mouth width": "share of the mouth", "eyebrow raise": "of full", "pitch": "of full",
    "eye opening, iris": "of open", "eye opening, mesh": "of open", "yaw": "of full", "roll": "degrees",
}  # fmt: skip


def document(persons: int, folder: Path) -> str:
    """The page, with everything measured anew."""
    spoken = [
        (utterance.identity, recording.motion)
        for utterance, recording in corpus.recordings(
            utterance for split in corpus.TEST_SPLITS for utterance in corpus.utterances(split, persons // 4)
        )
    ]
    readings = [read(identity, motion) for identity, motion in spoken]
    frames = sum(len(motion) + len(SWEPT) * SWEEP for _, motion in spoken)
    found = min(reading.found for reading in readings)
    real = beginnings(folder)
    before = {name: landmarks_of(clip) for name, clip in real.items()}
    still = np.mean([motions(each) for each in before.values()], axis=0)
    quantities = [
        quantity for id in metric_ids() if id.startswith("theval/") for quantity in metric_class(id).quantities
    ]
    return _PAGE.format(
        persons=len(spoken), frames=frames, found=f"{100 * found:.0f}", size=corpus.SIZE,
        seen=table(
            ["measure", "correlation", "R2, others' line", "R2, own line", "error", "spread", "unit"],
            [
                [name, f"{row.correlation:.2f}", f"{row.r2_others:.2f}", f"{row.r2_own:.2f}", f"{row.error:.3f}",
                 f"{row.spread:.3f}", _UNITS[name]]
                for name, row in rows(readings).items()
            ],
        ),
        blinks=table(
            ["eyes by", "drawn", "detected", "of them drawn"],
            [[name, *map(str, blink_counts(readings, f"eye opening, {name}"))] for name in ("iris", "mesh")],
        ),
        responses=table(
            ["measure", *SWEPT],
            [[name, *(f"{value:.2f}" for value in values)] for name, values in responses(readings).items()],
        ),
        clips=", ".join(f"`{name}`" for name in real), count=REAL_FRAMES,
        damage=table(
            ["damage", "all points", "lips", "found", "lip dynamics", "eyebrow dynamics", "head rotation"],
            [
                ["none", "0", "0", "1.00", *(f"{value:.3f}" for value in still)],
                *(_damage_row(name, [moved(real[clip], before[clip], change) for clip in real])
                  for name, change in DAMAGES.items()),
            ],
        ),
        scores=table(
            ["clip", *(f"`{quantity.name}`" for quantity in quantities)],
            [[f"`{clip}`", *(told[quantity.name] for quantity in quantities)] for clip, told in scores(folder).items()],
        ),
    )  # fmt: skip


def _damage_row(name: str, clips: Sequence[Moved]) -> list[str]:
    motion = np.mean([each.motion for each in clips], axis=0)
    means = (np.mean([each.everywhere for each in clips]), np.mean([each.lips for each in clips]))
    found = np.mean([each.found for each in clips])
    return [name, *(f"{value:.3f}" for value in means), f"{found:.2f}", *(f"{value:.3f}" for value in motion)]


_PAGE = """\
# What the face mesh sees

Written by `python -m t2av_bench.gridface.validation.landmarks --real FOLDER`.

## Drawn faces, whose motion is known

GridFace's rig draws a face from 16 numbers, so that what landmarks say of it can be held against the truth: \
{persons} persons of the test splits, each with one spoken sentence and a sweep of single movements, {frames} frames, \
drawn at {size} pixels. The network was never trained on drawn faces; it found the face in {found} % of \
each person's frames or more, by the rule for presence that real clips have.

A straight line from measure to rig was fitted to the sweeps, and tested on the sentences: of the other half of the \
persons (*others' line*), and of the same person (*own line*), which takes away how one face differs from \
another. *Correlation* is the mean within a sentence, *error* the root mean square after the others' line, *spread* \
the truth's standard deviation; an error as large as that says nothing. Pitch and yaw are drawn by parallax alone, so \
their unit is the rig's full deflection.

{seen}

Blinks in the sentences, by the rule of `theval/blinks-iris`:

{blinks}

How far a measure moves when one thing is moved through its range, as a share of how far it moves with its own:

{responses}

### What it misses

The **lids**: the mesh hardly closes an eye, and a blink cannot be told from its trembling. That is why blinks are \
counted by the iris network. **Eyebrows**: a nod passes for a raised eyebrow (the column of pitch in the last table), \
and how far they rise varies from person to person. **Mouth width** takes a smile, which the rig draws mostly by the \
corners' height, for a wider mouth. All three and the lip gap are better told against the same person than against \
others. **Pitch** is the weakest angle, and an opening jaw passes for some of it. The heads turn little here (roll by \
a degree or two), so that the mesh's trembling of a few tenths of a degree takes much of the correlation. The rig \
moves neither cheeks nor nose and turns no face away by more than some degrees: profiles, hands before the mouth and \
beards are not in these tables.

## Real faces, by damage

How far points move when nothing but the picture's quality changes, in interocular distances, in the first {count} \
frames of {clips}; and what the corrected measures of `theval` make of the damaged clip (interocular distances; \
interocular distances a second; degrees a second). A difference between two systems that is smaller than what their \
compression does to a measure is none.

{damage}

## THEval's measures on real clips

Values of the real clips in the same folder. A dash is a reason: no sound, no silence of 300 ms, no face.

{scores}

Single clips of some seconds say little: a blink more or less is tens of blinks a minute, and how wide the lips open \
is not how loud the voice is (`lip_loudness` near a third is what unrelated sound has).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", nargs="?", type=Path, default=Path("docs/landmarks.md"), help="file to write")
    parser.add_argument("--real", type=Path, required=True, help="folder of real clips (mp4, avi)")
    parser.add_argument("--persons", type=int, default=PERSONS, help=f"drawn persons (default {PERSONS})")
    chosen = parser.parse_args()
    write_text(chosen.page, document(chosen.persons, chosen.real))
    print(chosen.page)


if __name__ == "__main__":
    main()
