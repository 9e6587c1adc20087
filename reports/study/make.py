"""Writing a study: ``OUT/page`` is what participants get, ``OUT/key.json`` says what they saw.

Nothing in ``page`` names a system or an item. All clips go through one encoder with the same settings, because codec,
tags, and encoder strings of the originals would tell systems apart; their names come from the study's secret, which
only the key holds.
"""

import hashlib
import hmac
import json
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from reports.page.content import figure_limit, located, sound_of
from reports.page.media import SOUND_ALONE, pictures_and_sound
from reports.page.site import INDEX, asset, environment, write_manifest
from reports.study.design import lists
from t2av_bench.errors import ItemError, MediaError, Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.results.run import open_run
from t2av_bench.utils.files import write_text
from t2av_bench.version import __version__

KEY, KEY_FORMAT, PAGE = "key.json", "t2av-bench study key", "page"
QUESTIONS = {
    "overall": "Which clip do you prefer overall?",
    "lip-sync": "In which clip do the lips match the speech better?",
    "speech": "In which clip does the speech sound more natural?",
}
_AUDIO_RATE = 48000  # one rate for all, whatever the systems wrote

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Study:
    """A written study: the first page, the key, and what a user should know."""

    index: Path
    key: Path
    notes: list[str] = field(default_factory=list)


def make_study(
    runs: Sequence[Path],
    out: Path,
    *,
    question: str = "overall",
    text: str = "",
    trials: int = 20,
    checks: int = 2,
    ties: bool = True,
    items: int | None = None,
    title: str = "Which clip is better?",
    secret: str | None = None,
    progress: Progress | None = None,
) -> Study:
    """Write a blind A/B study of two or more runs into ``out``, a new or empty folder.

    question: one of QUESTIONS; text replaces its wording. trials, checks: comparisons and attention checks that each
    participant gets. ties: offer "no difference". items: at most so many items, chosen at random.
    secret: hexadecimal; the same secret (see the key) makes the same study again.
    Raises ItemError for what cannot be done, StoreError where a run is none.
    """
    if question not in QUESTIONS:
        raise ItemError(f"unknown question {question!r}; choose {', '.join(QUESTIONS)}, and word it with --text")
    if checks < 0 or (items is not None and items < 1):
        raise ItemError("--checks is 0 or more, and --items 1 or more")
    secret = secret or secrets.token_hex(16)
    names, sources, notes = _sources(runs, items, _random(secret, "items"))
    if checks > len(sources):
        raise ItemError(f"--checks {checks}, but only {len(sources)} items: each check shows another item")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ItemError(f"--out {out} is not empty; a study is never overwritten, name a new folder")
    try:
        planned = lists(len(names), len(sources), trials, _random(secret, "lists"))
    except ValueError as error:
        raise ItemError(f"{error}: use --trials") from error
    order = list(sources)
    random = _random(secret, "checks")
    checked = random.permutation(len(order))[: 2 * checks]  # a pool of twice as many, so that lists differ in them
    media = {_name(secret, "clip", item, name): (clip, False) for item in order for name, clip in sources[item].items()}
    trial_key: dict[str, dict[str, Any]] = {}
    sides: dict[str, list[str]] = {}

    def add(id: str, entry: dict[str, Any], left: str, right: str) -> str:
        trial_key[id] = {**entry, "media": [left, right]}
        sides.setdefault(id, [left, right] if random.randint(2) else [right, left])
        return id

    check_ids = []
    for position, index in enumerate(checked):
        item, name = order[index], names[position % len(names)]
        good, bad = _name(secret, "clip", item, name), _name(secret, "degraded", item, name)
        media[bad] = (sources[item][name], True)
        id = _name(secret, "check", item, name)
        check_ids.append(add(id, {"check": True, "item": item, "systems": [name, name]}, good, bad))
    list_ids = []
    for number, plan in enumerate(planned):
        ids = []
        for item_index, first, second in plan:
            item, pair = order[item_index], sorted((names[first], names[second]))
            left, right = (_name(secret, "clip", item, name) for name in pair)
            entry = {"check": False, "item": item, "systems": pair}
            ids.append(add(_name(secret, "trial", item, *pair), entry, left, right))
        ids += [check_ids[(number * checks + step) % len(check_ids)] for step in range(checks)]
        list_ids.append([ids[index] for index in random.permutation(len(ids))])
    study = _name(secret, "study")
    question_text = text or QUESTIONS[question]
    try:
        _write_media(out / PAGE, media, progress)
        published = {
            "study": study, "title": title, "question": question_text, "ties": ties,
            "lists": list_ids, "trials": {id: sides[id] for id in sorted(sides)},
        }  # fmt: skip
        _write_page(out / PAGE, published)
        key = {
            "format": KEY_FORMAT, "version": 1, "t2av_bench": __version__, "study": study, "secret": secret,
            "title": title, "question": question_text, "ties": ties, "systems": names, "items": order,
            "lists": list_ids, "trials": trial_key,
        }  # fmt: skip
        write_text(out / KEY, json.dumps(key, indent=1, ensure_ascii=False) + "\n")
    except BaseException:
        shutil.rmtree(out / PAGE, ignore_errors=True)  # without its key a page is worth nothing
        raise
    notes.append(f"participants after whom every pair of systems was judged on every item: {len(list_ids)}")
    return Study(out / PAGE / INDEX, out / KEY, notes)


