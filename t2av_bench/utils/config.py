"""Settings from TOML files, as ``reference_model`` (which stands alone) reads them, and into TOML files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reference_model.utils.config import (
    ConfigError,
    assignment,
    checked,
    folded,
    load_toml,
    near,
    nearest,
    read_toml,
)

__all__ = [
    "ConfigError", "assignment", "checked", "dump_toml", "folded", "load_toml", "near", "nearest", "read_toml",
]  # fmt: skip


def dump_toml(values: Mapping[str, Any]) -> str:
    """Values as TOML: paths absolute, so that they hold anywhere; what is None is left out, also in tables."""
    import tomli_w

    return tomli_w.dumps(_plain(values))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items() if each is not None}
    return str(value.resolve()) if isinstance(value, Path) else value
