"""A folder or a list of clips to shards that ``python -m reference_model.train`` trains on."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from t2av_bench.preparation.clip_work import process_count
from t2av_bench.preparation.clips import Voice, read_clips
from t2av_bench.preparation.codecs import usable
from t2av_bench.preparation.sharding import EncodingTask, Shards, make_shards
from t2av_bench.utils import memory as machine_memory
from t2av_bench.utils.progress import Notice, OnStep

VERSION = 1
"""Raised when the same clips would become other samples."""


def prepare(
    source: Path, codec: str, out: Path, *, media: Path | None = None, split: str | None = None, voice: Voice = "own",
    device: str = "cpu", dtype: str = "float32", difference: int = 5, max_tokens: int = 1000,
    workers: int | None = None, timeout: float = 1800.0, memory: float | None = None,
    on_step: OnStep = lambda step: None, notice: Notice = lambda text: None,
) -> Shards:  # fmt: skip
    """Encode every clip of ``source`` (see ``clips.read_clips``) with a codec into shards below ``out``.

    Clips keep their whole length; training draws windows of them. voice: whom the speaker embedding is of: ``own``, the
    clip itself, whole, as in the release's training; ``other``, another clip of the same speaker, so that it cannot
    carry the words. difference: frames by which sound and motion may differ. max_tokens: of training's sequences.
    workers: processes, which change no byte (default: one a core where memory allows, one on a GPU); memory: GB that
    one may hold; timeout: seconds without a sign of life. The same call continues, and finds what is finished.

    Raises NotApplicable, with the command that helps, where the codec lacks weights or packages; ValueError for a
    source, a setting or a folder that cannot be used; OSError for a full disk.
    """
    kind = usable(codec)
    from t2av_bench.preparation.encoding import ClipEncoder, Limits

    digests = dict(kind.digests())  # before any clip is looked at: says what is missing
    found, notices = read_clips(source, media, split, voice)
    for text in notices:
        notice(text)
    root = (source if source.is_dir() else media or source.parent).resolve()
    limits = Limits(difference, max_tokens)
    settings: Mapping[str, Any] = {
        "version": VERSION, "codec": kind.id, "digests": digests, "voice": voice,
        "limits": asdict(limits), "device": device.partition(":")[0],
    }  # fmt: skip
    if workers is None:
        workers = process_count(device)
    return make_shards(
        [EncodingTask(clip.id, clip, clip.identity(root), clip.reason) for clip in found], ClipEncoder,
        (kind.id, device, limits), out, settings, workers=workers, dtype=dtype, timeout=timeout,
        memory=None if memory is None else memory * machine_memory.GB, on_step=on_step,
    )  # fmt: skip
