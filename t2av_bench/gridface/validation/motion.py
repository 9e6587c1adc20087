"""Does the embedded motion codec measure what it should? ``python -m t2av_bench.gridface.validation.motion``

writes ``docs/embedded_motion.md``: how much of each motion dimension the encoder explains, on persons it was trained on
and on others, what damage to the pictures costs, and how surely persons are recognised. Two minutes on one core.
"""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.extractors.pictures import network_input
from t2av_bench.gridface.models.identity_gallery import FRAMES_PER_PERSON, UnknownIdentity
from t2av_bench.gridface.models.motion_codec import FARTHEST, LARGEST_DIFFERENCE, DrawnMotionCodec, portrait
from t2av_bench.gridface.portrait.portrait import Portrait
from t2av_bench.gridface.speech.visemes import MOTION_NAMES, SPEECH_SIZE
from t2av_bench.gridface.training.motion import jpeg
from t2av_bench.gridface.validation.report import run, table
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.metrics.psnr import psnr
from t2av_bench.metrics.ssim import ssim
from t2av_bench.validation.pictures import blur, grain

UNSEEN_SPLITS = corpus.TEST_SPLITS
FRAMES_PER_CLIP = 8
STRANGERS = range(10_000, 10_300)
"""Seeds of persons who are in no split."""


@dataclass(frozen=True)
class Sample:
    """One clip's frames: pictures (n, 128, 128, 3) uint8 of person ``identity`` and their motion (n, 16)."""

    identity: int
    pictures: np.ndarray
    motion: np.ndarray


def samples(utterances: Iterable[corpus.Utterance]) -> list[Sample]:
    """Evenly spaced frames of each clip."""
    found = []
    for utterance, recording in corpus.recordings(utterances):
        motion = recording.motion[np.linspace(0, len(recording.motion) - 1, FRAMES_PER_CLIP).round().astype(int)]
        found.append(Sample(utterance.identity, Portrait(utterance.identity, corpus.SIZE).render(motion), motion))
    return found


def unseen(per_split: int) -> list[corpus.Utterance]:
    """Clips of persons that the encoder never saw, the first of each test split: every clip another person."""
    return [utterance for split in UNSEEN_SPLITS for utterance in corpus.utterances(split, per_split)]


def trained(count: int) -> list[corpus.Utterance]:
    """The last clips of the training split: trained persons in sentences that the encoder never saw."""
    return corpus.utterances("train")[-count:]


