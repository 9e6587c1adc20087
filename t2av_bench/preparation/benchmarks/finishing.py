"""The texts of a prepared folder: items, what the benchmark is, the list to publish, what became of each clip."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from t2av_bench.benchmarks.info import INFO, BenchmarkInfo, Prepared, info_text, read_info
from t2av_bench.benchmarks.prepared import ITEMS, list_file, write_digests
from t2av_bench.errors import ItemError
from t2av_bench.metrics.tempo import characters
from t2av_bench.preparation.benchmarks.choosing import Kept
from t2av_bench.preparation.benchmarks.lists import ListedItem, PublishedList, list_text, text_digest
from t2av_bench.preparation.benchmarks.recipe import Recipe
from t2av_bench.preparation.benchmarks.stages import Row, write_lines
from t2av_bench.preparation.benchmarks.writing import MEDIA
from t2av_bench.scores import library_versions
from t2av_bench.utils.config import ConfigError
from t2av_bench.utils.files import write_text

ROWS, DETECTOR = "prepare.jsonl", "detector"
_LIBRARIES = ("av", "numpy", "opencv-contrib-python", "pillow", "scenedetect", "soxr", "transformers")


def made_by(folder: Path) -> tuple[str, dict[str, str]] | None:
    """Recipe and its options of a prepared folder; None where nothing is prepared yet. ItemError for another's file."""
    if not (folder / INFO).is_file():
        return None
    try:
        made = read_info(folder).prepared
    except ConfigError as error:
        raise ItemError(f"{error}: this folder is of something else, or of another version of this program; choose "
                        f"another folder (--out), or remove {folder / INFO}") from error  # fmt: skip
    return None if made is None else (made.recipe, {key: each for key, each in made.options.items() if key != DETECTOR})


def item_row(item: ListedItem, kept: Kept, row: Row, recipe: Recipe, recognisers: Sequence[str]) -> dict[str, Any]:
    """A line of ``items.jsonl``: keys of ``benchmarks.manifest.Item``, and metadata."""
    clip, info = kept.clip, recipe.info
    found: dict[str, Any] = {
        "id": item.id, "text": kept.words, "language": _language(clip.language, info), **row["files"],
        "reference_voice_text": clip.voice_text, "scene": clip.scene, "voice_description": clip.voice_description,
        "speaker": None if recipe.one_speaker else kept.speaker, "video": kept.video, "dataset": clip.source,
        "tags": list(clip.tags), "licence": info.licence.id, "figures_max": info.licence.figures_max, **clip.extra,
    }  # fmt: skip
    if recipe.outputs:
        found["generated"] = found.pop("reference")
    if kept.heard:
        found["text_source"] = {
            "kind": "recognised", "heard": dict(zip(recognisers, kept.heard, strict=True)),
            "agreement": kept.agreement,
        }  # fmt: skip
    if item.relation is not None:
        found["voice_relation"] = item.relation
    return {key: value for key, value in found.items() if value not in (None, [])}


def _language(own: str | None, info: BenchmarkInfo) -> str | None:
    """Of a clip; a benchmark of several languages says it of each clip, or it is not known."""
    return own or (info.languages[0] if len(info.languages) == 1 else None)


