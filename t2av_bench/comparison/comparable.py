"""Whether two systems' scores may be compared at all: the same items asking for the same, by the same protocols."""

from collections.abc import Iterable, Sequence

from t2av_bench.metrics import registry
from t2av_bench.results.recorded import Recorded
from t2av_bench.scores import Protocol
from t2av_bench.statistics.samples import GROUP_KEYS, Grouping, grouping
from t2av_bench.utils.text import counted, escape, some

_STRICT = ("text", "language", "reference")
_WHERE_KNOWN = ("reference_voice", "identity_image")


class NotComparable(ValueError):
    """Scores that must not be compared; ``differences`` names each reason."""

    def __init__(self, differences: Sequence[str]) -> None:
        self.differences = tuple(differences)
        super().__init__("; ".join(self.differences))

    def as_dict(self) -> dict[str, object]:
        return {"comparable": False, "differences": list(self.differences)}

    def to_markdown(self) -> str:
        """A summary that says why nothing was compared."""
        return "### Not comparable\n\n" + "".join(f"- {escape(reason)}\n" for reason in self.differences)


def item_differences(first: Recorded, second: Recorded) -> list[str]:
    """How the items of two systems differ: other ids, or other texts, languages or files under one id."""
    found = []
    for one, other in ((first, second), (second, first)):
        if absent := sorted(one.items.keys() - other.items.keys()):
            found.append(f"{counted(len(absent), 'item')} of {one.path} not in {other.path}: {some(absent)}")
    common = sorted(first.items.keys() & second.items.keys())
    for part in (*_STRICT, *_WHERE_KNOWN):
        changed = [id for id in common if part in changed_parts(first, second, id)]
        if changed:
            name = part.replace("_", " ")
            found.append(f"{counted(len(changed), 'item')} with another {name} in {second.path}: {some(changed)}")
    return found


def changed_parts(first: Recorded, second: Recorded, item: str) -> list[str]:
    """What one item asks for differently in two systems. Files whose digest is not known on both sides agree."""
    one, other = first.items[item], second.items[item]
    found = [part for part in _STRICT if getattr(one, part) != getattr(other, part)]
    if "reference" in found and any(not each.generated and not each.reference for each in (one, other)):
        found.remove("reference")  # earlier versions kept no reference of an item whose clip was missing
    return found + [
        part for part in _WHERE_KNOWN
        if getattr(one, part) and getattr(other, part) and getattr(one, part) != getattr(other, part)
    ]  # fmt: skip


def shared_grouping(first: Recorded, second: Recorded) -> Grouping | None:
    """By what the clips of two systems belong together, as far as either of them knows."""
    named = {
        id: {key: getattr(item, key) or getattr(second.items.get(id), key, None) for key in GROUP_KEYS}
        for id, item in first.items.items()
    }
    return grouping(named)


def revision_problem(metric: str, first: Recorded, second: Recorded) -> str | None:
    """Why two systems' scores of one metric are not of the same protocol, and what to type; None where they are."""
    one, other = first.protocols[metric], second.protocols[metric]
    if one.fingerprint == other.fingerprint:
        return None
    text = (
        f"{metric} was measured by another protocol: {one.fingerprint} in {first.path}, {other.fingerprint} in "
        f"{second.path} ({one.difference(other)}); "
    )
    current = _installed(metric)
    older = [run for run in (first, second) if current and run.protocols[metric].parameters != current.parameters]
    if len(older) == 1:
        return text + f"{older[0].path} is of another revision than this t2av-bench: {_again(older[0])}"
    return text + "measure both alike, or save a new baseline"


def _again(run: Recorded) -> str:
    if run.command:
        return f"score it again with '{run.command}'"
    return (
        "score the baseline's clips again with 't2av-bench evaluate --generated FOLDER --out RUN', then "
        f"'t2av-bench baseline save RUN {run.path}'"
    )


def _installed(metric: str) -> Protocol | None:
    return registry.create(metric).protocol if metric in registry.targets else None


def choose(available: Iterable[tuple[str, str]], asked: Sequence[str] | None) -> list[tuple[str, str]]:
    """The (metric, quantity) keys that a user named, in their own order; all where none was named.

    Raises ValueError as of ``MetricRegistry.select``.
    """
    keys = list(available)
    chosen = registry.select(asked, keys) if asked else keys
    return [key for key in keys if key in chosen]
