"""Reading checkpoint files and loading them strictly: every name and shape must fit, or the error says which.

Conventions. "Release name" is the key in somebody's published state dict; "our name" the key in our module.
:class:`NameMap` is the one explicit translation between the two, and it works both ways.
A checkpoint never runs code: files are read with ``weights_only=True``; classes that a training framework
pickled beside the tensors become inert stand-ins (:func:`read_checkpoint`).
"""

import difflib
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LISTED = 6  # names per kind of mismatch that an error spells out


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that does not fit the module it is meant for."""


class NameMap:
    """Two-way translation of state-dict names by whole dotted prefixes.

    ``pairs`` lists (release prefix, our prefix). The longest prefix that matches wins, and a prefix matches
    only at a dot. A name under no prefix has no translation: :meth:`to_ours` leaves it as it is, so that
    :func:`load_strictly` can report it as unknown; :meth:`to_release` raises ``KeyError``, since every name
    of ours must have its release name.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]):
        pairs = self.pairs = list(pairs)
        self._ours = dict(pairs)
        self._release = {ours: release for release, ours in pairs}
        if len(self._ours) != len(pairs) or len(self._release) != len(pairs):
            raise ValueError("a name map must pair every prefix once on either side")

    def to_ours(self, name: str) -> str:
        """Our name; an unknown name comes back as it is."""
        translated = _replace_prefix(name, self._ours)
        return name if translated is None else translated

    def to_release(self, name: str) -> str:
        """The release's name. Raises KeyError for a name without one."""
        translated = _replace_prefix(name, self._release)
        if translated is None:
            raise KeyError(f"no release name for {name!r}; prefixes: {', '.join(sorted(self._release))}")
        return translated

    def state_to_ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {self.to_ours(name): tensor for name, tensor in state.items()}

    def state_to_release(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {self.to_release(name): tensor for name, tensor in state.items()}


def load_strictly(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    names: NameMap | None = None,
    source: str = "checkpoint",
    unused: Iterable[str] = (),
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> list[str]:
    """Put ``state`` (release names when ``names`` is given) into ``module``; nothing may be left over.

    The module may live on the meta device: tensors are assigned, not copied, after a move to ``device`` and
    to ``dtype`` (default: the dtype of the module's own tensor; integer tensors keep theirs).
    ``unused`` lists release prefixes that the module leaves out on purpose (a training head, say).
    Returns the names that were left out that way. Raises :class:`CheckpointError` naming every missing, extra
    or misshapen key by its release name, with the nearest match.
    """
    unused = tuple(unused)
    left_out = [name for name in state if any(_below(name, prefix) for prefix in unused)]
    skipped = set(left_out)
    given = {name: tensor for name, tensor in state.items() if name not in skipped}
    own = module.state_dict()
    released = {(names.to_release(name) if names else name): name for name in own}
    check_names_and_shapes(
        {name: tuple(own[ours].shape) for name, ours in released.items()},
        {name: tuple(tensor.shape) for name, tensor in given.items()},
        source=source,
    )
    translated = {}
    for name, ours in released.items():
        wanted = own[ours].dtype
        if wanted.is_floating_point and dtype is not None:
            wanted = dtype
        target = device if device is not None else (own[ours].device if not own[ours].is_meta else None)
        translated[ours] = given[name].to(device=target, dtype=wanted)
    module.load_state_dict(translated, strict=True, assign=True)
    return left_out


def check_names_and_shapes(
    expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]], *, source: str = "checkpoint"
) -> None:
    """Raise :class:`CheckpointError` unless both sides name the same tensors with the same shapes."""
    missing = [name for name in expected if name not in given]
    extra = [name for name in given if name not in expected]
    misshapen = [name for name in expected if name in given and expected[name] != given[name]]
    if not (missing or extra or misshapen):
        return
    lines = [
        f"{source} does not fit: {len(missing)} missing, {len(extra)} unknown and {len(misshapen)} "
        f"misshapen of {len(expected)} expected tensors"
    ]
    lines += _listed(missing, lambda name: f"missing {name} {list(expected[name])}{_nearest(name, extra, given)}")
    lines += _listed(extra, lambda name: f"unknown {name} {list(given[name])}{_nearest(name, missing or expected)}")
    lines += _listed(
        misshapen, lambda name: f"misshapen {name}: the model has {list(expected[name])}, the file {list(given[name])}"
    )
    raise CheckpointError("\n  ".join(lines))


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a ``.safetensors`` file or a ``torch.save`` file as a dictionary, memory-mapped, on the CPU.

    A ``torch.save`` file is read with ``weights_only=True``. Training frameworks pickle configuration objects
    beside the tensors; their classes are replaced by inert stand-ins, so no code of the file is imported or
    run. Raises ``FileNotFoundError``, and :class:`CheckpointError` for a truncated or foreign file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = _read_pickle(path)
    except Exception as error:  # zip, pickle and safetensors readers each raise their own types
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({path.stat().st_size} bytes): it is "
            f"truncated or of another format; fetch it again. Reader: {error}"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors")
    return dict(content)


def tensors_below(content: Mapping[str, Any], key: str | None, *, source: str) -> dict[str, Tensor]:
    """The state dict under ``key`` of a checkpoint (the whole of it for ``None``), tensors only."""
    if key is not None:
        if key not in content:
            entries = ", ".join(map(str, list(content)[:LISTED]))
            raise CheckpointError(f"{source} has no entry {key!r}; it starts with {entries}")
        content = content[key]
    state = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(f"{source} holds no tensors{'' if key is None else f' under {key!r}'}")
    return state


class _Inert:
    """Takes the place of a pickled class; keeps whatever it is given and does nothing."""

    def __init__(self, *arguments: Any, **named: Any):
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        if not foreign:
            raise
        stand_ins = [(type("Inert", (_Inert,), {}), name) for name in foreign]
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        # Files in torch's legacy format cannot be mapped.
        return torch.load(path, map_location="cpu", weights_only=True)


def _replace_prefix(name: str, prefixes: Mapping[str, str]) -> str | None:
    end = len(name)
    while end > 0:
        if (head := prefixes.get(name[:end])) is not None:
            return head + name[end:]
        end = name.rfind(".", 0, end)
    return None


def _below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix.rstrip(".") + ".")


def _nearest(name: str, candidates: Iterable[str], fallback: Iterable[str] = ()) -> str:
    for pool in (candidates, fallback):
        if match := difflib.get_close_matches(name, list(pool), n=1, cutoff=0.6):
            return f"; nearest: {match[0]}"
    return ""


def _listed(names: list[str], line) -> list[str]:
    lines = [line(name) for name in names[:LISTED]]
    return lines + ([f"... and {len(names) - LISTED} more"] if len(names) > LISTED else [])
