"""What a shim's answer is worth: the files that it names, measured, or the reason why they are no clip."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from t2av_bench.errors import Unscorable
from t2av_bench.media.clip import Clip
from t2av_bench.systems.base import GenerationFailed, Request
from t2av_bench.systems.delivery import Product, finished
from t2av_bench.systems.external.prepared import Prepared
from t2av_bench.systems.external.spec import FRAMES_OFF, Spec


def product_of(spec: Spec, request: Request, prepared: Prepared, event: Mapping[str, Any]) -> Product:
    """event: of a request that went well, as the shim says. Raises GenerationFailed, its kind before its message.

    Dubbing may give the sound alone, and animation a silent picture: the other half is then what was given.
    """
    made = event["made"]
    sound = _written(made, "audio")
    picture = _written(made, "av") or _written(made, "video")
    given: Path | None = None
    if request.task == "tts":
        sound, picture = sound or picture, None
    elif request.task == "v2a" and picture is None and sound is not None:
        picture = given = request.driving_video
    elif picture is None:
        _fail("no_file", "it answered and named no picture that it wrote")
    notes = [str(note) for note in made.get("notes") or ()]
    try:
        driving = prepared.files.get("driving_audio")
        if request.task == "a2v" and picture and not sound and driving and not Clip(picture).info.has_audio:
            sound = given = Path(driving)
            notes.append("the system's file is silent: its sound is the driving audio")
        product = finished(picture, sound, made.get("edits") or ())
    except GenerationFailed:
        raise
    except Unscorable as reason:
        _fail("undecodable", str(reason))
    _check_length(spec, request, prepared, product)
    product.native = tuple(path for path in product.native if path != given)
    product.notes += notes
    if picture is not None and _is_still(picture):
        product.notes.append("all pictures are equal")
    product.seconds_taken = {"generating": float(event.get("seconds") or 0.0)}
    product.inputs = prepared.facts
    return product


def _written(made: Mapping[str, Any], kind: str) -> Path | None:
    name = made.get(kind)
    if not name:
        return None
    path = Path(str(name))
    if not path.is_file():
        _fail("no_file", f"it answered and wrote no file {path.name}")
    if not path.stat().st_size:
        _fail("empty_file", f"it wrote an empty file {path.name}")
    return path


def _check_length(spec: Spec, request: Request, prepared: Prepared, product: Product) -> None:
    rule = spec.length
    seconds = prepared.seconds.get({"audio": "driving_audio", "video": "driving_video"}.get(rule.source, ""))
    seconds = request.target_seconds if rule.source == "asked" else seconds
    expected = None if request.task == "tts" else rule.expected(seconds, spec.frame_rate)
    if expected is not None and product.frames is not None and abs(product.frames - expected) > FRAMES_OFF:
        _fail("wrong_length", f"it wrote {product.frames} frames, {expected} were expected ({spec.native.length})")


def _fail(kind: str, message: str) -> NoReturn:
    raise GenerationFailed(f"{kind}: {message}")


def _is_still(video: Path) -> bool:
    first: np.ndarray | None = None
    count = 0
    for batch in Clip(video, frame_budget=0).frames():
        first = batch[0] if first is None else first
        count += len(batch)
        if (batch != first).any():
            return False
    return count > 1