def write_folder(
    folder: Path, recipe: Recipe, told: Mapping[str, Kept], probed: Mapping[str, Row], chosen: Sequence[ListedItem],
    rows: Mapping[str, Row], recognisers: Sequence[str], options: Mapping[str, str], clips: Sequence[str],
    reasons: Mapping[str, str], list_digest: str | None,
) -> dict[str, str]:  # fmt: skip
    """Write them; returns id -> reason of the chosen items that are missing.

    clips: ids of all source clips; reasons: of those without an item. rows: of the stage that wrote the items' files.
    A missing item stays a line, so that no list shrinks unseen: every system fails on it alike.
    """
    splits: dict[str, list[dict[str, Any]]] = {split: [] for split in recipe.info.splits}
    missing: dict[str, str] = {}
    listed: list[ListedItem] = []
    spoken: dict[str, list[tuple[int, float]]] = defaultdict(list)
    items_of: dict[str, list[str]] = defaultdict(list)
    for item in chosen:
        row, kept = rows.get(item.id), told.get(item.piece.id)
        if row is None or kept is None or "reason" in row:
            missing[item.id] = reasons.get(item.piece.clip, "its data are not there") if row is None else row["reason"]
            splits.setdefault(item.split, []).append({"id": item.id, "missing": missing[item.id]})
            listed.append(item)
            continue
        line = item_row(item, kept, row, recipe, recognisers)
        if item.voice is not None and told[item.voice.id].words:
            line["reference_voice_text"] = told[item.voice.id].words
        splits.setdefault(item.split, []).append(line)
        items_of[item.piece.clip].append(item.id)
        digests = {**row["digests"], **({"text": text_digest(kept.words)} if kept.words else {})}
        files = probed[item.piece.clip]["files"]
        listed.append(item.model_copy(update={
            "digests": digests, "source_sha256": files["path"]["sha256"] if "path" in files else None
        }))  # fmt: skip
        seconds = row["seconds"] or (files["path"]["seconds"] if "path" in files else None)
        if kept.words and seconds and "language" in line:
            spoken[line["language"]].append((characters(kept.words), seconds))
    for split, lines in splits.items():
        write_lines(folder / split / ITEMS, sorted(lines, key=lambda line: line["id"]))
        _remove_others(folder / split, lines)
    published = PublishedList(name=recipe.id, version=recipe.info.version, options=dict(recipe.options),
                              items=tuple(listed))  # fmt: skip
    write_text(folder / list_file(recipe.id), list_text(published))
    left_out = [id for id in clips if id not in items_of]
    write_lines(folder / ROWS, (
        {"clip": id, "items": items_of[id]} if id in items_of
        else {"clip": id, "items": [], "reason": reasons.get(id, "not drawn")} for id in clips
    ))  # fmt: skip
    info = recipe.info.model_copy(update={
        "splits": {split: len(lines) for split, lines in splits.items()},
        "rates": {
            language: round(sum(count for count, _ in each) / sum(seconds for _, seconds in each), 3)
            for language, each in sorted(spoken.items())
        },
        "prepared": Prepared(
            recipe=recipe.id, version=recipe.info.version, options={**recipe.options, **options},
            recognisers=tuple(recognisers), list=list_digest, left_out=len(left_out), missing=len(missing),
            libraries=library_versions(*_LIBRARIES),
        ),
    })  # fmt: skip
    write_text(folder / "LICENCE.md", licence_text(info))
    if info.licence.deletion is not None:
        write_text(folder / "DELETE.md", deletion_text(info))
    write_text(folder / INFO, info_text(info))
    write_digests(folder)
    return missing


def licence_text(info: BenchmarkInfo) -> str:
    """What whoever finds the folder must know."""
    licence = info.licence
    lines = [
        f"# {info.title}", "", f"Licence of the media: {licence.id} ({licence.terms})", "",
        "These files are made from data that somebody obtained under these terms. "
        + ("They may be handed on under them." if licence.redistribute else "They must not be handed on."),
    ]  # fmt: skip
    if licence.figures_max is not None:
        lines += ["", f"A publication may show {licence.figures_max} pictures or videos of them at most."]
    lines += ["", f"Consent: {licence.consent}", *(f"- {note}" for note in licence.notes)]
    return "\n".join(lines) + "\n"


def deletion_text(info: BenchmarkInfo) -> str:
    """What to do when the data must go, all or one person's."""
    name = info.name
    return "\n".join([
        f"# Deleting {info.title}", "", f"{info.licence.deletion}", "",
        "This folder is a cache of data that are lent, and is made again from them at any time.",
        "", "One clip, recording or person: write the ids, one a line, into a file, remove them from the data, and run",
        "", f"    t2av-bench data prepare {name} --source FOLDER --withdrawn FILE --out THIS_FOLDER", "",
        "It removes their pictures, sound, words and digests from here. Keep the file for later calls.", "",
        "Everything: remove the data, and this folder with its hidden part (.prepare).", "",
        "Either way, these hold copies or derivatives, too: out/items and the clips of experiments, the features of",
        "evaluated runs, and the media folders of reports and studies.",
    ]) + "\n"  # fmt: skip


def _remove_others(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Files of items that an earlier call had chosen. What else somebody laid into the folder stays."""
    kept = {folder / value for line in lines for value in line.values() if isinstance(value, str)}
    for path in (path for name in MEDIA for path in (folder / name).rglob("*")):
        if (path.is_file() or path.is_symlink()) and path not in kept:
            path.unlink()
