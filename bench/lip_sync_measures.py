"""What ``docs/lip_sync.json`` holds of ``sync/mesh``: clips one by one, under graded damage, and with little speech."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

C, D, ZERO, INSIDE, OFFSET = QUANTITIES = (
    "sync_c_mesh", "sync_d_mesh", "sync_d_zero_mesh", "sync_in_tolerance_mesh", "sync_offset_mesh"
)  # fmt: skip
CONTROL = "none"
_LATE, _STILL = (40, 80, 120, 200, 400), (25, 50, 75, 100)
_TREMBLE = 0.003
"""Of the landmarks of a face that stands still, in interocular distances."""
_SECONDS = (0.4, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0)
Grades = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Grade, from weak to strong -> quantity -> clip -> value; grade ``none`` are the undamaged clips."""


def damage_scores(folder: Path) -> dict[str, Any]:
    """Of a validity run: how many clips it has, and damage -> ``Grades``."""
    from t2av_bench.results.run import open_run
    from t2av_bench.validation.damages import DAMAGES, folder_of

    def values(name: str) -> dict[str, dict[str, float]]:
        records = open_run(folder / "runs" / name).records
        kept = {quantity: records["sync/mesh", quantity].values or {} for quantity in QUANTITIES}
        return {name: {clip: round(each[clip], 4) for clip in sorted(each)} for name, each in kept.items()}

    control = values("control")
    found: dict[str, Any] = {}
    for name, damage in DAMAGES.items():
        runs = {f"{grade}": folder_of(name, grade) for grade in damage.grades}
        there = {grade: values(run) for grade, run in runs.items() if (folder / "runs" / run).is_dir()}
        if there:
            found[name] = {CONTROL: control, **there}
    return {"clips": len(open_run(folder / "runs" / "control").clips), "damage": found}


