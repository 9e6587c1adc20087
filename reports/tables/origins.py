"""What stands below a table of a row's system: which version, who prompted, what it did not follow, who ever ran it."""

from collections import Counter
from collections.abc import Iterable, Sequence

from t2av_bench.results.origins import Origin
from t2av_bench.results.run import RunResult
from t2av_bench.systems.external.attestations import NEVER_RUN

_FIELDS = {
    "text": "spoken text", "identity": "identity image", "voice": "reference voice",
    "voice_text": "words of the reference voice", "driving_audio": "driving audio", "driving_video": "driving video",
    "target_seconds": "length", "voice_description": "description of the voice",
}  # fmt: skip


def origin_note(runs: Sequence[RunResult]) -> str:
    """What readers of a row of these runs should know of its clips; empty where there is nothing.

    What holds for some of the clips alone says for how many.
    """
    mine = [origins for run in runs for origins in run.origins.values()]
    there = sum(not row.get("reason") for run in runs for row in run.rows.values())
    counts: Counter[str] = Counter()
    for part in _PARTS:
        for origins in mine:
            systems = {origin.system for origin in origins}
            # Of a cascade it has to be said which of its systems is meant, where the words do not.
            counts.update(f"{origin.system}: {text}" if len(systems) > 1 and part not in _NAMED else text
                          for origin in origins for text in part(origin))  # fmt: skip
    return "; ".join(text if count == there else f"{text} ({count} of {there} clips)" for text, count in counts.items())


def versions(runs: Iterable[RunResult]) -> dict[str, set[str]]:
    """System of other people's -> its versions among the clips of some runs."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for origin in (each for origins in run.origins.values() for each in origins):
            if origin.digests:
                found.setdefault(origin.system, set()).add(origin.version)
    return found


def _made_by(origin: Origin) -> Iterable[str]:
    return [f"made by {origin.version}"] if origin.digests else []


def _prompted(origin: Origin) -> Iterable[str]:
    return [f"prompted by t2av-bench (template {origin.template})"] if origin.template else []


def _warned(origin: Origin) -> Iterable[str]:
    if warning := origin.warning:
        yield f"{warning} by anybody" if warning == NEVER_RUN else warning


def _in_words(origin: Origin) -> Iterable[str]:
    return [f"{_named(origin.only_in_words)} only in words of the prompt"] if origin.only_in_words else []


def _ignored(origin: Origin) -> Iterable[str]:
    return [f"{_named(origin.ignored)} ignored"] if origin.ignored else []


def _told(origin: Origin) -> Iterable[str]:
    return ["told the length of the reference"] if origin.length == "reference" else []


_NAMED = (_made_by, _prompted)
_PARTS = (_made_by, _prompted, _warned, _in_words, _ignored, _told)


def _named(fields: Iterable[str]) -> str:
    return ", ".join(_FIELDS.get(name, name.replace("_", " ")) for name in fields)
