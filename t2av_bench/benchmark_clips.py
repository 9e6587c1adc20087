"""Whether a clip is already there: its record says what it was made from, and what its files hold.

A system's record (``NAME.json``) gets two keys more: ``fingerprint``, of everything that can move the clip, and
``sha256``, of its files. A clip counts as made only where both fit, and where the record's ``weights`` (name -> sha256)
are those that a system would load today; every other one is made again.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from t2av_bench import systems, weights
from t2av_bench.files import write_text
from t2av_bench.media.clip import Clip
from t2av_bench.media.errors import MediaError
from t2av_bench.scores import NotApplicable
from t2av_bench.systems.base import GeneratedClip, GenerationFailed, Request
from t2av_bench.systems.output import names_of

_VERSION = 1
Digest = Callable[[Path], str | None]


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
                digest: Digest) -> str:  # fmt: skip
    """Identifies a clip by what it is made from, wherever the files lie. files: see ``option_digests``."""
    inputs = {
        name: digest(path) for name in ("identity", "voice", "driving_audio", "driving_video", "reference", "stranger")
        if (path := getattr(request, name)) is not None
    }  # fmt: skip
    document = {
        "version": _VERSION, "system": system, "options": options, "files": files, "id": request.id,
        "task": request.task, "text": request.text, "language": request.language, "voice_text": request.voice_text,
        "seed": request.seed, "max_seconds": request.max_seconds, "inputs": inputs,
    }  # fmt: skip
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=_by_name).encode()).hexdigest()


def _by_name(value: Any) -> str:
    """Files count by content, which stands in ``files``; moving one changes nothing."""
    return value.name if isinstance(value, Path) else str(value)


def option_digests(id: str, options: Mapping[str, Any], digest: Digest) -> dict[str, str | None]:
    """sha256 of what a system's id and options name: its weights, and files of your own.

    Options of parts count too: where an option names a system (``tts = "ID"``), so do those in ``tts_options``.
    """
    found: dict[str, str | None] = {weight: _weights_digest(weight) for weight in systems.system_class(id).weights}
    for name, value in options.items():
        if isinstance(value, Path):
            files = sorted(value.rglob("*")) if value.is_dir() else [value]
            found |= {f"{name}: {path.relative_to(value)}": digest(path) for path in files if path.is_file()}
        elif isinstance(value, str) and value in systems.system_ids():
            parts = option_digests(value, options.get(f"{name}_options", {}), digest)
            found |= {f"{name}: {part}": sha256 for part, sha256 in parts.items()}
    return found


def _weights_digest(id: str) -> str | None:
    try:
        return weights.digest(id)
    except (NotApplicable, weights.UnknownWeights):
        return None


@cache
def _digest_of_today(name: str) -> str | None:
    """sha256 of the weights or of the trained model in the box that a record calls ``name``; None: neither is there."""
    from t2av_bench.benchmarks.embedded import checkpoints

    try:
        return checkpoints.digest(name)
    except (checkpoints.UnknownCheckpoint, NotApplicable):
        return _weights_digest(name)


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


def is_made(request: Request, wanted: str) -> bool:
    """Whether the clip is there, whole, and made from what is wanted now."""
    try:
        record = json.loads(names_of(request).record.read_text(encoding="utf-8"))
        files = record["sha256"]
        return (
            record["fingerprint"] == wanted
            and request.out.name in files
            and _has_todays_models(record)
            and all(Clip(request.out.parent / name).digest == sha256 for name, sha256 in files.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MediaError, GenerationFailed):
        return False


def seal(request: Request, clip: GeneratedClip, made_from: str) -> None:
    """Add ``fingerprint`` and ``sha256`` to the record of a clip that was just made.

    Raises GenerationFailed where the system did not write what it was asked for.
    """
    names = names_of(request)
    files = [path for path in (names.video, names.audio) if path is not None and path.is_file()]
    if request.out not in files:
        raise GenerationFailed(f"the system reports a clip, but wrote no {request.out.name}")
    try:
        record = json.loads(clip.record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GenerationFailed(f"the system wrote no readable record: {error}") from error
    record |= {"fingerprint": made_from, "sha256": {path.name: Clip(path).digest for path in files}}
    write_text(names.record, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def discard(out: Path) -> None:
    """Remove what an earlier attempt left under a clip's name: no score may come from another clip."""
    for path in (out.with_suffix(".json"), out.with_suffix(".mp4"), out.with_suffix(".wav")):
        path.unlink(missing_ok=True)
