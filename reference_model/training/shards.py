"""Latents on disk: a folder of safetensors shards, ``lengths.npy`` and ``index.json``.

Entries of a shard lie one behind the other in these tensors (N entries):

=====================  ==========================  ======================================================
tensor                 shape                       content
=====================  ==========================  ======================================================
``lengths``            (N, 4) int64                text tokens, suffix tokens, speech frames, motion frames
``text_ids``           (all tokens,) int64         each entry's text tokens, then its suffix tokens
``speech_latents``     (all frames, speech_dim)    25 frames a second
``motion_latents``     (all frames, motion_dim)    normalised; an entry without video has 0 frames
``speaker_embedding``  (N, speaker_dim)
``ids``, ``id_ends``   (all bytes,), (N,) int64    each entry's name in UTF-8, and where it ends
=====================  ==========================  ======================================================

``lengths.npy`` (all entries, 4) int32 holds the shards' ``lengths`` one behind the other; it is mapped, not read, so
that batches can be planned without opening a shard and memory does not grow with the data. ``index.json`` holds the
three channel counts, the digest of ``lengths.npy`` and, for each shard, ``file``, ``bytes``, ``sha256`` and
``entries``. It is written last: a folder without one was not finished. Folders of the earlier format, whose index
holds ids and lengths itself, are read as well.
"""

import functools
import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ..checkpoints import write_safetensors, write_text
from .samples import MOTION, SPEECH, SUFFIX, TEXT, Sample, SampleError, SampleShape, problems

FORMAT, EARLIER_FORMAT = "t2av-latents-2", "t2av-latents-1"
INDEX, LENGTHS = "index.json", "lengths.npy"
DIMS = ("speech_dim", "motion_dim", "speaker_dim")
OPEN_SHARDS = 64
TENSORS = ("lengths", "text_ids", "speech_latents", "motion_latents", "speaker_embedding")


def check_sample(id: str, sample: Sample, dims: Mapping[str, int]) -> None:
    """Refuse what no shard takes: other channels, values that are not finite, no speech or no text.

    Raises :class:`.SampleError`.
    """
    problem = next(problems(sample, SampleShape(**dims, vocab_size=2**31)), None)
    if not len(sample.speech) or not len(sample.text_ids):
        problem = "it needs at least one speech frame and one text token"
    if problem:
        raise SampleError(f"sample {id!r}: {problem}")


