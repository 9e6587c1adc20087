"""How a run's clips came about, as their records say: by which system, prompted by whom, and what it did not follow.

A run keeps this for itself, for its clips and their records may be elsewhere when somebody reads its numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from t2av_bench.systems.external import attestations

_DIGITS = 8
# What says again what drives the clip, or what the task's result does not show: nobody expects a system to take it.
_BESIDE_THE_TASK = {
    "a2v": frozenset({"text", "language", "voice", "voice_text", "target_seconds"}),
    "v2a": frozenset({"target_seconds"}), "tts": frozenset({"identity"}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """What readers of a row should know of its clips.

    system: its id. digests: of a system of other people's, ``spec`` and ``shim`` with their sha256. template: of the
    prompt that this program wrote, empty where it wrote none. only_in_words, ignored: fields of the request that the
    system got as words of the prompt, or not at all. length: whose length it was told (``reference``, ``estimate``).
    caveat: what ``attestations`` had to say of these digests when the clips were scored; empty where nothing.
    """

    system: str
    digests: tuple[tuple[str, str], ...] = ()
    template: str = ""
    only_in_words: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    length: str = ""
    caveat: str = ""

    @property
    def version(self) -> str:
        """The system with a short digest of its specification and shim: two that differ are two systems."""
        if not self.digests:
            return self.system
        return f"{self.system} {sha256(repr(sorted(self.digests)).encode()).hexdigest()[:_DIGITS]}"

    @property
    def warning(self) -> str:
        """``caveat`` as of today: somebody may have attested these digests since."""
        today = attestations.caveat(self.system, dict(self.digests)) if self.caveat else ""
        return self.caveat if today == attestations.NEVER_RUN else today


def of_record(record: Any) -> tuple[Origin, ...]:
    """What a clip's record says, of a cascade also those of its stages; empty where a reader has to know nothing."""
    if not isinstance(record, Mapping):
        return ()
    stages = record.get("stages")
    parts = stages.values() if isinstance(stages, Mapping) else ()
    return tuple(filter(None, (_own(record), *(_own(each) for each in parts if isinstance(each, Mapping)))))


def _own(record: Mapping[str, Any]) -> Origin | None:
    external = record.get("external")
    found = Origin(
        _text(record.get("system")), template=_text(record.get("template")), length=_text(record.get("told_length"))
    )
    if isinstance(external, Mapping):
        digests = {name: _text(external.get(f"{name}_sha256")) for name in ("spec", "shim")}
        digests = {name: digest for name, digest in digests.items() if digest}
        of_task = _BESIDE_THE_TASK.get(_text(record.get("task")), frozenset())
        words, *not_at_all = (
            [name for name in _texts(external.get(key)) if name not in of_task]
            for key in ("only_in_words", "ignored", "no_input")
        )
        found = replace(
            found, digests=tuple(digests.items()), only_in_words=tuple(words), ignored=tuple(sum(not_at_all, [])),
            caveat=attestations.caveat(found.system, digests) if digests else "",
        )  # fmt: skip
    return None if found == Origin(found.system) else found


def as_document(origins: Mapping[str, Sequence[Origin]]) -> list[dict[str, Any]]:
    """Clip -> origins, as JSON that names each origin once."""
    by_origin: dict[Origin, list[str]] = {}
    for clip, mine in origins.items():
        for origin in mine:
            by_origin.setdefault(origin, []).append(clip)
    return [{**asdict(origin), "digests": dict(origin.digests), "clips": clips} for origin, clips in by_origin.items()]


def from_document(document: Iterable[Mapping[str, Any]] | None) -> dict[str, tuple[Origin, ...]]:
    """Clip -> origins; empty for runs of before there were any."""
    found: dict[str, tuple[Origin, ...]] = {}
    for entry in document or ():
        values: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in entry.items()}
        clips = values.pop("clips")
        origin = Origin(**{**values, "digests": tuple(values["digests"].items())})
        for clip in clips:
            found[clip] = (*found.get(clip, ()), origin)
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(filter(None, map(_text, value))) if isinstance(value, list) else ()
