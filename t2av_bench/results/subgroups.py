"""The items of runs by what they say of themselves: any key of their manifest breaks a table down."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t2av_bench.benchmarks.manifest import PATHS
from t2av_bench.results.run import RunResult
from t2av_bench.utils.text import some

ALL, NOT_STATED = "all", "not stated"

# What an item is or asks for; everything else that a manifest says is a label.
_CONTENT = {
    "id", "text", "generated", "scene", "voice_description", "reference_voice_text", "withdrawn", *PATHS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subgroup:
    """Some of the items. label: the value of the key that they share.

    clips: of each run, its clips among them, in the run's order.
    """

    label: str
    clips: tuple[tuple[str, ...], ...]


def keys(runs: Sequence[RunResult]) -> list[str]:
    """The keys by which the runs' items can be grouped, see ``stated_keys``."""
    return stated_keys(row["item"] for run in runs for row in run.rows.values())


def stated_keys(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """The labels (not contents) that some item has a value for, in order of names."""
    return sorted({key for item in items for key in item if key not in _CONTENT and list(values_of(item, key))})


def subgroups(runs: Sequence[RunResult], key: str) -> list[Subgroup]:
    """All items, then a group for each value of a key in order of appearance, then the items that state none.

    An item with several values (``tags``) is in the group of each. A label that is taken stands in quotes. Raises
    ValueError for a key that no item states; the message names those that there are.
    """
    known = keys(runs)
    if key not in known:
        there = f"they state {', '.join(known)}" if known else "they state nothing that could group them"
        raise ValueError(
            f"no item of {some(run.name for run in runs)} states {key!r}; {there}. Keys come from the manifest's items "
            "(--manifest): state it there and repeat the evaluation, which measures nothing again"
        )
    found: dict[str | None, list[list[str]]] = {}
    for position, run in enumerate(runs):
        for clip, row in run.rows.items():
            values: list[str | None] = [*dict.fromkeys(values_of(row["item"], key))]
            for value in values or [None]:
                found.setdefault(value, [[] for _ in runs])[position].append(clip)
    rest = found.pop(None, None)
    groups = [
        Subgroup(f"'{value}'" if value in (ALL, NOT_STATED) else str(value), _frozen(clips))
        for value, clips in found.items()
    ]  # fmt: skip
    groups.insert(0, Subgroup(ALL, tuple(tuple(run.clips) for run in runs)))
    return groups + ([Subgroup(NOT_STATED, _frozen(rest))] if rest else [])


def several(runs: Sequence[RunResult], key: str) -> bool:
    """Whether some item has more than one value of a key."""
    return any(len(set(values_of(row["item"], key))) > 1 for run in runs for row in run.rows.values())


def _frozen(clips: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, clips))


def values_of(item: Mapping[str, Any], key: str) -> Iterator[str]:
    """What an item states, as text: nothing, one value, or those of a list."""
    given = item.get(key)
    for value in given if isinstance(given, list | tuple) else [given]:
        if isinstance(value, str):
            if text := " ".join(value.split()):
                yield text
        elif value is not None:
            yield json.dumps(value, ensure_ascii=False, sort_keys=True)