def explained(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """R2 of each column: (N, 16) estimates of (N, 16) values to (16,); 1 is exact, 0 no better than the mean."""
    return 1 - ((found - true) ** 2).sum(0) / ((true - true.mean(0)) ** 2).sum(0)


def encode(codec: DrawnMotionCodec, pictures: np.ndarray) -> np.ndarray:
    """(n, 128, 128, 3) uint8 to motion (n, 16) in its own units."""
    return codec.denormalize(codec.encode(network_input(pictures)[None])[0]).cpu().numpy()


def encode_alone(codec: DrawnMotionCodec, pictures: np.ndarray) -> np.ndarray:
    """As ``encode``, by the network alone, which does not know the person."""
    with torch.no_grad():
        return codec.encoder(network_input(pictures).to(codec.device)).cpu().numpy()


@dataclass(frozen=True)
class Reading:
    """What one set of pictures gives. r2: (16,); psnr (dB) and ssim: drawn from the estimate, against the true frames;
    recognised: share of pictures whose person is named, refused: share with whom the codec will not work."""

    frames: int
    r2: np.ndarray
    psnr: float
    ssim: float
    recognised: float
    refused: float

    @property
    def mouth(self) -> float:
        return float(self.r2[:SPEECH_SIZE].mean())


def read(
    codec: DrawnMotionCodec, clips: list[Sample], damage: Callable[[np.ndarray], np.ndarray] | None = None
) -> Reading:
    """Encode every (damaged) picture, draw what was found, and compare with the truth."""
    found, noise, similarity, named, refused = [], [], [], 0, 0
    for clip in clips:
        pictures = clip.pictures if damage is None else damage(clip.pictures)
        found.append(encode(codec, pictures))
        drawn = portrait(clip.identity).render(found[-1])
        noise.append(psnr(drawn, clip.pictures))
        similarity.append(ssim(drawn, clip.pictures))
        for picture in network_input(pictures):
            try:
                named += codec.identify(picture[None]) == [clip.identity]
            except UnknownIdentity:
                refused += 1
    true = np.concatenate([clip.motion for clip in clips])
    return Reading(
        len(true), explained(np.concatenate(found), true), float(np.mean(np.concatenate(noise))),
        float(np.mean(np.concatenate(similarity))), named / len(true), refused / len(true),
    )  # fmt: skip


def damages() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Name -> function of (n, 128, 128, 3) uint8, in growing strength within each kind."""
    kinds: dict[str, Callable[[np.ndarray], np.ndarray]] = {"none": lambda frames: frames}
    kinds |= {f"blur, sigma {sigma}": partial(blur, sigma=sigma) for sigma in (0.5, 1, 2)}
    kinds |= {f"noise, deviation {level}": partial(grain, sigma=level / 255) for level in (4, 8, 16)}
    kinds |= {f"JPEG, quality {quality}": partial(each_frame, jpeg, quality) for quality in (90, 50, 15)}
    kinds |= {f"to {size} pixels and back": partial(each_frame, resized, size) for size in (256, 96, 64)}
    return kinds | {f"H.264, crf {crf}": partial(h264, crf=crf) for crf in (18, 28, 38)}


def h264(frames: np.ndarray, crf: int) -> np.ndarray:
    """Frames as they come back from an mp4 file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_mp4(path, frames, crf=crf)
        return np.concatenate(list(Clip(path).frames()))


def each_frame(change: Callable[[np.ndarray, int], np.ndarray], value: int, frames: np.ndarray) -> np.ndarray:
    return np.stack([change(frame, value) for frame in frames])


def resized(frame: np.ndarray, size: int) -> np.ndarray:
    import cv2

    smaller = size < len(frame)
    there = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return cv2.resize(there, frame.shape[1::-1], interpolation=cv2.INTER_CUBIC if smaller else cv2.INTER_AREA)


def strangers(codec: DrawnMotionCodec, seeds: Iterable[int] = STRANGERS) -> tuple[int, int, float]:
    """Pictures of persons in no split: how many, how many are taken for somebody, and the smallest distance."""
    random = np.random.default_rng(0)
    taken, distances = 0, []
    for seed in seeds:
        motion = np.clip(random.normal(0, 0.3, (1, len(MOTION_NAMES))), 0, 1)
        picture = Portrait(seed, corpus.SIZE).render(motion)
        distances.append(float(codec.gallery.nearest(picture)[1][0]))
        try:
            codec.identify(network_input(picture))
            taken += 1
        except UnknownIdentity:
            pass
    return len(distances), taken, min(distances)


def document(count: int) -> str:
    """The page, with everything measured anew on ``count`` clips of each test split."""
    codec = DrawnMotionCodec.load()
    others = samples(unseen(count))
    own = samples(trained(len(others)))
    clean, familiar = read(codec, others), read(codec, own)
    true = np.concatenate([clip.motion for clip in others])
    alone = explained(np.concatenate([encode_alone(codec, clip.pictures) for clip in others]), true)
    some = others[::2]
    by_damage = {name: read(codec, some, damage) for name, damage in damages().items()}
    asked, taken, nearest = strangers(codec)
    farthest = max(codec.gallery.nearest(clip.pictures)[1].max() for clip in others + own)
    mouth = slice(SPEECH_SIZE)
    read_from_a_frame = table(
        ["dimension", "R2, unseen persons", "network alone", "R2, trained persons"],
        [
            *([name, f"{a:.3f}", f"{b:.3f}", f"{c:.3f}"]
              for name, a, b, c in zip(MOTION_NAMES, clean.r2, alone, familiar.r2, strict=True)),
            ["**mean of the mouth's six**", f"**{clean.mouth:.3f}**", f"{alone[mouth].mean():.3f}",
             f"**{familiar.mouth:.3f}**"],
            ["**mean of all**", f"**{clean.r2.mean():.3f}**", f"{alone.mean():.3f}", f"**{familiar.r2.mean():.3f}**"],
            ["PSNR of what is drawn from it, dB", f"{clean.psnr:.1f}", "", f"{familiar.psnr:.1f}"],
            ["SSIM", f"{clean.ssim:.3f}", "", f"{familiar.ssim:.3f}"],
        ],
    )  # fmt: skip
    costs = table(
        ["damage", "R2, mouth", "R2, all", "PSNR, dB", "SSIM", "recognised", "refused"],
        [
            [name, f"{one.mouth:.3f}", f"{one.r2.mean():.3f}", f"{one.psnr:.1f}", f"{one.ssim:.3f}",
             f"{100 * one.recognised:.1f} %", f"{100 * one.refused:.1f} %"]
            for name, one in by_damage.items()
        ],
    )  # fmt: skip
    return f"""\
# GridFace's motion codec

Written by `python -m t2av_bench.gridface.validation.motion`: a check of this pipeline on drawn faces, not a claim \
about LIA-X.

The decoder is the renderer, so a motion is drawn exactly. The encoder is a small network that sees single frames of \
128 x 128 pixels, trained on the {len(corpus.identities("train"))} persons of the training split. From one frame it \
cannot tell a wide mouth from a widened one. So the codec first recognises the person in the gallery, which holds, for \
all persons of the benchmark, what the network misjudges on average in {FRAMES_PER_PERSON} drawn poses; pictures of \
nobody in the gallery are read by the network alone.

## What the codec reads from a frame

Unseen: {clean.frames} frames of {len(others)} persons of the test splits. Trained: {familiar.frames} frames of \
persons of the training split, in sentences that the network never saw. R2 is the share of a dimension's variance that \
is explained: 1 is exact, 0 no better than the mean.

{read_from_a_frame}

The tongue moves pixels only in an open mouth, and a vertical gaze moves the iris by a fifth of a pixel: neither is \
read well, and neither changes much of the picture.

## What damage costs

Unseen persons, {by_damage["none"].frames} frames each row. PSNR and SSIM compare the frame drawn from the estimate \
with the undamaged frame. Recognised: the codec names the right person; refused: it declines to answer; the rest, if \
any, are mistaken for somebody else. H.264 gets frames that lie far apart in the clip, which is harder for it than a \
clip.

{costs}

## Who is shown

The gallery holds the {len(codec.gallery.people)} persons of all splits. A person is recognised at most {FARTHEST:g} \
standard deviations away, and only if drawing that person in the estimated pose differs from the picture by at most \
{LARGEST_DIFFERENCE:g} of 255 (root mean square). The farthest undamaged frame of the right person was {farthest:.1f} \
away. Of {asked} persons who are in no split, {taken} were taken for somebody; the nearest came within {nearest:.1f}. \
Of {clean.frames + familiar.frames} undamaged frames, \
{round(clean.recognised * clean.frames + familiar.recognised * familiar.frames)} were recognised.
"""


if __name__ == "__main__":
    run(__doc__ or "", "docs/embedded_motion.md", 20, document)
