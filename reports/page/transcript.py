"""What was asked for against what was heard, word by word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["hit", "substitution", "deletion", "insertion"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an alignment. asked: absent for an insertion; heard: absent for a deletion."""

    kind: Kind
    asked: str = ""
    heard: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """One recogniser's transcript against the text. joiner: between words, empty for characters."""

    metric: str
    steps: tuple[Step, ...]
    joiner: str
    flags: tuple[str, ...]


def transcripts(metric: str, detail: Mapping[str, Any], *, by_character: bool = False) -> list[Transcript]:
    """The transcript that a measurement's detail holds (``transcript``, ``reference``, ``hypothesis``); often none."""
    parts = [detail.get(key) for key in ("transcript", "reference", "hypothesis")]
    if not all(isinstance(part, str) for part in parts):
        return []
    _, reference, hypothesis = (str(part) for part in parts)
    words = list if by_character else str.split
    flags = tuple(str(flag) for flag in detail.get("flags") or ())
    return [Transcript(metric, align(words(reference), words(hypothesis)), "" if by_character else " ", flags)]


def align(asked: Sequence[str], heard: Sequence[str]) -> tuple[Step, ...]:
    """A cheapest alignment (Levenshtein): as few substitutions, deletions and insertions together as there can be."""
    start = 0
    while start < min(len(asked), len(heard)) and asked[start] == heard[start]:
        start += 1
    end = 0
    while end < min(len(asked), len(heard)) - start and asked[-1 - end] == heard[-1 - end]:
        end += 1
    a, h = asked[start : len(asked) - end], heard[start : len(heard) - end]
    costs = [list(range(len(h) + 1))]
    for i, word in enumerate(a, start=1):
        above, row = costs[-1], [i]
        for j, other in enumerate(h, start=1):
            row.append(min(above[j - 1] + (word != other), above[j] + 1, row[j - 1] + 1))
        costs.append(row)
    middle: list[Step] = []
    i, j = len(a), len(h)
    while i or j:
        if i and j and costs[i][j] == costs[i - 1][j - 1] + (a[i - 1] != h[j - 1]):
            i, j = i - 1, j - 1
            middle.append(Step("hit" if a[i] == h[j] else "substitution", a[i], h[j]))
        elif i and costs[i][j] == costs[i - 1][j] + 1:
            i -= 1
            middle.append(Step("deletion", asked=a[i]))
        else:
            j -= 1
            middle.append(Step("insertion", heard=h[j]))
    same = [Step("hit", word, word) for word in asked]
    return (*same[:start], *reversed(middle), *same[len(asked) - end :])
