"""Reading checkpoint files and loading them strictly: every name and shape must fit, or the error says which.

Conventions. "Release name" is the key in somebody's published state dict; "our name" the key in our module.
:class:`NameMap` is the one explicit translation between the two.
A checkpoint never runs code: files are read with ``weights_only=True``; classes that a training framework
pickled beside the tensors become inert stand-ins (:func:`read_checkpoint`).
"""

import itertools
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .config import nearest

LISTED = 6  # names per kind of mismatch that an error spells out

Pairs = list[tuple[str, str]]
"""(release prefix, our prefix) of what makes up a module."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that does not fit the module it is meant for."""


class Undrawn(TorchFunctionMode):
    """``with Undrawn():`` modules made inside get no initial weights, only memory that nothing has touched yet: for
    those that are read from a file. torch's ``meta`` device has the same effect, but imports torch's compiler, more
    than a second of every process."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return (torch.empty if function is torch.randn else function)(*args, **kwargs)


def under(release: str, ours: str, pairs: Iterable[tuple[str, str]]) -> Pairs:
    """``pairs`` moved below a module's two names."""
    return [(f"{release}.{theirs}", f"{ours}.{mine}") for theirs, mine in pairs]


class Shapes:
    """What a release state dict tells of a network's sizes: ``shapes(name)`` is a tensor's shape.

    ``kind``: what it should be a state dict of. Raises :class:`CheckpointError` for a name that it does not have.
    """

    def __init__(self, state: Mapping[str, Tensor], kind: str):
        self._state, self._kind = state, kind

    def __call__(self, name: str) -> tuple[int, ...]:
        if name not in self._state:
            raise CheckpointError(f"not a {self._kind} state dict: without {name} its sizes are unknown")
        return tuple(self._state[name].shape)

    def count(self, pattern: str, first: int = 0) -> int:
        """How many of ``pattern``'s names there are, numbered from ``first``."""
        return next(n for n in itertools.count() if pattern.format(first + n) not in self._state)


class NameMap:
    """Translates our state-dict names to the release's, by whole dotted prefixes.

    ``pairs`` lists (release prefix, our prefix), each prefix once on either side. The longest prefix that matches
    wins, and a prefix matches only at a dot.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]):
        self.pairs = list(pairs)
        self._release = {ours: release for release, ours in self.pairs}
        if not len(self.pairs) == len(self._release) == len({release for release, _ in self.pairs}):
            raise ValueError("a name map must pair every prefix once on either side")

    def to_release(self, name: str) -> str:
        """The release's name. Raises KeyError for a name under no prefix: every name of ours must have one."""
        end = len(name)
        while end > 0:
            if (release := self._release.get(name[:end])) is not None:
                return release + name[end:]
            end = name.rfind(".", 0, end)
        raise KeyError(f"no release name for {name!r}; prefixes: {', '.join(sorted(self._release))}")

    def state_to_release(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {self.to_release(name): tensor for name, tensor in state.items()}


def load_strictly(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    names: NameMap | None = None,
    source: str = "checkpoint",
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Put ``state`` (release names when ``names`` is given) into ``module``; nothing may be left over.

    The module may live on the meta device: tensors are assigned, not copied, after a move to ``device`` and
    to ``dtype`` (default: the stored ones; integer tensors keep theirs). Raises :class:`CheckpointError` naming every
    missing, extra or misshapen key by its release name, with the nearest match.
    """
    own = module.state_dict()
    released = {(names.to_release(name) if names else name): name for name in own}
    check_names_and_shapes(
        {name: tuple(own[ours].shape) for name, ours in released.items()},
        {name: tuple(tensor.shape) for name, tensor in state.items()},
        source=source,
    )
    translated = {
        ours: state[name].to(device=device, dtype=dtype if state[name].is_floating_point() else None)
        for name, ours in released.items()
    }
    module.load_state_dict(translated, strict=True, assign=True)


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
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
    with _reading(path, "a checkpoint"):
        content = _read_pickle(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors")
    return dict(content)


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, memory-mapped on the CPU, and its metadata; errors as :func:`read_checkpoint`.

    A tensor is read when it is used, so what is left out costs no memory.
    """
    with _reading(Path(path), "safetensors"), safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        yield
    except Exception as error:  # zip, pickle and safetensors readers each raise their own types
        raise CheckpointError(
            f"{path} cannot be read as {what} ({path.stat().st_size} bytes): it is truncated or of another format; "
            f"fetch it again. Reader: {error}"
        ) from error


def read_state(source: str | Path | Mapping[str, Tensor], key: str | None = None) -> tuple[Mapping[str, Tensor], str]:
    """The tensors of a checkpoint file, or of its entry ``key`` where it has one; and what errors call the file.

    A state dict in memory comes back as it is. Raises as :func:`read_checkpoint`, and for a file without tensors.
    """
    if isinstance(source, Mapping):
        return source, "state dict"
    content: Mapping[str, Any] = read_checkpoint(source)
    where = f" under {key!r}" if key in content else ""
    state = {name: value for name, value in content.get(key, content).items() if isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(f"{source} holds no tensors{where}")
    return state, str(source)


class _Inert:
    """Takes the place of a pickled class; keeps whatever it is given and does nothing."""

    def __init__(self, *arguments: Any, **named: Any):
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _read_pickle(path: Path) -> Any:
    if not zipfile.is_zipfile(path):  # torch's legacy format, which cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True)
    foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    with torch.serialization.safe_globals([(type("Inert", (_Inert,), {}), name) for name in foreign]):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _nearest(name: str, *pools: Iterable[str]) -> str:
    found = next(filter(None, (nearest(name, pool, 1) for pool in pools)), None)
    return f"; nearest: {found[0]}" if found else ""


def _listed(names: list[str], line: Callable[[str], str]) -> list[str]:
    lines = [line(name) for name in names[:LISTED]]
    return lines + ([f"... and {len(names) - LISTED} more"] if len(names) > LISTED else [])
