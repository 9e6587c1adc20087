"""Where a clip is cut: faces, shots and speech decide, by a rule without a random number. Pure functions.

Times are frames at 25 a second from the clip's beginning; ranges are half-open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t2av_bench.faces.track import overlap
from t2av_bench.media.clip import FRAME_RATE

Range = tuple[int, int]
_SAME_FACE = 0.5  # intersection over union from one look to the next


@dataclass(frozen=True, slots=True)
class CutRule:
    """shortest, longest: seconds of a piece. pause: seconds of silence that may end one; pad: seconds of it that stay.

    speech: share of a piece's time, at least. least_face: pixels, larger side of the face. enlarge: side of the square
    over that of the face; least_enlarge: what it may come down to where the picture ends. size: pixels of the square
    after scaling. look: every so many frames faces are looked for. most: pieces of one clip.
    """

    shortest: float = 3.0
    longest: float = 10.0
    pause: float = 0.25
    pad: float = 0.12
    speech: float = 0.6
    least_face: float = 128.0
    enlarge: float = 1.8
    least_enlarge: float = 1.8
    size: int = 512
    look: int = 5
    most: int = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """boxes: of each look (every ``look`` frames) the faces, (k, 4) pixels x1, y1, x2, y2. shots: ranges of frames.

    width, height: of the pictures.
    """

    boxes: Sequence[np.ndarray]
    shots: Sequence[Range]
    width: int
    height: int

    def to_json(self) -> dict[str, Any]:
        boxes = [[[round(float(value), 1) for value in box] for box in found] for found in self.boxes]
        shots = [[int(first), int(end)] for first, end in self.shots]
        return {"boxes": boxes, "shots": shots, "width": self.width, "height": self.height}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Seen":
        boxes = [np.array(found, np.float64).reshape(-1, 4) for found in row["boxes"]]
        return cls(boxes, [(first, end) for first, end in row["shots"]], row["width"], row["height"])


def phrases(speech: Sequence[tuple[float, float]], pause: float) -> list[tuple[float, float]]:
    """Stretches of speech (seconds, in order) with no silence of ``pause`` or more inside."""
    found: list[tuple[float, float]] = []
    for begin, end in speech:
        if found and begin - found[-1][1] < pause:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def steady_spans(seen: Seen, rule: CutRule) -> tuple[list[Range], str | None]:
    """Ranges of at least the shortest length in which one and the same face is seen at every look, without a cut.

    With the reason where there is none.
    """
    least, spans = round(rule.shortest * FRAME_RATE), []
    long_shots = [(first, end) for first, end in seen.shots if end - first >= least]
    for first, end in long_shots:
        begun: int | None = None
        last: np.ndarray | None = None
        for index in range(-(-first // rule.look), -(-end // rule.look)):
            boxes = seen.boxes[index]
            alone = len(boxes) == 1 and _side(boxes[0]) >= rule.least_face
            same = alone and last is not None and overlap(boxes, last)[0] > _SAME_FACE
            if begun is not None and not same:
                spans.append((begun, (index - 1) * rule.look + 1))
                begun = None
            if alone and begun is None:
                begun = index * rule.look if index * rule.look - first >= rule.look else first
            last = boxes[0] if alone else None
        if begun is not None:
            spans.append((begun, end))
    spans = [(first, end) for first, end in spans if end - first >= least]
    return spans, None if spans else _why_none(seen, bool(long_shots), rule)


def _side(box: np.ndarray) -> float:
    return float(max(box[2] - box[0], box[3] - box[1]))


def _why_none(seen: Seen, long_shots: bool, rule: CutRule) -> str:
    if not long_shots:
        return f"no shot lasts {rule.shortest:g} s"
    counts = [len(boxes) for boxes in seen.boxes]
    if not any(counts):
        return "no face is seen"
    if sum(count > 1 for count in counts) * 2 > len(counts):
        return "more than one face is seen"
    sides = [max(map(_side, boxes)) for boxes in seen.boxes if len(boxes)]
    if float(np.median(sides)) < rule.least_face:
        return f"the face is smaller than {rule.least_face:g} pixels"
    return f"one face is not seen alone for {rule.shortest:g} s without a gap"


def pieces(
    spans: Sequence[Range], speech: Sequence[tuple[float, float]], frames: int, rule: CutRule
) -> tuple[list[Range], str | None]:
    """Ranges that begin and end in pauses, each inside one span; with the reason where there is none.

    frames: of the clip. One after the other from the beginning, none overlapping: in turn the shortest and the longest
    that the rule allows from the next phrase on, so that both ends of the range of lengths occur.
    """
    said = phrases(speech, rule.pause)
    if not said:
        return [], "no speech is heard"
    found: list[Range] = []
    at = 0
    while at < len(said):
        fitting = [
            (last, range_) for last in range(at, len(said))
            if (range_ := _piece(said[at][0], said[last][1], frames, rule)) is not None
            and _share(range_, speech) >= rule.speech and any(a <= range_[0] and range_[1] <= b for a, b in spans)
        ]  # fmt: skip
        if not fitting:
            at += 1
            continue
        last, chosen = fitting[0] if len(found) % 2 == 0 else fitting[-1]
        found.append(chosen)
        at = last + 1
    if found:
        return found, None
    return [], f"no {rule.shortest:g} to {rule.longest:g} s between pauses show one face without a cut"


def _piece(begin: float, end: float, frames: int, rule: CutRule) -> Range | None:
    first = max(0, round((begin - rule.pad) * FRAME_RATE))
    behind = min(frames, round((end + rule.pad) * FRAME_RATE))
    return (first, behind) if rule.shortest <= (behind - first) / FRAME_RATE <= rule.longest else None


def _share(piece: Range, speech: Sequence[tuple[float, float]]) -> float:
    first, end = piece[0] / FRAME_RATE, piece[1] / FRAME_RATE
    return sum(max(0.0, min(end, b) - max(first, a)) for a, b in speech) / (end - first)


def square(seen: Seen, piece: Range, rule: CutRule) -> tuple[int, int, int, int] | str:
    """x1, y1, x2, y2 of the one square that a piece is cut to, in whole pixels inside the picture; or why none is.

    Its centre is the median of the faces' centres, its side ``enlarge`` times the median of their larger sides, or what
    the picture has, ``least_enlarge`` times at least; it is moved, never padded, to fit. Every face of the piece must
    lie in it.
    """
    looks = range(-(-piece[0] // rule.look), -(-piece[1] // rule.look))
    boxes = np.concatenate([seen.boxes[index] for index in looks])
    face = float(np.median(np.max(boxes[:, 2:] - boxes[:, :2], axis=1)))
    side = round(rule.enlarge * face)
    if rule.least_enlarge < rule.enlarge:
        side = max(min(side, seen.width, seen.height), round(rule.least_enlarge * face))
    if side > min(seen.width, seen.height):
        return "the picture ends too close to the face"
    centre = np.median((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0)
    return _inside(centre, side, boxes, seen)


def given_square(
    box: tuple[float, float, float, float], box_height: int | None, seen: Seen, piece: Range, rule: CutRule
) -> tuple[int, int, int, int] | str:
    """As ``square``, from the set's own x, y, width and height in pixels of pictures ``box_height`` high."""
    scale = seen.height / (box_height or seen.height)
    x, y, width, height = (value * scale for value in box)
    looks = range(-(-piece[0] // rule.look), -(-piece[1] // rule.look))
    boxes = np.concatenate([seen.boxes[index] for index in looks])
    side = min(round(max(width, height)), seen.width, seen.height)
    return _inside(np.array([x + width / 2, y + height / 2]), side, boxes, seen)


def _inside(centre: np.ndarray, side: int, boxes: np.ndarray, seen: Seen) -> tuple[int, int, int, int] | str:
    left = int(np.clip(round(float(centre[0]) - side / 2), 0, seen.width - side))
    top = int(np.clip(round(float(centre[1]) - side / 2), 0, seen.height - side))
    inside = np.clip(boxes, [0, 0, 0, 0], [seen.width, seen.height] * 2)
    low, high = inside[:, :2].min(axis=0), inside[:, 2:].max(axis=0)
    if low[0] < left or low[1] < top or high[0] > left + side or high[1] > top + side:
        return "the face leaves its square"
    return left, top, left + side, top + side