def _sources(
    runs: Sequence[Path], most: int | None, random: np.random.RandomState
) -> tuple[list[str], dict[str, dict[str, Clip]], list[str]]:
    """Systems' names, item -> system -> clip for the items that all systems have, and notes on those left out."""
    found = []
    for run in runs:
        result = open_run(run)
        root = result.claim.get("generated")
        found.append((result, {id: located(row["generated"], root) for id, row in result.rows.items()}))
    names = [result.name for result, _ in found]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ItemError(
            f"a study compares two or more systems of different names, got {', '.join(names) or 'none'}; "
            "'t2av-bench evaluate --name' names a run"
        )
    wanted = list(dict.fromkeys(clip for result, _ in found for clip in result.clips))
    kept: dict[str, dict[str, Clip]] = {}
    left_out: dict[str, list[str]] = {}
    for item in wanted:
        reason = None
        clips: dict[str, Clip] = {}
        for result, files in found:
            path = files.get(item)
            if path is None:
                reason = reason or f"{result.name} has no clip"
            elif result.items[item] != found[0][0].items.get(item):
                reason = reason or f"{result.name} was asked something else under this id than {names[0]}"
            elif trouble := _trouble(
                clip := Clip(path, sound_path=sound_of(result.rows[item])), result.rows[item]["digest"]
            ):
                reason = reason or f"{result.name}: {trouble}"
            else:
                clips[result.name] = clip
        if reason:
            left_out.setdefault(reason, []).append(item)
        else:
            kept[item] = clips
    notes = [
        f"{len(ids)} item{'s' * (len(ids) > 1)} left out, {reason} (such as {ids[0]})"
        for reason, ids in left_out.items()
    ]
    if not kept:
        raise ItemError("there is no item that all systems have a clip of: " + "; ".join(notes))
    if most is not None and most < len(kept):
        chosen = set(random.permutation(len(kept))[:most])
        kept = {item: clips for index, (item, clips) in enumerate(kept.items()) if index in chosen}
    limits = Counter(limit for item in kept if (limit := figure_limit(found[0][0].rows[item]["item"])))
    notes += [
        f"{limit}, and this study shows {count * len(names)}: give it to participants alone, and publish no more"
        for limit, count in limits.items() if count * len(names) > limit.most
    ]  # fmt: skip
    return names, kept, notes


def _trouble(clip: Clip, digest: str | None) -> str | None:
    try:
        if digest and clip.digest != digest:
            return "the file has changed since it was scored"
        return None if clip.info.has_video or clip.info.has_audio else "the file has neither picture nor sound"
    except Unscorable as error:
        return str(error).replace(str(clip.path), clip.path.name)


def _write_media(page: Path, media: dict[str, tuple[Clip, bool]], progress: Progress | None) -> None:
    folder = page / "media"
    folder.mkdir(parents=True)
    for done, name in enumerate(sorted(media)):  # in the order of their names: times of files tell nothing
        clip, degraded = media[name]
        if progress is not None:
            progress(done, len(media), clip.path.name)
        try:
            _encode(clip, folder / f"{name}.mp4", degraded)
        except (MediaError, ValueError) as error:
            raise ItemError(f"{clip.path} cannot be shown in a study: {error}") from error
        clip.release()


def _encode(clip: Clip, target: Path, degraded: bool) -> None:
    """H.264 + AAC as every clip gets it; sound alone gets a black picture. Degraded: see ``degrade``."""
    rate = (clip.info.frame_rate or Fraction(25)) if clip.info.has_video else None
    pictures, audio = pictures_and_sound(clip, rate, _AUDIO_RATE if clip.info.has_audio else None)
    if degraded:
        pictures, audio = degrade(pictures, audio)
    write_mp4(target, pictures, audio, frame_rate=rate or SOUND_ALONE, audio_rate=_AUDIO_RATE, crf=16,
              preset="veryfast", audio_bit_rate=192_000)  # fmt: skip


def degrade(pictures: Iterator[np.ndarray], audio: np.ndarray | None) -> tuple[Iterator[np.ndarray], np.ndarray | None]:
    """What nobody who looks and listens can prefer: a noisy still in place of the picture, and speech under noise.

    The still is the first frame with Gaussian noise (SD 60 of 255); the sound has white noise 5 dB above its own RMS.
    """
    random = np.random.RandomState(0)

    def frozen() -> Iterator[np.ndarray]:
        still = None
        for batch in pictures:
            if still is None:
                noisy = batch[0] + random.normal(0, 60, batch[0].shape)
                still = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
            yield np.repeat(still[None], len(batch), axis=0)

    if audio is not None:
        level = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if len(audio) else 0.0
        audio = audio + np.random.RandomState(1).normal(0, max(level * 10 ** (5 / 20), 0.05), audio.shape)
        audio = (audio / max(1.0, float(np.abs(audio).max(initial=0)))).astype(np.float32)
    return frozen(), audio


def _write_page(page: Path, published: dict[str, Any]) -> None:
    template = environment("reports.study", "assets").get_template("study.html")
    # tojson escapes <, > and &, so that no text can end the script element.
    write_text(page / INDEX, template.render(study=published))
    for name in ("study.css", "study.js"):
        write_text(page / name, asset("reports.study", name))
    write_manifest(page, (path.relative_to(page).as_posix() for path in page.rglob("*") if path.is_file()))


def _name(secret: str, *parts: str) -> str:
    """16 hexadecimal digits that say nothing to whoever does not know the secret."""
    message = json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return hmac.new(bytes.fromhex(secret), message, hashlib.sha256).hexdigest()[:16]


def _random(secret: str, purpose: str) -> np.random.RandomState:
    digest = hmac.new(bytes.fromhex(secret), purpose.encode(), hashlib.sha256).digest()
    return np.random.RandomState(np.frombuffer(digest, dtype="<u4").astype(np.uint32))