def write_shard(
    path: Path,
    entries: Sequence[tuple[str, Sample]],
    dims: Mapping[str, int],
    dtype: torch.dtype = torch.float32,
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write (id, sample) pairs as one shard, whole or not at all; returns what the index says of it.

    ``metadata`` goes into the file's header beside the format.
    """
    samples = [sample for _, sample in entries]
    no_motion = torch.zeros(0, dims["motion_dim"])
    names = [id.encode() for id, _ in entries]
    tensors = {
        "lengths": torch.tensor([sample.lengths for sample in samples]),
        "text_ids": torch.cat([part.long() for sample in samples for part in (sample.text_ids, sample.suffix_ids)]),
        "speech_latents": torch.cat([sample.speech for sample in samples]).to(dtype),
        "motion_latents": torch.cat(
            [no_motion if sample.motion is None else sample.motion for sample in samples]
        ).to(dtype),
        "speaker_embedding": torch.stack([sample.speaker_embedding for sample in samples]).to(dtype),
        "ids": torch.frombuffer(bytearray(b"".join(names)), dtype=torch.uint8),
        "id_ends": torch.tensor([len(name) for name in names]).cumsum(0),
    }  # fmt: skip
    stored = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    write_safetensors(stored, path, {"format": FORMAT, **(metadata or {})})
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path), "entries": len(entries)}


def read_shard(path: Path) -> list[tuple[str, Sample]]:
    """The (id, sample) pairs of one shard."""
    shard = _Shard(path)
    return [(shard.id(entry), shard.sample(entry)) for entry in range(len(shard.starts) - 1)]


def write_index(folder: Path, dims: Mapping[str, int], shards: Sequence[Mapping[str, Any]]) -> Path:
    """Finish a folder: ``shards`` is what :func:`write_shard` returned, in their order. Returns the index's path."""
    part, total, place = folder / f"{LENGTHS}.part", sum(shard["entries"] for shard in shards), 0
    lengths = np.lib.format.open_memmap(part, "w+", np.int32, (total, 4))
    for shard in shards:
        with safe_open(folder / shard["file"], "pt") as file:
            lengths[place : place + shard["entries"]] = file.get_tensor("lengths").numpy()
        place += shard["entries"]
    lengths.flush()
    os.replace(part, folder / LENGTHS)
    index = {
        "format": FORMAT, **dims, "entries": total, "lengths_sha256": _sha256(folder / LENGTHS), "shards": list(shards),
    }  # fmt: skip
    write_text(folder / INDEX, json.dumps(index) + "\n")
    return folder / INDEX


def write_shards(
    folder: str | Path,
    samples: Iterable[tuple[str, Sample]],
    *,
    speech_dim: int,
    motion_dim: int,
    speaker_dim: int,
    samples_per_shard: int = 1000,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write (id, sample) pairs as they come, and the index at their end; returns the index's path.

    Latents are stored as ``dtype`` (half precision halves the space); ids name samples in messages. Raises
    FileExistsError for a folder that already holds shards, :class:`.SampleError` for a sample that does not fit or an
    id that is not new.
    """
    folder, pairs = Path(folder), iter(samples)
    dims = {"speech_dim": speech_dim, "motion_dim": motion_dim, "speaker_dim": speaker_dim}
    if any(folder.glob("*.safetensors")) or (folder / INDEX).exists():
        raise FileExistsError(f"{folder} already holds shards; choose another folder or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, Any]] = []
    ids: set[str] = set()
    while entries := list(itertools.islice(pairs, samples_per_shard)):
        for id, sample in entries:
            if id in ids:
                raise SampleError(f"{folder}: there is already a sample {id!r}; give every sample an id of its own")
            ids.add(id)
            check_sample(id, sample, dims)
        shards.append(write_shard(folder / f"{len(shards):05d}.safetensors", entries, dims, dtype))
    return write_index(folder, dims, shards)


class ShardSource:
    """Samples of one or more folders, in the order of their shards; a :class:`.SampleSource`.

    ``with_motion=True`` keeps only entries that have motion. ``verify`` checks every shard on opening the source:
    ``size`` its presence and size, ``digest`` its SHA-256 too. Raises :class:`.SampleError` naming the file.

    Memory: nothing for each entry of one folder of which all are kept; otherwise 16 bytes for its lengths, and 4
    where entries without motion are left out.
    """

    def __init__(self, *folders: str | Path, with_motion: bool = False, verify: str = "size"):
        self._opened_with = tuple(map(Path, folders)), with_motion
        self.fingerprint = ""
        self._paths: list[Path] = []
        counts, lengths = [], []
        for folder in map(Path, folders):
            index = _read_index(folder)
            self.fingerprint += _sha256(folder / INDEX)
            for shard in index["shards"]:
                _verify(folder / shard["file"], shard, verify)
                self._paths.append(folder / shard["file"])
                counts.append(shard["entries"])
            lengths.append(_lengths(folder, index))
        self._ends = np.cumsum(counts, dtype=np.int64)
        self.lengths = lengths[0] if len(lengths) == 1 else np.concatenate(lengths or [np.zeros((0, 4), np.int32)])
        self._kept: np.ndarray | None = None
        if with_motion and not (self.lengths[:, MOTION] > 0).all():
            self._kept = np.flatnonzero(self.lengths[:, MOTION] > 0).astype(np.int32)
            self.lengths = self.lengths[self._kept]
        self._shard = functools.lru_cache(OPEN_SHARDS)(lambda shard: _Shard(self._paths[shard]))

    def __reduce__(self) -> tuple:
        folders, with_motion = self._opened_with  # mapped and open files stay in the process that opened them
        return _reopened, (folders, with_motion)

    def describe(self, index: int) -> str:
        shard, entry = self._place(index)
        try:
            name = f" ({self._shard(shard).id(entry)!r})"
        except (SafetensorError, OSError, SampleError):
            name = ""
        return f"{self._paths[shard]}, entry {entry}{name}"

    def __getitem__(self, index: int) -> Sample:
        shard, entry = self._place(index)
        try:
            content = self._shard(shard)
            if not 0 <= entry < len(content.starts) - 1:
                raise IndexError(f"the shard has {len(content.starts) - 1} entries")
            stored, announced = np.diff(content.starts[entry : entry + 2], axis=0)[0], self.lengths[index]
            if (stored != announced).any():
                raise SampleError(
                    f"{self.describe(index)}: the shard gives its lengths as {stored.tolist()}, the folder's index "
                    f"as {announced.tolist()}; they belong to different writings"
                )
            return content.sample(entry)
        except (SafetensorError, OSError, IndexError) as error:
            raise SampleError(
                f"{self.describe(index)} cannot be read: {error}; write the shard again or restore it from a copy"
            ) from error

    def _place(self, index: int) -> tuple[int, int]:
        """Shard, and entry in it."""
        place = index if self._kept is None else int(self._kept[index])
        shard = int(np.searchsorted(self._ends, place, side="right"))
        return shard, place - int(self._ends[shard - 1] if shard else 0)


def _reopened(folders: tuple[Path, ...], with_motion: bool) -> ShardSource:
    return ShardSource(*folders, with_motion=with_motion)


class _Shard:
    """An open shard. ``starts (N + 1, 4)``: where each entry's tokens and frames begin, and the last ones end."""

    def __init__(self, path: Path):
        self.path = path
        self._file = safe_open(path, "pt")
        if missing := set(TENSORS) - set(self._file.keys()):
            raise SampleError(f"{path} lacks {', '.join(sorted(missing))}: it is not a shard of format {FORMAT}")
        lengths = self._file.get_tensor("lengths").numpy()
        self.starts = np.vstack((np.zeros((1, 4), np.int64), lengths.cumsum(axis=0)))

    def id(self, entry: int) -> str:
        if "ids" not in self._file.keys():  # the earlier format
            shards = _read_index(self.path.parent)["shards"]
            return next(shard["ids"][entry] for shard in shards if shard["file"] == self.path.name)
        ends = self._file.get_tensor("id_ends")
        name = self._file.get_slice("ids")[int(ends[entry - 1]) if entry else 0 : int(ends[entry])]
        return bytes(name.tolist()).decode()

    def sample(self, entry: int) -> Sample:
        start, stop = self.starts[entry].tolist(), self.starts[entry + 1].tolist()
        ids = self._file.get_slice("text_ids")[start[TEXT] + start[SUFFIX] : stop[TEXT] + stop[SUFFIX]]
        motion = None
        if stop[MOTION] > start[MOTION]:
            motion = self._file.get_slice("motion_latents")[start[MOTION] : stop[MOTION]].float()
        speech = self._file.get_slice("speech_latents")[start[SPEECH] : stop[SPEECH]].float()
        speaker = self._file.get_slice("speaker_embedding")[entry : entry + 1][0].float()
        text = stop[TEXT] - start[TEXT]
        return Sample(ids[:text], speech, speaker, motion, ids[text:])


def folder_dims(folder: str | Path) -> dict[str, int]:
    """``speech_dim``, ``motion_dim`` and ``speaker_dim`` of a folder of shards."""
    index = _read_index(Path(folder))
    return {name: index[name] for name in DIMS}


def dims_found(data: Any) -> dict[str, int]:
    """:func:`folder_dims` of the first folder of shards that a configuration's ``data`` names and that is there."""
    named = [data.get(name) for name in ("t2av", "tts", "validation")] if isinstance(data, Mapping) else []
    for folder in (folder for value in named for folder in (value if isinstance(value, list | tuple) else [value])):
        if isinstance(folder, str) and (Path(folder) / INDEX).is_file():
            return folder_dims(folder)
    return {}


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    if not path.is_file():
        hint = "writing it was not finished" if folder.is_dir() else "there is no such folder"
        raise SampleError(
            f"no {INDEX} in {folder}: {hint}. A folder of latents is written by t2av-bench train prepare, or with "
            f"reference_model.training.shards.write_shards"
        )
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SampleError(f"{path} is not JSON ({error}); write the folder again") from error
    found = index.get("format") if isinstance(index, dict) else None
    if found not in (FORMAT, EARLIER_FORMAT):
        raise SampleError(f"{path} has format {found!r}, this version reads {FORMAT!r} and {EARLIER_FORMAT!r}")
    if found == EARLIER_FORMAT:
        for shard in index["shards"]:
            shard["entries"] = len(shard["ids"])
    return index


def _lengths(folder: Path, index: Mapping[str, Any]) -> np.ndarray:
    """(N, 4) int32, mapped where the format has a file for it."""
    if index["format"] == EARLIER_FORMAT:
        rows = [row for shard in index["shards"] for row in shard["lengths"]]
        return np.asarray(rows, np.int32).reshape(-1, 4)
    path = folder / LENGTHS
    try:
        lengths = np.load(path, mmap_mode="r", allow_pickle=False)
        if lengths.shape == (index["entries"], 4) and _sha256(path) == index["lengths_sha256"]:
            return lengths
        problem = f"it is not the file that {INDEX} was written with"
    except (OSError, ValueError) as error:
        problem = str(error)
    raise SampleError(f"{path} cannot be used: {problem}; copy or write the folder again")


def _verify(path: Path, shard: Mapping[str, Any], verify: str) -> None:
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
