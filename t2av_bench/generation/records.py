"""Whether a clip is already there: its record says what it was made from, and what its files hold.

A system's record (``NAME.json``) gets three keys more: ``fingerprint``, of everything that is asked for; ``made_from``,
digests of the system's code and of the files that it reads, and the state of what it stands on; and ``sha256``, of the
clip's files. A clip counts as made only where all of them fit, and where the record's ``weights`` (name -> sha256) are
those that a system would load today; every other one is made again. Records of earlier versions have no ``made_from``:
such clips are kept, and count as made by what is there when they are first seen.
"""

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from t2av_bench import systems, weights
from t2av_bench.errors import MediaError, NotApplicable
from t2av_bench.generation.lengths import Length
from t2av_bench.generation.sources import Digest, code_digest, files_below, read_files
from t2av_bench.media.clip import Clip
from t2av_bench.systems.base import FILES, GeneratedClip, GenerationFailed, Request
from t2av_bench.systems.output import names_of, remove_native
from t2av_bench.utils.files import json_text, write_text
from t2av_bench.weights.table import UnknownWeights

_VERSION = 1
MadeFrom = Mapping[str, Mapping[str, str | None]]
"""``code``: system id -> digest of its code; ``files``: name -> sha256; ``state``: see ``System.state``."""


def digests() -> Digest:
    """A function from a file to its sha256 (None: it cannot be read) that reads every file once."""

    @cache
    def digest(path: Path) -> str | None:
        try:
            return Clip(path).digest
        except MediaError:
            return None

    return digest


def fingerprint(request: Request, system: str, options: Mapping[str, Any], files: Mapping[str, str | None],
                digest: Digest, stranger: bool = True, length: Length = "native") -> str:  # fmt: skip
    """Identifies a clip by what it is made from, wherever the files lie. options: as of ``counted``; files: see
    ``option_digests``.

    stranger: whether the stranger's clip counts. It is another one where items stand in another order, so for systems
    that do not need it it must not. length: of a reference, whose content tells how long it is.
    """
    inputs = {
        name: digest(path) for name in FILES
        if (path := getattr(request, name)) is not None and (stranger or name != "stranger")
    }  # fmt: skip
    document = {
        "version": _VERSION, "system": system, "options": options, "files": files, "id": request.id,
        "task": request.task, "text": request.text, "language": request.language, "voice_text": request.voice_text,
        "seed": request.seed, "max_seconds": request.max_seconds, "inputs": inputs,
    }  # fmt: skip
    # Only where they are set, for the clips of before there were any. The length of what drives is its content's.
    told: dict[str, Any] = {"scene": request.scene, "voice_description": request.voice_description}
    if request.driving_audio is None and request.driving_video is None:
        told["target_seconds"] = request.target_seconds
    if length == "reference":
        told["length"] = length
    document |= {name: value for name, value in told.items() if value is not None}
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=_by_name).encode()).hexdigest()


def _by_name(value: Any) -> str:
    """Files count by content, which stands in ``files``; moving one changes nothing."""
    return value.name if isinstance(value, Path) else str(value)


