"""Latents on disk: a folder of safetensors shards and ``index.json``.

Entries of a shard lie one behind the other in these tensors (N entries):

=====================  ==========================  ======================================================
tensor                 shape                       content
=====================  ==========================  ======================================================
``lengths``            (N, 4) int64                text tokens, suffix tokens, speech frames, motion frames
``text_ids``           (all tokens,) int64         each entry's text tokens, then its suffix tokens
``speech_latents``     (all frames, speech_dim)    25 frames a second
``motion_latents``     (all frames, motion_dim)    normalised; an entry without video has 0 frames
``speaker_embedding``  (N, speaker_dim)
=====================  ==========================  ======================================================

``index.json`` holds the three channel counts and, for each shard, ``file``, ``bytes``, ``sha256``, ``ids`` and
``lengths`` (the tensor's content, so that batches can be planned without opening a shard). It is written last: a
folder without one was not finished.
"""

import hashlib
import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..checkpoints import write_safetensors
from .samples import MOTION, SPEECH, SUFFIX, TEXT, Sample, SampleError

FORMAT = "t2av-latents-1"
INDEX = "index.json"
OPEN_SHARDS = 64
TENSORS = ("lengths", "text_ids", "speech_latents", "motion_latents", "speaker_embedding")


class ShardWriter:
    """Writes a folder of shards; use it in a ``with`` block, which writes the index at its end.

        with ShardWriter("latents/t2av", speech_dim=32, motion_dim=40, speaker_dim=256) as writer:
            writer.add("clip-0001", Sample(text_ids, speech, speaker_embedding, motion))

    Shards hold ``samples_per_shard`` entries and store latents as ``dtype`` (half precision halves the space).
    Raises FileExistsError for a folder that already holds shards, :class:`.SampleError` for a sample that does not
    fit. When the block is left by an error, no index is written.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        speech_dim: int,
        motion_dim: int,
        speaker_dim: int,
        samples_per_shard: int = 1000,
        dtype: torch.dtype = torch.float32,
    ):
        if samples_per_shard < 1:
            raise ValueError(f"samples_per_shard must be at least 1, got {samples_per_shard}")
        self.folder, self.dtype, self.samples_per_shard = Path(folder), dtype, samples_per_shard
        self.dims = {"speech_dim": speech_dim, "motion_dim": motion_dim, "speaker_dim": speaker_dim}
        if any(self.folder.glob("*.safetensors")) or (self.folder / INDEX).exists():
            raise FileExistsError(f"{self.folder} already holds shards; choose another folder or remove it")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._waiting: list[tuple[str, Sample]] = []
        self._shards: list[dict[str, Any]] = []
        self._ids: set[str] = set()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        if kind is None:
            self.close()

    def add(self, id: str, sample: Sample) -> None:
        """Append one sample. ``id`` names it in error messages and must be new."""
        if id in self._ids:
            raise SampleError(f"{self.folder}: there is already a sample {id!r}; give every sample an id of its own")
        shapes = [
            ("speech", sample.speech, self.dims["speech_dim"]),
            ("speaker_embedding", sample.speaker_embedding[None], self.dims["speaker_dim"]),
        ]
        if sample.motion is not None:
            shapes.append(("motion", sample.motion, self.dims["motion_dim"]))
        for name, value, channels in shapes:
            if value.ndim != 2 or value.shape[1] != channels:
                raise SampleError(f"sample {id!r}: {name} has shape {list(value.shape)}, expected {channels} channels")
            if not torch.isfinite(value).all():
                raise SampleError(f"sample {id!r}: {name} holds values that are not finite")
        if not len(sample.speech) or not len(sample.text_ids):
            raise SampleError(f"sample {id!r}: it needs at least one speech frame and one text token")
        self._ids.add(id)
        self._waiting.append((id, sample))
        if len(self._waiting) == self.samples_per_shard:
            self._write_shard()

    def close(self) -> Path:
        """Write what is left and the index; returns the index's path."""
        if self._waiting:
            self._write_shard()
        index = {"format": FORMAT, **self.dims, "shards": self._shards}
        path = self.folder / INDEX
        part = path.with_suffix(".part")
        part.write_text(json.dumps(index) + "\n", encoding="utf-8")
        os.replace(part, path)
        return path

    def _write_shard(self) -> None:
        samples = [sample for _, sample in self._waiting]
        no_motion = torch.zeros(0, self.dims["motion_dim"])
        tensors = {
            "lengths": torch.tensor([sample.lengths for sample in samples]),
            "text_ids": torch.cat([part.long() for sample in samples for part in (sample.text_ids, sample.suffix_ids)]),
            "speech_latents": torch.cat([sample.speech for sample in samples]).to(self.dtype),
            "motion_latents": torch.cat(
                [no_motion if sample.motion is None else sample.motion for sample in samples]
            ).to(self.dtype),
            "speaker_embedding": torch.stack([sample.speaker_embedding for sample in samples]).to(self.dtype),
        }
        path = self.folder / f"{len(self._shards):05d}.safetensors"
        write_safetensors(
            {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, path, {"format": FORMAT}
        )
        self._shards.append(
            {
                "file": path.name,
                "bytes": path.stat().st_size,
                "sha256": _sha256(path),
                "ids": [id for id, _ in self._waiting],
                "lengths": tensors["lengths"].tolist(),
            }
        )
        self._waiting = []


class ShardSource:
    """Samples of one or more folders, in the order of their shards; a :class:`.SampleSource`.

    ``with_motion=True`` keeps only entries that have motion. ``verify`` checks every shard on opening the source:
    ``size`` its presence and size, ``digest`` its SHA-256 too. Raises :class:`.SampleError` naming the file.
    """

    def __init__(self, *folders: str | Path, with_motion: bool = False, verify: str = "size"):
        self.fingerprint = ""
        self._shards: list[tuple[Path, dict[str, Any], np.ndarray]] = []
        places, lengths = [], []
        for folder in map(Path, folders):
            index = _read_index(folder)
            self.fingerprint += _sha256(folder / INDEX)
            for shard in index["shards"]:
                path = folder / shard["file"]
                _verify(path, shard, verify)
                rows = np.asarray(shard["lengths"], dtype=np.int64).reshape(-1, 4)
                starts = np.vstack((np.zeros((1, 4), np.int64), rows.cumsum(axis=0)))
                places += [(len(self._shards), entry) for entry in range(len(rows))]
                lengths.append(rows)
                self._shards.append((path, {"ids": shard["ids"]}, starts))
        self.lengths = np.concatenate(lengths) if lengths else np.zeros((0, 4), np.int64)
        self._places = np.asarray(places, dtype=np.int64).reshape(-1, 2)
        if with_motion:
            kept = self.lengths[:, MOTION] > 0
            self.lengths, self._places = self.lengths[kept], self._places[kept]
        self._open: OrderedDict[int, Any] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}  # open files stay in the process that opened them

    def describe(self, index: int) -> str:
        shard, entry = self._places[index]
        path, names, _ = self._shards[shard]
        return f"{path}, entry {entry} ({names['ids'][entry]!r})"

    def __getitem__(self, index: int) -> Sample:
        shard, entry = (int(value) for value in self._places[index])
        start, stop = self._shards[shard][2][entry], self._shards[shard][2][entry + 1]
        try:
            file = self._file(shard)
            stored = file.get_slice("lengths")[entry : entry + 1][0]
            if (stored.numpy() != stop - start).any():
                raise SampleError(
                    f"{self.describe(index)}: the shard gives its lengths as {stored.tolist()}, "
                    f"{INDEX} as {(stop - start).tolist()}; they belong to different writings"
                )
            first = int(start[TEXT] + start[SUFFIX])
            ids = file.get_slice("text_ids")[first : int(stop[TEXT] + stop[SUFFIX])]
            speech = file.get_slice("speech_latents")[int(start[SPEECH]) : int(stop[SPEECH])]
            motion = None
            if stop[MOTION] > start[MOTION]:
                motion = file.get_slice("motion_latents")[int(start[MOTION]) : int(stop[MOTION])].float()
            speaker = file.get_slice("speaker_embedding")[entry : entry + 1][0]
        except (SafetensorError, OSError, IndexError) as error:
            raise SampleError(
                f"{self.describe(index)} cannot be read: {error}; write the shard again or restore it from a copy"
            ) from error
        text = int(stop[TEXT] - start[TEXT])
        return Sample(ids[:text], speech.float(), speaker.float(), motion, ids[text:])

    def _file(self, shard: int) -> Any:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        path = self._shards[shard][0]
        file = safe_open(path, "pt")
        if missing := set(TENSORS) - set(file.keys()):
            raise SampleError(f"{path} lacks {', '.join(sorted(missing))}: it is not a shard of format {FORMAT}")
        self._open[shard] = file
        if len(self._open) > OPEN_SHARDS:
            self._open.popitem(last=False)
        return file


