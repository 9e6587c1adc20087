"""Which items a benchmark has: a draw by hash rank. Pure; no random number, no order of files, no clock.

The rank of an item is the SHA-256 of the list's name and the item's id. Items are gone through by rank, and one is
taken if its bin is not full, its speaker has fewer items than allowed, and its clip has none. So an item that comes or
goes moves only those that it competes with: one that is not taken changes nothing, and one that is taken leaves alone
what the same round took before it.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    id: str
    speaker: str
    clip: str
    bin: str


def rank(name: str, id: str) -> str:
    """name: of the list, ``en-200/v1/``: SHA-256 of ``t2av-bench/en-200/v1/ITEM``, in hexadecimal."""
    return hashlib.sha256(f"t2av-bench/{name}{id}".encode()).hexdigest()


def draw(
    candidates: Iterable[Candidate], name: str, bins: Mapping[str, int], per_speaker: Sequence[int]
) -> tuple[list[str], dict[str, str]]:
    """Ids that are taken, in the order of their rank, and of the others why not.

    bins: bin -> how many; a candidate of another bin is a ValueError. per_speaker: the largest number of items of one
    speaker; a later entry is for another round through those that are left, where bins are not full.
    """
    ranked = sorted(candidates, key=lambda each: rank(name, each.id))
    if len({each.id for each in ranked}) < len(ranked):
        raise ValueError("two candidates have one id")
    if unknown := sorted({each.bin for each in ranked} - bins.keys()):
        raise ValueError(f"there is no share for {', '.join(map(repr, unknown))}; there are {', '.join(bins)}")
    taken: dict[str, Candidate] = {}
    filled: Counter[str] = Counter()
    speakers: Counter[str] = Counter()
    clips: set[str] = set()
    reasons: dict[str, str] = {}
    for most in per_speaker:
        for each in ranked:
            if each.id in taken:
                continue
            if each.clip in clips:
                reasons[each.id] = "not drawn: its clip has an item"
            elif speakers[each.speaker] >= most:
                reasons[each.id] = "not drawn: its speaker has enough items"
            elif filled[each.bin] >= bins[each.bin]:
                reasons[each.id] = "not drawn: there are enough of its kind"
            else:
                taken[each.id] = each
                reasons.pop(each.id, None)
                filled[each.bin] += 1
                speakers[each.speaker] += 1
                clips.add(each.clip)
    order = [each.id for each in ranked if each.id in taken]
    return order, reasons
