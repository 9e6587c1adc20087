"""Frames of a generated clip beside the frames of its reference, aligned in time.

Each clip starts with its first picture, and both are compared frame by frame at 25 fps over their common duration: the
longer clip's tail is not looked at. Every metric that uses these functions keeps both lengths in its detail, and the
difference where it exceeds what re-encoding explains; those that score pairs refuse clips that share too little
(``overlap``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import numpy as np

from t2av_bench.errors import MediaError, NotApplicable, Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.metrics.base import Pair

# Containers and encoders commonly add or drop this many frames at the end; more is worth a word.
UNREMARKABLE_DIFFERENCE = 2


def common_frames(pair: Pair, needed: int = 1) -> tuple[int, dict[str, Any]]:
    """Number of frames that both clips have at 25 fps, and the facts to keep.

    Raises Unscorable where it is below ``needed`` and the generated clip is the short one, NotApplicable where the
    reference has no readable frames or is the short one.
    """
    generated = pair.generated.frame_count
    with usable_reference():
        reference = pair.require_reference().frame_count
    common = min(generated, reference)
    detail = {"generated_frames": generated, "reference_frames": reference, "common_frames": common}
    if abs(generated - reference) > UNREMARKABLE_DIFFERENCE:
        detail["length_difference"] = generated - reference
    if generated < needed:
        raise Unscorable(f"the clip has {generated} frames at 25 fps; {needed} are needed")
    if reference < needed:
        raise NotApplicable(f"the reference clip has {reference} frames at 25 fps; {needed} are needed")
    return common, detail


@contextmanager
def usable_reference() -> Iterator[None]:
    """What is wrong with a reference's video is nobody's fault: NotApplicable with the reason."""
    try:
        yield
    except MediaError as error:
        raise NotApplicable(f"the reference clip has no usable video: {error}") from error


def segment_centres(count: int, samples: int) -> np.ndarray:
    """Indices of the frames in the middle of ``samples`` equal segments of ``count`` frames: (samples,) int64.

    Evenly spaced, distinct for count >= samples, and away from the first frame, which many systems copy from the
    reference.
    """
    return (2 * np.arange(samples) + 1) * count // (2 * samples)


def paired_frames(pair: Pair, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Aligned batches (n, H, W, 3) uint8 RGB of the generated clip and its reference over their common duration.

    Reads both clips to their ends in one pass, after which ``common_frames`` costs nothing. Raises Unscorable where
    the frame sizes differ: resizing one side would change every paired measure.
    """
    sides = pair.generated.each_frame(), _each_reference_frame(pair.require_reference())
    batches: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for first, second in zip_longest(*sides):
        if first is None or second is None:
            continue
        require_one_size(first.shape[1::-1], second.shape[1::-1])
        batches[0].append(first)
        batches[1].append(second)
        if len(batches[0]) == batch:
            yield np.stack(batches[0]), np.stack(batches[1])
            batches = ([], [])
    if batches[0]:
        yield np.stack(batches[0]), np.stack(batches[1])


def require_one_size(generated: tuple[int, ...], reference: tuple[int, ...]) -> None:
    """Raise Unscorable where frames of both clips, (width, height), differ in size."""
    if generated != reference:
        raise Unscorable(
            f"frames of the clip are {generated[0]}x{generated[1]} and of the reference {reference[0]}x{reference[1]}; "
            "paired metrics never resize: bring both to one size"
        )


def _each_reference_frame(clip: Clip) -> Iterator[np.ndarray]:
    with usable_reference():
        yield from clip.each_frame()