def folder_dims(folder: str | Path) -> dict[str, int]:
    """``speech_dim``, ``motion_dim`` and ``speaker_dim`` of a folder of shards."""
    index = _read_index(Path(folder))
    return {name: index[name] for name in ("speech_dim", "motion_dim", "speaker_dim")}


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    if not path.is_file():
        hint = "writing it was not finished" if folder.is_dir() else "there is no such folder"
        raise SampleError(
            f"no {INDEX} in {folder}: {hint}. A folder of latents is written with "
            f"reference_model.training.shards.ShardWriter"
        )
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SampleError(f"{path} is not JSON ({error}); write the folder again") from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise SampleError(
            f"{path} has format {index.get('format') if isinstance(index, dict) else None!r}, "
            f"this version reads {FORMAT!r}"
        )
    return index


def _verify(path: Path, shard: dict[str, Any], verify: str) -> None:
    if verify not in ("size", "digest"):
        raise ValueError(f"verify must be 'size' or 'digest', got {verify!r}")
    if not path.is_file():
        raise SampleError(f"{path} is missing, but {INDEX} lists it")
    if path.stat().st_size != shard["bytes"]:
        raise SampleError(
            f"{path} has {path.stat().st_size} bytes, {INDEX} says {shard['bytes']}: it is truncated "
            f"or was replaced; copy or write it again"
        )
    if verify == "digest" and _sha256(path) != shard["sha256"]:
        raise SampleError(
            f"{path} does not have the SHA-256 that {INDEX} states: its content changed; copy or write it again"
        )


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