def counted(id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that move the clips: without those that say where a system, or a part that one names, is."""
    places = systems.system_class(id).places
    found = {name: value for name, value in options.items() if name not in places}
    for name, part in _parts(id, options):
        if f"{name}_options" in found:
            found[f"{name}_options"] = counted(part, found[f"{name}_options"])
    return found


def _parts(id: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Options whose value, given or by default, is another system's id (a variant may be called like its system)."""
    parameters = inspect.signature(systems.system_class(id).load).parameters
    for name, value in ({name: each.default for name, each in parameters.items()} | dict(options)).items():
        if isinstance(value, str) and value in systems.registry and systems.registry.find(value) != id:
            yield name, value


def option_digests(id: str, options: Mapping[str, Any], digest: Digest) -> dict[str, str | None]:
    """sha256 of what a system's id and options (as of ``counted``) name: its weights, and files of your own.

    Options of parts count too: where an option names a system (``tts = "ID"``), so do those in ``tts_options``.
    """
    found: dict[str, str | None] = {weight: _weights_digest(weight) for weight in systems.system_class(id).weights}
    for name, value in options.items():
        if isinstance(value, Path):
            found |= {f"{name}: {path.relative_to(value)}": digest(path) for path in files_below(value)}
        elif isinstance(value, str) and value in systems.registry:
            parts = option_digests(value, options.get(f"{name}_options", {}), digest)
            found |= {f"{name}: {part}": sha256 for part, sha256 in parts.items()}
    return found


def made_from(id: str, options: Mapping[str, Any], digest: Digest) -> dict[str, dict[str, str | None]]:
    """See ``MadeFrom``; of the systems that options name as parts too."""
    kind = systems.system_class(id)
    found: dict[str, dict[str, str | None]] = {
        "code": {id: code_digest(kind)}, "files": read_files(kind, counted(id, options), digest),
        "state": dict(kind.state(**options)),
    }  # fmt: skip
    for name, id_of_part in _parts(id, options):
        part = made_from(id_of_part, options.get(f"{name}_options", {}), digest)
        found["code"] |= part["code"]
        for what in ("files", "state"):
            found[what] |= {f"{id_of_part}: {each}": value for each, value in part[what].items()}
    return found


def _weights_digest(id: str) -> str | None:
    try:
        return weights.digest(id)
    except (NotApplicable, UnknownWeights):
        return None


# For the many records of one run: weights that are asked for may come while a program runs.
_digest_of_today = cache(_weights_digest)


def _has_todays_models(record: Any) -> bool:
    """Whether what a record, or a record inside of it, calls ``weights`` are those that a system would load now."""
    if isinstance(record, dict):
        held = record.get("weights")
        if isinstance(held, dict):
            for name, sha256 in held.items():
                today = _digest_of_today(name)
                if today is not None and sha256 is not None and today != sha256:
                    return False
        return all(_has_todays_models(value) for value in record.values())
    return True


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a clip can stay. reason: why it cannot ("" where there is none); None: it can.

    unmarked: it stays, and its record does not say yet what code it was made by.
    """

    reason: str | None
    unmarked: bool = False


def standing(request: Request, wanted: str, source: MadeFrom, earlier: str | None = None) -> Standing:
    """Whether the clip is there, whole, and made from what is wanted now.

    wanted: its fingerprint; earlier: as earlier versions computed it, for records without ``made_from``.
    """
    if not request.out.is_file():
        return Standing("")
    try:
        record = json.loads(names_of(request).record.read_text(encoding="utf-8"))
        files, held = record["sha256"], record.get("made_from")
        if record["fingerprint"] != wanted and (held is not None or record["fingerprint"] != earlier):
            return Standing("the text, an option, the seed or a file that they are made from has changed")
        if request.out.name not in files or not all(
            Clip(request.out.parent / name).digest == sha256 for name, sha256 in files.items()
        ):
            return Standing("their files are not those that were made")
        if not _has_todays_models(record):
            return Standing("a model that they were made with has changed")
        changed = None if held is None else _changed(held, source)
        return Standing(changed, unmarked=held is None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MediaError, GenerationFailed):
        return Standing("their records or files are missing or damaged")


def _changed(held: MadeFrom, source: MadeFrom) -> str | None:
    for id, sha256 in source["code"].items():
        if held["code"].get(id) != sha256:
            return f"the code of the system {id} has changed"
    for name in sorted(held["files"].keys() | source["files"].keys()):
        if held["files"].get(name) != source["files"].get(name):
            return f"a file that the system reads has changed ({name})"
    earlier = held.get("state", {})
    for name, value in source["state"].items():
        if earlier.get(name) not in (None, value):
            return f"what the system stands on has changed ({name})"
    return None


def mark(request: Request, wanted: str, source: MadeFrom) -> None:
    """Have the record of a clip that stays say that today's code made it, so that later changes are noticed."""
    record = names_of(request).record
    document = json.loads(record.read_text(encoding="utf-8")) | {"fingerprint": wanted, "made_from": source}
    write_text(record, json_text(document, indent=1) + "\n")


def finalize_record(
    request: Request, clip: GeneratedClip, wanted: str, source: MadeFrom, length: Length = "native"
) -> None:
    """Add ``fingerprint``, ``made_from`` and ``sha256`` to the record of a clip that was just made.

    And ``told_length``, where the system was told one that no task gives.
    Raises GenerationFailed where the system did not write what it was asked for.
    """
    names = names_of(request)
    files = [path for path in names.media if path.is_file()]
    if request.out not in files:
        raise GenerationFailed(f"the system reports a clip, but wrote no {request.out.name}")
    try:
        record = json.loads(clip.record.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise GenerationFailed(f"the system wrote no readable record: {error}") from error
    if not isinstance(record, dict):
        raise GenerationFailed(f"the system's record holds {type(record).__name__}, expected an object")
    record |= {"fingerprint": wanted, "made_from": source, "sha256": {path.name: Clip(path).digest for path in files}}
    record |= {"told_length": length} if length != "native" else {}
    write_text(names.record, json_text(record, indent=1) + "\n")


def remove_clip(out: Path) -> None:
    """Remove what an earlier attempt left under a clip's name: no score may come from another clip."""
    for path in (out.with_suffix(".json"), out.with_suffix(".mp4"), out.with_suffix(".wav")):
        path.unlink(missing_ok=True)
    remove_native(out)