def graded_scores(folder: Path, store: Any) -> dict[str, Any]:
    """The same of clips whose sound is moved, and whose mouth is held, in their features."""
    from t2av_bench.errors import Unscorable
    from t2av_bench.media.clip import Clip
    from t2av_bench.mesh_sync.evaluation import media_in
    from t2av_bench.mesh_sync.features import mesh_sync_features
    from t2av_bench.mesh_sync.network import load
    from t2av_bench.mesh_sync.score import score
    from t2av_bench.metrics.sync_mesh import values

    network, count = load(), 0
    names = {"desync": _LATE, "mouth_frozen": _STILL}
    damage: dict[str, Any] = {name: {f"{each}": {} for each in (CONTROL, *grades)} for name, grades in names.items()}
    for path in media_in(folder):
        count += 1
        try:
            whole = mesh_sync_features(Clip(path, features=store))
            made = {(name, CONTROL): whole for name in names}
            made |= {("desync", ms): replace(whole, sound=_late(whole.sound, ms // 10)) for ms in _LATE}
            made |= {("mouth_frozen", percent): _held(whole, percent, count) for percent in _STILL}
            found = {key: values(score(features, network)) for key, features in made.items()}
        except Unscorable:
            continue
        for (name, grade), numbers in found.items():
            for quantity, value in numbers.items():
                damage[name][f"{grade}"].setdefault(quantity, {})[path.stem] = round(value, 4)
    return {"clips": count, "damage": damage}


def _late(sound: np.ndarray, rows: int) -> np.ndarray:
    """(4 T, 40) later by so many rows of 10 ms; what comes before is as quiet as the clip's quiet rows."""
    quiet = np.full((rows, sound.shape[1]), np.quantile(sound, 0.02), sound.dtype)
    return np.concatenate([quiet, sound])[: len(sound)]


def _held(features: Any, percent: float, seed: int) -> Any:
    """The mouth stands from some time on, but for the landmarks' trembling."""
    first = round(len(features.mouth) * (1 - percent / 100))
    mouth = features.mouth[np.minimum(np.arange(len(features.mouth)), max(first - 1, 0))].copy()
    mouth[first:] += _TREMBLE * np.random.default_rng(seed).standard_normal(mouth[first:].shape)
    return replace(features, mouth=mouth.astype(np.float32))


def clip_scores(folder: Path, features: Any) -> dict[str, Any]:
    """File name -> values and what is known beside them, or why there are none."""
    from t2av_bench.benchmarks.manifest import Item
    from t2av_bench.errors import MediaError, Unscorable
    from t2av_bench.media.clip import Clip
    from t2av_bench.mesh_sync.evaluation import media_in
    from t2av_bench.metrics.base import Pair
    from t2av_bench.metrics.sync_mesh import SyncMesh

    found: dict[str, Any] = {}
    for path in media_in(folder):
        try:
            one = SyncMesh().measure(Pair(Item(id=path.stem), Clip(path, features=features)))
            numbers = {**one.values, **one.detail}
            found[path.name] = {name: round(value, 4) for name, value in numbers.items()}
        except (Unscorable, MediaError) as reason:
            found[path.name] = {"reason": str(reason).replace(str(path), path.name)}
    return found


def speech_scores(folder: Path, features: Any) -> list[dict[str, float]]:
    """By seconds of speech that are left in the middle of each clip, all else being silence and a still mouth: clips,
    mean C, 95 % quantile of C with another clip's sound, how often C tells the two apart, offsets that stay."""
    from t2av_bench.errors import Unscorable
    from t2av_bench.extractors.silero_vad import speech_in
    from t2av_bench.media.clip import Clip
    from t2av_bench.mesh_sync.evaluation import auc
    from t2av_bench.mesh_sync.features import mesh_sync_features
    from t2av_bench.mesh_sync.network import load
    from t2av_bench.mesh_sync.score import score
    from t2av_bench.metrics.theval_speech import speech_frames

    network, clips = load(), []
    for path in sorted(folder.rglob("*.mp4")):
        clip = Clip(path, features=features)
        try:
            found = mesh_sync_features(clip)
            offset = score(found, network).offset_ms
        except Unscorable:
            continue
        if found.seen.all():
            clips.append((found, speech_frames(speech_in(clip), len(found.seen)), offset))
    rows = []
    for seconds in _SECONDS:
        own, strange, moved = [], [], []
        for place, (found, heard, offset) in enumerate(clips):
            random = np.random.default_rng(place)
            other = clips[(place + len(clips) // 2) % len(clips)][0].sound
            length = min(len(found.seen), len(other) // 4)
            middle = np.flatnonzero(heard[:length])
            if len(middle) < 25 * seconds:
                continue
            first = middle[(len(middle) - round(25 * seconds)) // 2]
            kept = np.arange(length)
            kept = (kept >= first) & (np.cumsum(heard[:length] & (kept >= first)) <= round(25 * seconds))
            cut = [_quieted(found, sound[: 4 * length], kept, random) for sound in (found.sound, other)]
            mine, its = (score(each, network) for each in cut)
            own.append(mine.confidence)
            strange.append(its.confidence)
            moved.append(abs(mine.offset_ms - offset))
        rows.append({
            "seconds": seconds, "clips": len(own), "c": round(float(np.mean(own)), 3),
            "stranger": round(float(np.quantile(strange, 0.95)), 3),
            "auc": round(auc(np.array(own), np.array(strange)), 3),
            "offset_within_1": round(float((np.array(moved) <= 40).mean()), 3),
        })  # fmt: skip
    return rows


def _quieted(features: Any, sound: np.ndarray, kept: np.ndarray, random: np.random.Generator) -> Any:
    """Features whose mouth stands still, and whose sound is a quiet noise, where they are not ``kept`` (T,)."""
    first, last = np.flatnonzero(kept)[[0, -1]]
    mouth = features.mouth[: len(kept)][np.clip(np.arange(len(kept)), first, last)]
    mouth = mouth + 0.002 * random.standard_normal(mouth.shape)
    heard, quiet = np.repeat(kept, 4), np.quantile(sound, 0.02)
    noise = quiet + 0.5 * random.standard_normal(sound.shape)
    return replace(
        features, mouth=mouth.astype(np.float32), seen=np.ones(len(kept), bool),
        sound=np.where(heard[:, None], sound, noise).astype(np.float32),
    )  # fmt: skip
