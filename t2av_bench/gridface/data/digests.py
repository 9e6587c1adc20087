"""What GridFace's clips must be to the byte: digests of five layers, recorded in ``digests.toml`` and compared.

Each layer depends on more than the one before. ``items`` (the manifest) is arithmetic and must be equal everywhere;
``sound`` and ``motion`` depend on the synthesiser and a few numeric packages; ``pictures`` also on torch and the kind
of processor; ``files`` also on the encoders. Where these differ from the recorded ones, a different digest proves
nothing: such a layer is reported as not comparable, with what differs, and never as equal.
"""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from t2av_bench.gridface.data import corpus
from t2av_bench.gridface.data.build import BuildError, finished, manifest_text, sha256
from t2av_bench.gridface.data.corpus import NAME, VERSION, Utterance
from t2av_bench.utils.config import dump_toml
from t2av_bench.utils.files import write_text

TABLE = Path(__file__).with_name("digests.toml")
SUBSET = 8
"""Digests are recorded for whole splits and for this many first items, so that a check can be quick."""

_SOUND = ("machine", "espeakng-loader", "soxr")
_MOTION = ("machine", "espeakng-loader", "numpy", "scipy")
_PICTURES = (*_MOTION, "torch", "processor")
_DEPENDS = {
    "items": (),
    "sound": _SOUND,
    "motion": _MOTION,
    "pictures": _PICTURES,
    "files": tuple(dict.fromkeys((*_SOUND, *_PICTURES, "av", "pillow"))),
}
LAYERS = tuple(_DEPENDS)
_HEAD = """\
# What the embedded benchmark's clips are to the byte; see docs/embedded_benchmark.md.
# Made by: t2av-bench data build embedded --record FILE
"""


class State(StrEnum):
    """Outcome of comparing one layer."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True, slots=True)
class Digests:
    """layers: layer -> sha256; environment: what they were made with (see ``build.environment``)."""

    split: str
    count: int
    size: int
    layers: dict[str, str]
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One layer of one set of items, compared; ``reason`` says what a difference means."""

    split: str
    count: int
    layer: str
    state: State
    reason: str = ""


def measure(folder: Path, split: str, count: int, size: int) -> Digests:
    """Digests of the first ``count`` items of a split that was built in ``folder``. BuildError where one is missing."""
    utterances = corpus.utterances(split, count)
    records = [_record(folder, utterance, size) for utterance in utterances]
    environments = [record["environment"] for record in records]
    if any(environment != environments[0] for environment in environments):
        raise BuildError(
            f"items of {folder / split} were made on different kinds of processors: delete the folder and build again"
        )
    text = manifest_text(utterances)
    files = {f"manifest.jsonl {sha256(text.encode())}"}
    files |= {f"{name} {digest}" for record in records for name, digest in record["files"].items()}
    layers = {layer: _combined(record[layer] for record in records) for layer in ("sound", "motion", "pictures")}
    layers |= {"items": items_digest(utterances), "files": _combined(sorted(files))}
    return Digests(split, count, size, {layer: layers[layer] for layer in LAYERS}, environments[0])


def items_digest(utterances: Sequence[Utterance]) -> str:
    """Digest of everything decided before anything is made: also rate, pitch and seeds, which no manifest shows."""
    every = [made for utterance in utterances for made in (utterance, corpus.voice_sample(utterance))]
    return _combined([manifest_text(utterances), *(json.dumps(asdict(made), sort_keys=True) for made in every)])


def recorded(split: str, count: int, size: int, table: Path | None = None) -> Digests | None:
    """What ``digests.toml`` says of these items, or None."""
    content = read(table or TABLE)
    if content.get("version") != VERSION:
        return None
    for row in content.get("digest", ()):
        if (row["split"], row["count"], row["size"]) == (split, count, size):
            return Digests(split, count, size, {layer: row[layer] for layer in LAYERS}, content["environment"])
    return None


def compare(measured: Digests, expected: Digests) -> list[Finding]:
    """One finding a layer."""
    findings = []
    for layer, names in _DEPENDS.items():
        state, reason = State.SAME, ""
        if measured.layers[layer] != expected.layers[layer]:
            here, there = _with_machine(measured.environment), _with_machine(expected.environment)
            other = [f"{name} {there[name]} (here {here[name]})" for name in names if here[name] != there[name]]
            if other:
                state, reason = State.NOT_COMPARABLE, f"the recorded digest was made with {', '.join(other)}"
            else:
                state, reason = State.DIFFERENT, (
                    "the same versions on the same kind of processor made other bytes: this is not "
                    f"{NAME} version {VERSION}" if names else f"this is not {NAME} version {VERSION}"
                )  # fmt: skip
        findings.append(Finding(measured.split, measured.count, layer, state, reason))
    return findings


def verify(folder: Path, split: str, count: int, size: int, table: Path | None = None) -> list[Finding]:
    """Compare what is on disk with what is recorded: the whole split where it was built, and its first items.

    BuildError where nothing is recorded that these items could be compared with.
    """
    counts = [number for number in (SUBSET, corpus.SPLITS[split]) if number <= count]
    pairs = [(number, expected) for number in counts if (expected := recorded(split, number, size, table))]
    if not pairs:
        raise BuildError(
            f"no digest is recorded for {count} items of {split} at {size} pixels, {NAME} version {VERSION}: digests "
            f"cover the first {SUBSET} items and whole splits (--items {SUBSET}, or none)"
        )
    return [
        finding for number, expected in pairs for finding in compare(measure(folder, split, number, size), expected)
    ]


def write(digests: Sequence[Digests], table: Path) -> None:
    """Record digests, replacing those of the same items; what was made by other versions or processors goes.

    BuildError where the new ones do not share one environment.
    """
    environment = digests[0].environment
    if any(item.environment != environment for item in digests):
        raise BuildError("these digests were made by different versions or processors: build them together")
    rows = {(item.size, item.split, item.count): item.layers for item in digests}
    old = read(table)
    if old.get("version") == VERSION and old.get("environment") == environment:
        rows = {(row["size"], row["split"], row["count"]): row for row in old["digest"]} | rows
    order = list(corpus.SPLITS)
    keys = sorted(rows, key=lambda key: (key[0], order.index(key[1]), key[2]))
    digest = [
        {"split": split, "count": count, "size": size} | {layer: rows[size, split, count][layer] for layer in LAYERS}
        for size, split, count in keys
    ]
    content = {"version": VERSION, "environment": environment, "digest": digest}
    write_text(table, _HEAD + dump_toml(content))


def read(table: Path) -> dict[str, Any]:
    """The table as it stands; empty where there is none. BuildError where it is not TOML."""
    try:
        return tomllib.loads(table.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BuildError(f"cannot read the table of digests {table}: {error}") from error


def _record(folder: Path, utterance: Utterance, size: int) -> dict[str, Any]:
    record = finished(folder, utterance, size)
    if record is None:
        raise BuildError(
            f"{utterance.id} is missing or damaged in {folder / utterance.split}: t2av-bench data build embedded "
            f"--split {utterance.split}"
        )
    return record


def _combined(parts: Any) -> str:
    return sha256("\n".join(parts).encode())


def _with_machine(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"machine": environment["processor"].partition(" ")[0]}
