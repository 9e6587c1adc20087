"""Stored cases computed with the official release: load one, and compare our tensors with it.

The folder is named by the environment variable ``T2AV_GOLDEN`` (default: ``../shared/golden/talker_t2av``
beside the repository; without either, the few small cases in ``fixtures/golden``). Cases are found by their
kind, that is by the head of their file name (``"08"``, ``"04"`` ...), never by their full name or size, so a folder
with other cases of the same format works too.

Typical use::

    @pytest.mark.parametrize("case", cases("02"))
    def test_patch_encoder(case):
        module = build(case.config)
        module.load_state_dict(rename(case.weights))
        check_outputs(case, {"tokens": module(case.inputs["x"])})
"""

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

RTOL = 1e-5
_REPOSITORY = Path(__file__).resolve().parents[2]
KINDS = tuple("01a 01b 01c 01d 02 03 04 05 06a 06b 07 08 09 10a 10b 11 12a 12b 12c 12d".split())
"""The kinds of cases that there are tests for."""


def golden_folder() -> Path:
    """The folder of golden cases; one named by the environment may not exist."""
    if named := os.environ.get("T2AV_GOLDEN"):
        return Path(named)
    default = _REPOSITORY.parent / "shared" / "golden" / "talker_t2av"
    return default if default.is_dir() else Path(__file__).parent / "fixtures" / "golden"


class Case:
    """One golden case: ``NAME.json`` and, unless it is a manifest, ``NAME.safetensors``.

    ``meta`` is the whole JSON, ``config`` its configuration. ``weights``, ``inputs`` and ``outputs`` map the
    names after ``weight.``, ``in.`` and ``out.`` to tensors. Every tensor is a contiguous copy of its own,
    because unaligned memory alone changes last bits. Cases that share weights name them in ``weights_file``.
    """

    def __init__(self, path: Path):
        self.path = path
        self.name = path.stem

    def __repr__(self) -> str:
        return self.name

    @functools.cached_property
    def meta(self) -> dict:
        return json.loads(self.path.read_text())

    @property
    def config(self) -> dict:
        return self.meta["config"]

    @functools.cached_property
    def _tensors(self) -> dict[str, torch.Tensor]:
        return _load(self.path.with_suffix(".safetensors"))

    @functools.cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        shared = self.meta.get("weights_file")
        tensors = _load(self.path.parent / shared) if shared else self._tensors
        return _below(tensors, "weight.")

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        return _below(self._tensors, "in.")

    @property
    def outputs(self) -> dict[str, torch.Tensor]:
        return _below(self._tensors, "out.")

    def draws(self, prefix: str) -> dict[str, torch.Tensor]:
        """The inputs below ``prefix``, with the prefix removed: ``draws("draw.speech.")["z"]``."""
        return _below(self.inputs, prefix)

    def atol(self, name: str) -> float:
        """The stated absolute tolerance of ``out.<name>``; 0 where none is stated (integers: exact)."""
        return float(self.meta["tensors"][f"out.{name}"].get("atol") or 0.0)

    def states_atol(self, name: str) -> bool:
        return self.meta["tensors"][f"out.{name}"].get("atol") is not None


def cases(prefix: str) -> list:
    """Every case whose name starts with ``prefix``, for ``pytest.mark.parametrize``.

    Weight-only files (no ``out.`` tensor) are left out unless they are manifests. Without any such case the
    list holds one parameter that skips with the reason.
    """
    assert prefix in KINDS, f"{prefix} is not in KINDS"
    folder = golden_folder()
    found = [Case(path) for path in sorted(folder.glob(f"{prefix}*.json"))]
    found = [case for case in found if "keys" in case.meta or _has_outputs(case)]
    if found:
        return [pytest.param(case, id=case.name) for case in found]
    reason = f"no golden case {prefix}* in {folder}; set T2AV_GOLDEN to the folder that holds them"
    return [pytest.param(None, id=f"{prefix}-absent", marks=pytest.mark.skip(reason=reason))]


def check_outputs(case: Case, found: Mapping[str, torch.Tensor]) -> None:
    """Check every stored ``out.*`` of a case. What was found and is not stored is left alone, since a case may store
    less; a stored output that was not found is an error, for nothing else would check it."""
    unknown = sorted(case.outputs.keys() - found.keys())
    assert not unknown, f"{case} stores outputs that this test does not know: {', '.join(unknown)}"
    for name in case.outputs:
        check(case, name, found[name])


def check(case: Case, name: str, tensor: torch.Tensor) -> None:
    """Fail unless ``tensor`` equals ``out.<name>`` within its own tolerance.

    The rule is ``abs(new - golden) <= atol + 1e-5 * abs(golden)``. Integer tensors without a stated ``atol``
    must match exactly. Float tensors without one are held to the relative part and the case's own ``atol``.
    """
    golden = case.outputs[name]
    new = torch.as_tensor(tensor).detach().cpu()
    if golden.numel() == new.numel() == 0:  # nothing is nothing, however it was stacked
        return
    assert new.shape == golden.shape, f"{case}: out.{name} is {tuple(golden.shape)}, got {tuple(new.shape)}"
    if not golden.is_floating_point() and not case.states_atol(name):
        wrong = int((new.to(torch.int64) != golden.to(torch.int64)).sum())
        assert wrong == 0, f"{case}: out.{name} differs in {wrong} of {golden.numel()} integers"
        return
    atol = case.atol(name) if case.states_atol(name) else float(case.meta["tolerance"]["atol"])
    golden, new = golden.double(), new.double()
    assert torch.isfinite(new).all() == torch.isfinite(golden).all(), f"{case}: out.{name} is not finite"
    allowed = (atol + RTOL * golden.abs()).clamp_min(torch.finfo(torch.float64).tiny)
    fraction = float(((new - golden).abs() / allowed).max())
    worst = float((new - golden).abs().max())
    USED[(case.name, name)] = fraction
    assert fraction <= 1.0, (
        f"{case}: out.{name} is off by {worst:.3g}, {fraction:.3g} times its tolerance (atol {atol:g})"
    )


USED: dict[tuple[str, str], float] = {}
"""Fraction of the tolerance that each checked tensor used, by (case, tensor)."""


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


@functools.lru_cache(maxsize=64)
def _load(path: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(path)
    return {key: value.clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}


def _has_outputs(case: Case) -> bool:
    return any(key.startswith("out.") for key in case.meta.get("tensors", {}))
