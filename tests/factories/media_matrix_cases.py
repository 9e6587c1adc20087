"""Which files the media matrix holds: a covering array of all compatible pairs of factor levels, and some by hand."""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from heapq import heapreplace
from itertools import combinations, product

from media_matrix_factory import Case

# What the muxers write and other software reads; webm's list is its specification.
VIDEO = {
    "mp4": ("h264", "h264 B", "h265", "vp9", "mpeg4", "mjpeg"),
    "mov": ("h264", "h264 B", "h265", "mpeg4", "mjpeg", "prores"),
    "mkv": ("h264", "h264 B", "h265", "vp9", "mpeg4", "mjpeg", "prores"),
    "webm": ("vp9",),
    "avi": ("h264", "h264 B", "mpeg4", "mjpeg", "vp9"),
    "ts": ("h264", "h264 B", "h265", "mpeg4"),
    "flv": ("h264", "h264 B"),
    "3gp": ("h264", "h264 B", "mpeg4"),
}
AUDIO = {
    "mp4": ("aac", "mp3", "opus", "vorbis", "ac3", "flac", "pcm"),
    "mov": ("aac", "mp3", "ac3", "pcm"),
    "mkv": ("aac", "mp3", "opus", "vorbis", "ac3", "flac", "pcm"),
    "webm": ("opus", "vorbis"),
    "avi": ("aac", "mp3", "ac3", "wma", "pcm"),
    "ts": ("aac", "mp3", "opus", "ac3"),
    "flv": ("aac", "mp3", "pcm"),
    "3gp": ("aac", "amr"),
}
_EVERYWHERE = ("video first", "sound first")
LAYOUTS = {
    "mp4": (*_EVERYWHERE, "second video", "second sound", "cover", "time code"),
    "mov": (*_EVERYWHERE, "second video", "second sound", "time code"),
    "mkv": (*_EVERYWHERE, "second video", "second sound", "cover", "attachment"),
    "webm": (*_EVERYWHERE, "second video", "second sound"),
    "avi": (*_EVERYWHERE, "second video", "second sound"),
    "ts": (*_EVERYWHERE, "second video", "second sound"),
    "flv": _EVERYWHERE,
    "3gp": (*_EVERYWHERE, "second video", "second sound"),
}
_PLAIN = ("together", "early", "longer", "shorter")
# AVI has no stamps: its sound cannot begin late (PyAV's writer leaves dwStart at 0), and nothing in it can be shifted.
TIMINGS = {
    "mp4": (*_PLAIN, "late", "edit list"),
    "mov": (*_PLAIN, "late", "edit list"),
    "3gp": (*_PLAIN, "late", "edit list"),
    "mkv": (*_PLAIN, "late", "shifted"),
    "webm": (*_PLAIN, "late", "shifted"),
    "ts": (*_PLAIN, "late", "shifted"),
    "flv": (*_PLAIN, "late", "shifted"),
    "avi": _PLAIN,
}
# Rates by class: pairs are covered by class, and each class goes through its rates in turn.
RATES: dict[str, tuple[Fraction | None, ...]] = {
    "25": (Fraction(25),),
    "slower": (Fraction(24), Fraction(12), Fraction(24000, 1001), Fraction(15)),
    "faster": (
        Fraction(30), Fraction(60), Fraction(50), Fraction(30000, 1001), Fraction(120), Fraction(48),
        Fraction(60000, 1001),
    ),
    "variable": (None,),
}  # fmt: skip
ALL_RATES = [rate for rates in RATES.values() for rate in rates]

_Row = tuple[str, ...]


def all_rows() -> Iterator[_Row]:
    """Every compatible (container, video, audio, layout, timing, class of rate)."""
    for container in VIDEO:
        rows = product((container,), VIDEO[container], AUDIO[container], LAYOUTS[container], TIMINGS[container], RATES)
        yield from (row for row in rows if _is_stated(row))


def _is_stated(row: _Row) -> bool:
    """Whether the file says when all of it is shown and heard."""
    container, video, audio, _, timing, rate = row
    if container == "avi" and video.endswith("B") and rate == "variable":
        return False  # its slots are times of decoding: which picture stood how long is lost
    # libavformat cuts Vorbis at an edit list by whole blocks, up to 21 ms beside it.
    return not (audio == "vorbis" and timing == "edit list")


@cache
def covering_rows() -> list[_Row]:
    """Few rows in which every pair of compatible levels stands together (greedy; the same list every time)."""
    rows = list(all_rows())
    pairs = [frozenset(combinations(enumerate(row), 2)) for row in rows]
    missing = set().union(*pairs)
    # What a row would add only becomes less: what was counted last is a bound, and few rows are counted anew.
    queue = [(-len(own), index) for index, own in enumerate(pairs)]
    chosen = []
    while missing:
        bound, best = queue[0]
        new = pairs[best] & missing
        if len(new) == -bound:
            chosen.append(rows[best])
            missing -= new
        heapreplace(queue, (-len(pairs[best] & missing), best))
    return chosen


def matrix() -> list[Case]:
    """The files of the matrix."""
    turns = {name: 0 for name in RATES}
    cases = []
    for container, video, audio, layout, timing, rate_class in covering_rows():
        rates = RATES[rate_class]
        rate = rates[turns[rate_class] % len(rates)]
        turns[rate_class] += 1
        cases.append(Case(container, video, audio, rate, layout, timing))
    return cases + extra_cases()


def extra_cases() -> list[Case]:
    """What no pair names: every rate in one container, lost and unordered stamps, pictures alone."""
    cases = [Case("mp4", "h264 B", "aac", rate) for rate in ALL_RATES]
    cases += [Case("mkv", "h264 B", audio, timing="no first stamps") for audio in ("aac", "opus", "pcm")]
    cases += [Case("mkv", "h264", "aac", Fraction(30), timing="no first stamps")]
    cases += [Case("avi", "mpeg4 B", "mp3"), Case("avi", "mpeg4 B", "pcm", Fraction(30))]
    cases += [
        Case("mp4", "h264 B", "aac", timing="edit list in a picture"),
        Case("mov", "h264", "pcm", Fraction(30), "sound first", "edit list in a picture"),
    ]
    cases += [Case("ts", "h264 B", "aac", timing="wrapped"), Case("ts", "h265", "ac3", Fraction(50), timing="wrapped")]
    cases += [Case("mp4", "h264 B", "aac", layout="fragments"), Case("mov", "h265", "pcm", None, layout="fragments")]
    # Containers that are rare today.
    cases += [
        Case("wmv", "mpeg4", "wma", layout="second video", timing="shorter"),
        Case("wmv", "mpeg4", "aac", timing="early"),
        Case("wmv", "mpeg4", "mp3", None, "sound first", "late"),
        Case("wmv", "mpeg4", "wma", Fraction(30), timing="shifted"),
        Case("mpg", "mpeg2 B", "mp2"),
        Case("mpg", "mpeg2 B", "ac3", Fraction(30000, 1001), timing="late"),
        Case("m2ts", "h264 B", "ac3", timing="early"),
        Case("nut", "h264 B", "vorbis", None, timing="early"),
        Case("mxf", "mpeg2 B", "pcm48"),
        Case("ogv", "vp8", "opus", Fraction(30)),
    ]
    cases += [Case("gif", "gif", None, rate) for rate in (Fraction(25), Fraction(10), Fraction(50))]
    return cases
